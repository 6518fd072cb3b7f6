"""Findings of `pct doctor` about the machine: what they print, and what they keep to themselves."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest

from pct_mlops.config.findings import OK, WARNING
from pct_mlops.workflows import doctor


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("http://ada:secret@proxy.example:3128", "http://proxy.example:3128"),
        ("http://ada:sec@ret@proxy.example:3128", "http://proxy.example:3128"),
        ("ada:secret@proxy.example:3128", "proxy.example:3128"),
    ],
)
def test_a_proxy_is_shown_without_its_login(monkeypatch, proxy, shown):
    for name in doctor.PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("https_proxy", proxy)
    assert doctor._proxies().text == f"HTTPS_PROXY={shown}"


def test_versions_are_held_against_what_pct_needs_and_not_against_its_extras(monkeypatch):
    lines = ["Demo[extra]>=2,<3", "demo==9; extra == 'dev'", "other>=1; python_version < '3'"]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    wanted = doctor._requirements()
    assert wanted.keys() == {"demo"}
    for version, level in (("2.5", OK), ("3.0", WARNING)):
        monkeypatch.setattr(metadata, "version", lambda name, version=version: version)
        assert doctor._package("demo", wanted["demo"]).level == level
    assert doctor._package("demo", None).level == OK


def test_a_torch_that_cannot_be_imported_leaves_the_other_findings(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert [finding.name for finding in doctor._devices()] == ["processors", "/dev/shm"]
