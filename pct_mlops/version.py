"""Finds the version of this package in the installed metadata, or else in the pyproject.toml of a checkout."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def _version() -> str:
    try:
        return metadata.version("pct-mlops")
    except metadata.PackageNotFoundError:
        text = _PROJECT.read_text(encoding="utf-8") if _PROJECT.is_file() else ""
        found = re.search(r'^version = "([^"]+)"', text, re.MULTILINE)
        return found[1] if found else "unknown"


version = _version()
