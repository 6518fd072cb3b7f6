"""Makes the page on the Python API: signature and docstring of every public name."""

from __future__ import annotations

import inspect
from typing import Any

import _markdown as md


def public_names() -> dict[str, Any]:
    """Return import path -> object for each name that the package exports."""
    import pct_mlops

    exported = sorted((name for name in pct_mlops.__all__ if not name.startswith("_")), key=str.lower)
    return {f"pct_mlops.{name}": getattr(pct_mlops, name) for name in exported}


def api_page() -> str:
    """Return the page with signature and docstring of every public name."""
    parts = ["# Python API", "What is not listed here may change without notice."]
    for path, item in public_names().items():
        module, _, name = path.rpartition(".")
        parts += [f"## {md.code(path.removeprefix('pct_mlops.'))}", md.fenced(f"from {module} import {name}", "python")]
        if not (inspect.isclass(item) or inspect.isroutine(item) or inspect.ismodule(item)):
            parts.append(f"A value of type {md.code(type(item).__name__)}.")
            continue
        if not inspect.ismodule(item):
            parts.append(md.fenced(_signature(name, item), "python"))
        parts.append(md.prose(item.__doc__))
        if inspect.isclass(item):
            parts += [md.table(("member", ""), rows)] if (rows := _members(item)) else []
    return "\n\n".join(part for part in parts if part)


def _signature(name: str, item: Any) -> str:
    try:
        signature = inspect.signature(item)
    except (TypeError, ValueError):
        return name
    text = f"{name}{signature}"
    if len(text) <= 100:
        return text
    inner = ",\n".join(f"    {parameter}" for parameter in signature.parameters.values())
    return f"{name}(\n{inner},\n)"


def _members(kind: type) -> list[tuple[str, str]]:
    """Return the public methods and properties that the class itself defines."""
    found = []
    for name, item in vars(kind).items():
        target = getattr(item, "__func__", getattr(item, "fget", None) or getattr(item, "func", item))
        described = inspect.isroutine(target) and not name.startswith("_") and inspect.getdoc(target)
        if described and getattr(target, "__module__", "").startswith("pct_mlops"):
            shown = (
                name if isinstance(item, property) or (target is not item and hasattr(item, "func")) else f"{name}()"
            )
            found.append((md.code(shown), md.first_line(target.__doc__)))
    return found
