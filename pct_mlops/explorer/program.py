"""Finds the Streamlit program and its server: beside the package in a checkout, inside the package once installed."""

from __future__ import annotations

from pathlib import Path

from pct_mlops.errors import DataError


def main_script() -> Path:
    """Return the path of the program's main.py, or raise DataError where it is missing."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "app", package.parent / "app"):
        if (folder / "main.py").is_file() and (folder / "views").is_dir():
            return folder / "main.py"
    raise DataError("The explorer is not installed here: run it from a checkout, or install pct-mlops.")


def server_script() -> Path:
    """Return the path of the program's server, or raise DataError where the program is missing."""
    return main_script().with_name("server.py")
