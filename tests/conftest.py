"""Puts the longest files of tests first, so that no worker is left with one when the others are done."""

from __future__ import annotations

import pytest

LONGEST = (
    "test_attach.py",
    "test_browser_walk.py",
    "test_engine_resume.py",
    "test_foreign_files.py",
    "test_project_launch.py",
    "test_sweep_runs.py",
    "test_engine_processes.py",
    "test_old_files.py",
    "test_cli_updates.py",
    "test_errors_of_several.py",
    "test_registry_server.py",
    "test_score_data.py",
    "test_ci_workflows.py",
    "test_plugins_trusted.py",
    "test_plugins_example.py",
    "test_browser_texts.py",
    "test_demo.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))
