"""Docstrings and errors are plain English: a verb first, one thought a sentence, one word for one thing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_docs_words import found

ROOT = Path(__file__).parents[2]
ROOMS = sorted({path.parent for top in ("pct_mlops", "app", "projects") for path in (ROOT / top).rglob("*.py")})
MOST_WORDS = 28
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

# A docstring that opens with one of these has to be read to its end before one knows what it is about.
RIDDLES = "What Whether Which How Where Who Whose When Why If Those Only Everything Every All Each With As Of From"
RIDDLES += " Within Before After It This In Also"
# A function does something: its docstring says what it does, in the imperative, and not what it is.
NOUNS = "The A An One Two Both Some Your My No Nothing Back Once Float32 Bool Logits NFR PFR Names Rows Accuracy"
NOUNS += " Versions Columns Slices Negative Positive Class Classes Mean Examples Ids Weights Features Metrics Sums"
NOUNS += " Images Views Methods Indices Batches Share Shares Data Places Value Mode File Predictions Text Lower Upper"
NOUNS += " Links Bars Points Labels Targets Settings Small Room Right"


def documented(tree: ast.Module) -> Iterator[tuple[Documented, str]]:
    for node in ast.walk(tree):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            yield node, text


def is_property(node: Documented) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(getattr(item, "id", getattr(item, "attr", "")) in ("property", "cached_property") for item in decorators)


def prose(docstring: str) -> str:
    """What comes before Args, Returns and examples, without code and indented blocks."""
    head = re.split(r"\n\n(?:Args|Returns|Raises|Examples?|Attributes|Yields):|>>>", docstring)[0]
    paragraphs = [part for part in head.split("\n\n") if not part.startswith(("\b", " "))]
    return re.sub(r"`[^`]*`", "CODE", "\n\n".join(paragraphs))


def flaws(node: Documented, docstring: str) -> list[str]:
    """Each rule that one docstring breaks."""
    text, opening = prose(docstring), docstring.split(maxsplit=1)[0].rstrip(",.:")
    broken = []
    if opening in RIDDLES.split():
        broken.append(f"opens with '{opening}'")
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(node)
    if is_function and (opening in NOUNS.split() or not opening[0].isupper() or opening.endswith("Error")):
        broken.append(f"a function whose docstring opens with '{opening}' and no verb")
    if re.search(r";(\s|$)", text):
        broken.append("two thoughts joined by a semicolon")
    long = [part for part in re.split(r"(?<=[.:!?])\s+|\n\n", text) if len(part.split()) > MOST_WORDS]
    broken += [f"{len(part.split())} words in one sentence: {part[:40]}..." for part in long]
    words = re.sub(r"`[^`]*`|^\s+\w+( \([^)]*\))?:|>>>.*|https?://\S+", "", docstring, flags=re.MULTILINE)
    return broken + found(words)


def error_texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The literal parts of what is raised."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            for part in ast.walk(node.exc):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_docstrings_and_errors_of_a_room(room: Path) -> None:
    broken = []
    for path in sorted(room.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node, text in documented(tree):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
            broken += [f"{place}: {flaw}" for flaw in flaws(node, text)]
        for line, text in error_texts(tree):
            broken += [f"{path.relative_to(ROOT)}:{line}: {hit}" for hit in found(text)]
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize(
    ("source", "flaw"),
    [
        ('"""What a run leaves behind."""', "opens with 'What'"),
        ('def f():\n    """The table of a run."""', "no verb"),
        ('def f():\n    """PctError unless it is there."""', "no verb"),
        ('"""Reads tables; writes none."""', "semicolon"),
        ('"""Reads ' + "one table and " * 10 + 'another."""', "words in one sentence"),
        ('"""Reads the answers of a model."""', "say prediction"),
    ],
)
def test_a_flaw_is_seen(source: str, flaw: str) -> None:
    ((node, text),) = documented(ast.parse(source))
    assert flaw in " ".join(flaws(node, text))


def test_plain_docstrings_have_no_flaw() -> None:
    source = '"""Reads tables."""\ndef f():\n    """Return the table.\n\n    Args:\n        a: what; which.\n    """'
    assert [flaws(node, text) for node, text in documented(ast.parse(source))] == [[], []]
    ((_, error),) = error_texts(ast.parse('raise E("Give an answer.")'))
    assert found(error)
