"""One name, one thing: a public class or function, and a module, has a name that no other one has."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted([*(ROOT / "pct_mlops").rglob("*.py"), *(ROOT / "app").rglob("*.py")])

# Names of several classes or functions, each with the reason why that misleads nobody.
ALLOWED_NAMES = {
    "main": "what a program runs first: the command line, the explorer, and a process of a launcher",
}
# Names of several modules, likewise.
ALLOWED_MODULES = {
    "__init__": "Python's own name",
    "__main__": "Python's own name",
    "arrays": "data sets, and tables of predictions, that are made of arrays in memory",
    "heads": "heads of a network, and the heads that a loss adds to it",
    "reviews": "records of reviewers, and what the explorer asks of them",
    "slices": "slices are counted in comparison and drawn in charts: the same thing",
}
DECORATORS = {"command", "group"}


def is_entry(path):
    """A command, a view, or checks of a kind of part: named as what it is for, and imported by next to nobody."""
    return path.parent in (ROOT / "pct_mlops" / "cli", ROOT / "pct_mlops" / "testing", ROOT / "app" / "views")


def is_command(node):
    """A click command: it is named as its verb, and so is what it calls."""
    calls = [item.func for item in node.decorator_list if isinstance(item, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in DECORATORS for call in calls)


def definitions(path):
    """Public classes and functions of a module, without commands and views."""
    if path.parent == ROOT / "app" / "views":
        return
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_") and not is_command(node):
            yield node.name


def repeated(found):
    return {name: places for name, places in found.items() if len(places) > 1}


def test_a_public_name_means_one_thing():
    found = defaultdict(list)
    for path in MODULES:
        for name in definitions(path):
            found[name].append(str(path.relative_to(ROOT)))
    twice = repeated(found)
    assert {name: twice[name] for name in twice.keys() - ALLOWED_NAMES.keys()} == {}
    assert ALLOWED_NAMES.keys() - twice.keys() == set(), "allowed, and not needed any more: take it out"


def test_a_module_is_found_by_its_name():
    found = defaultdict(list)
    for path in MODULES:
        if not is_entry(path) or path.name == "__init__.py":
            found[path.stem].append(str(path.relative_to(ROOT)))
    twice = repeated(found)
    assert {name: twice[name] for name in twice.keys() - ALLOWED_MODULES.keys()} == {}
    assert ALLOWED_MODULES.keys() - twice.keys() == set(), "allowed, and not needed any more: take it out"
