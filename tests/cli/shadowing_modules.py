"""Files in a user's folder that have the names of modules which the program imports. Nobody may import them."""

from __future__ import annotations

from pathlib import Path

NAMES = ("app", "streamlit", "duckdb", "random", "main", "mlflow", "torch", "torchvision", "plotly", "rich", "click")
MARK = """
import pathlib
pathlib.Path({place!r}, "imported-{name}").touch()
raise SystemExit(77)
"""


def write_modules(folder: Path) -> None:
    """Write the modules, and a package `app`, into a folder. Each leaves a file behind where it is imported."""
    (folder / "app").mkdir()
    for place in (*NAMES, "app/__init__", "app/__main__", "app/main"):
        name = place.split("/")[0]
        (folder / f"{place}.py").write_text(MARK.format(place=str(folder), name=name))


def imported(folder: Path) -> list[str]:
    """Return a name for each module that was imported."""
    return sorted(path.name for path in folder.glob("imported-*"))
