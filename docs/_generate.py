"""Generates the reference from the code whenever the site is built. No file holds any of it.

This is a hook of mkdocs (`hooks` in mkdocs.yml). The tests call `pages` to see that everything has its place.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]  # this checkout's package, whatever is installed

import _markdown as md  # noqa: E402
import click  # noqa: E402
from _api import api_page  # noqa: E402
from _keys import policy_page, recipe_page  # noqa: E402
from _losses import data_page, losses_page  # noqa: E402
from _metrics import metrics_page  # noqa: E402
from _updates import with_updates  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

NOTE = "This page is generated from the code."


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and the icon to the files of the site. Mkdocs calls it."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, "assets/icon.png", abs_src_path=str(ROOT / "app" / "icon.png")))
    return files


def on_page_markdown(markdown: str, **_about: object) -> str:
    """Fill in what a written page takes from the code. Mkdocs calls it for each page."""
    return with_updates(markdown)


def pages() -> dict[str, str]:
    """Return the generated pages: path below docs/ -> Markdown."""
    made: dict[str, Callable[[], str]] = {
        "cli": cli_page,
        "recipe": recipe_page,
        "policy": policy_page,
        "losses": losses_page,
        "data-and-models": data_page,
        "metrics": metrics_page,
        "table": table_page,
        "exit-codes": exit_codes_page,
        "api": api_page,
    }
    return {f"reference/{name}.md": f"{page().strip()}\n\n*{NOTE}*\n" for name, page in made.items()}


# Command line ------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield each verb with the words that a user types for it, for example "policy check"."""
    from pct_mlops.cli.main import pct

    for name, command in sorted(pct.commands.items()):
        if isinstance(command, click.Group):
            yield from ((f"{name} {part}", item) for part, item in sorted(command.commands.items()))
        else:
            yield name, command


def cli_page() -> str:
    """Return the page of all verbs, each with its usage, help, examples and options."""
    from pct_mlops.cli.main import pct

    parts = ["# Command line", _help(pct.help), "`pct` and `python -m pct_mlops` are the same.", _options(pct)]
    for name, command in commands():
        usage = " ".join(["pct", name, *command.collect_usage_pieces(click.Context(command))])
        parts += [f"## pct {name}", md.fenced(usage), _help(command.help), _options(command)]
    return "\n\n".join(part for part in parts if part)


def _help(text: str | None) -> str:
    """Turn the help of a verb into Markdown. After \\b come a heading and a block of commands."""
    blocks = inspect.cleandoc(text or "").split("\n\n")
    found = []
    for block in blocks:
        if block.startswith("\b"):
            head, *lines = block.removeprefix("\b").strip("\n").split("\n")
            # What stands behind a command, after some spaces, is a comment.
            found += [md.escaped(head), md.fenced(re.sub(r"(\S) {3,}(?=\S)", r"\1    # ", "\n".join(lines)), "sh")]
        else:
            found.append(md.escaped(" ".join(block.split())))
    return "\n\n".join(found)


def _options(command: click.Command) -> str:
    context = click.Context(command)
    records = [record for item in command.params if (record := item.get_help_record(context))]
    if not records:
        return ""
    return md.table(("option", ""), [(md.code(names), md.escaped(text)) for names, text in records])


# Tables and codes --------------------------------------------------------------------------------------------------


def table_page() -> str:
    """Return the page on the columns, the metadata and the digest of a prediction table."""
    from pct_mlops.predictions import SCHEMA_VERSION, TableInfo, digest_of
    from pct_mlops.predictions.schema import arrow_schema, to_metadata

    schema = arrow_schema(10, 64, ["camera"], logits=True)
    notes = {
        "sample_id": "names the example, the same in every table",
        "label": "index of the target class",
        "prediction": "index of the class that the model says",
        "confidence": "optional; probability of the prediction",
        "label_confidence": "optional; probability of the target",
        "logits": "optional; here of 10 classes",
        "features": "optional; here 64 wide",
        "camera": "optional; any further column of text is a slice",
    }
    columns = [
        (md.code(field.name), md.code(field.type), "yes" if field.nullable else "no", notes.get(field.name, ""))
        for field in schema
    ]
    empty = dict.fromkeys((field.name for field in dataclasses.fields(TableInfo)), "")
    info = TableInfo(**{**empty, "schema_version": SCHEMA_VERSION, "class_names": (), "num_examples": 0, "columns": ()})  # type: ignore[arg-type]
    return "\n\n".join(
        (
            "# Prediction table",
            f"One Parquet file for each model and evaluation set, version {SCHEMA_VERSION}, one row for each example. "
            "Two tables are joined by `sample_id`, never by the order of their rows. They can be compared when their "
            "digests agree, or when only their classes differ. `Predictions.from_arrays(...).save(path)` writes one. "
            "`pct import FILE OUT` makes one of a file that another program wrote.",
            "## Columns",
            md.table(("column", "type", "may be null", "meaning"), columns),
            "## File metadata",
            ", ".join(md.code(key) for key in to_metadata(info)),
            "`pct.weights` is optional: the sha256 of the weights that made the table. It ties the table to a model "
            "version.",
            "`pct.known_classes` is optional: a JSON list of the class names that the model can predict. It is written "
            "where these are fewer than `pct.class_names`, because labels name classes that the model does not know. "
            "A table without it knows all of them. The model is wrong on examples with such a label. Their "
            "`label_confidence` is 0, and the table has no `logits`.",
            "## Digest",
            md.prose(digest_of.__doc__),
        )
    )


def exit_codes_page() -> str:
    """Return the page on exit codes, on the codes of errors, and on the causes of a registry's failure."""
    from pct_mlops.cli.main import ERROR, INTERRUPTED
    from pct_mlops.gate import EXIT_CODES

    by_code: dict[int, list[str]] = {}
    for verdict, number in EXIT_CODES.items():
        by_code.setdefault(number, []).append(str(verdict))
    notes = {
        0: "every rule holds, or nothing is in production yet; any other verb: done",
        1: "a rule is broken even at the friendlier end of its bound; `pct verify`: production is out of its place",
        ERROR: "usage, data or registry: nothing is decided, and what was changed is said",
        3: "too few examples to tell",
    }
    rows = [(md.code(number), ", ".join(by_code[number]), notes.get(number, "")) for number in sorted(by_code)]
    rows.append((md.code(INTERRUPTED), "", "interrupted from the keyboard; what was complete is kept"))
    parts = ["# Exit codes and errors", md.table(("exit code", "verdict of `pct gate`", "meaning"), rows)]
    parts.append("An error is one sentence on standard error that says what to do. `--debug` adds the traceback.")
    found = [(md.code(kind.__name__), md.code(kind.code), md.first_line(kind.__doc__)) for kind in _errors()]
    parts += ["## Errors", md.table(("class", "code", "when"), found)]
    return "\n\n".join([*parts, *_causes()])


def _causes() -> Iterator[str]:
    """Yield the section on why a registry fails. Capitals stand for what differs from case to case."""
    from pct_mlops.registry.causes import CAUSES

    yield "## When the registry fails"
    yield "`pct doctor` tells which of these holds: see [the how-to](../how-to/registry-problems.md)."
    yield md.table(("what is wrong", "what is said"), [(md.escaped(cause.name), _sentence(cause)) for cause in CAUSES])


def _sentence(cause: Any) -> str:
    parts = re.split(r"\{(\w+)\}", cause.sentence)
    return "".join(md.code(part.upper()) if index % 2 else md.escaped(part) for index, part in enumerate(parts))


def _errors() -> list[Any]:
    """Return the error classes that have a code, parents first."""
    from pct_mlops import errors

    kinds = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Exception)]
    return [kind for kind in kinds if getattr(kind, "code", None)]
