"""Workflow files as GitHub reads them, and those of its expressions that ours use; anything else is an error here.

After 'Evaluate expressions in workflows and actions' of its documentation.
"""

from __future__ import annotations

import ast
import math
import re

import yaml

TOKEN = re.compile(r"'(?:[^']|'')*'|[\w.]+|&&|\|\||[!=]=|\s+|.")
PLACE = re.compile(r"\$\{\{((?:'[^']*'|[^'}]|\}(?!\}))*)\}\}")
SIGNS = {"&&": " and ", "||": " or ", "!": "~", "true": "value(True)", "false": "value(False)", "null": "value(None)"}


class Loader(yaml.SafeLoader):
    """YAML 1.2: `on` is a word there, and only true and false are boolean. A key that is there twice is an error."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - as the class above has it

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"one of {keys} is there twice"
        return super().construct_mapping(node, deep)


for kind, pattern in (("bool", "true|false"), ("null", "null|~|"), ("int", "-?[0-9]+"), ("float", r"-?[0-9]+\.[0-9]*")):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$"), None)


class Value:
    """An operand. Words are equal without regard to case, what is of two kinds when both are the same number."""

    __hash__ = None

    def __init__(self, raw):
        self._raw = raw

    def __getattr__(self, name):
        items = self._raw.items() if isinstance(self._raw, dict) else ()
        return Value(next((item for key, item in items if key.casefold() == name.casefold()), None))

    def __bool__(self):
        """Of all values, false, 0, "" and null are not."""
        return isinstance(self._raw, dict) or bool(self._raw)

    def __invert__(self):
        return Value(not self)

    def __eq__(self, other):
        if isinstance(self._raw, str) and isinstance(other._raw, str):
            return Value(self._raw.upper() == other._raw.upper())
        return Value(number(self._raw) == number(other._raw))

    def __ne__(self, other):
        return ~(self == other)


def number(raw):
    """null is 0, true 1, a word what JSON makes of it; everything else equals nothing."""
    if isinstance(raw, dict) or (isinstance(raw, str) and not re.fullmatch(r"\s*(-?\d+(\.\d+)?)?\s*", raw)):
        return math.nan
    return float(raw.strip() or 0) if isinstance(raw, str) else float(raw or 0)


def text(raw):
    """A value within a line, or as an environment variable."""
    if isinstance(raw, bool) or raw is None:
        return {True: "true", False: "false", None: ""}[raw]
    return raw if isinstance(raw, str) else f"{raw:.15g}"


def fit(form, *values):
    """The function `format`; a brace of the text is written twice."""
    given = [text(value._raw) for value in values]
    return Value(re.sub(r"\{\{|\}\}|\{(\d+)\}", lambda at: given[int(at[1])] if at[1] else at[0][0], form._raw))


def evaluate(expression, contexts, **functions):
    """What an expression means; `contexts` are those that GitHub has at this place, any other name is an error.

    Python reads it, after its signs were put into Python's. Where the two would group otherwise, it is refused.
    """
    words = []
    for token in TOKEN.findall(expression):
        if token[0] == "'":
            words.append(f"value({token[1:-1].replace(chr(39) * 2, chr(39))!r})")
        else:
            words.append(f"value({token})" if token[0].isdigit() else SIGNS.get(token, token))
    tree = ast.parse("".join(words).strip(), mode="eval")
    assert all(len(node.ops) == 1 for node in ast.walk(tree) if isinstance(node, ast.Compare)), "put brackets there"
    names = {"value": Value, "format": fit, **{name: Value(raw) for name, raw in contexts.items()}}
    names |= {name: lambda answer=answer: Value(answer) for name, answer in functions.items()}
    return eval(compile(tree, expression, "eval"), {"__builtins__": {}}, names)._raw


def fill(item, contexts):
    """`item` with the value of each `${{ }}` in its place; one that stands alone keeps its type."""
    if isinstance(item, dict):
        return {key: fill(value, contexts) for key, value in item.items()}
    if not isinstance(item, str):
        return item
    alone = PLACE.fullmatch(item.strip())
    assert "${{" not in PLACE.sub("", item), f"an expression has no end: {item}"
    return evaluate(alone[1], contexts) if alone else PLACE.sub(lambda at: text(evaluate(at[1], contexts)), item)


def holds(part, contexts, *, good):
    """Whether a job or step runs: an `if` is an expression also without its signs, and means success unless it asks."""
    condition = str(part.get("if", "success()")).strip()
    alone = PLACE.fullmatch(condition)
    words = alone[1] if alone else condition
    found = Value(evaluate(words, contexts, always=True, success=good, failure=not good, cancelled=False))
    return bool(found) and (good or bool(re.search(r"\b(always|success|failure|cancelled)\(", words)))
