"""The registry with two tiny versions, and distributions that are installed by writing what an installer writes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))

from tiny_store import empty, store, trained  # noqa: F401


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution on the path: install("my-pkg", {"pct_mlops.distances": {"mine": "mine:Mine"}}, mine="...")."""
    made = []

    def add(distribution, entry_points=None, version="1.2", **modules):
        folder = tmp_path / f"site-{distribution}-{version}"
        info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "top_level.txt").write_text("\n".join(modules))
        groups = (entry_points or {}).items()
        lines = [line for group, names in groups for line in (f"[{group}]", *(f"{n} = {t}" for n, t in names.items()))]
        (info / "entry_points.txt").write_text("\n".join(lines))
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        made.extend(modules)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield add
    for name in made:
        sys.modules.pop(name, None)
