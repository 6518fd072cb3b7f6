"""What `pct explore` says and sets before it becomes the app."""

from __future__ import annotations

import os
import sys

import pytest

from pct_mlops.workflows import explore


class Became(Exception):
    pass


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8600"),
        ("0.0.0.0", "http://localhost:8600"),
        ("::1", "http://[::1]:8600"),
        ("reviews.example.org", "http://reviews.example.org:8600"),
    ],
)
def test_the_address_is_said_and_streamlit_advertises_nothing(address, url, monkeypatch, capsys):
    for key in ("PORT", "HEADLESS"):
        monkeypatch.setenv(f"STREAMLIT_SERVER_{key}", "")
    monkeypatch.setenv("STREAMLIT_SERVER_ADDRESS", address)
    monkeypatch.setenv("STREAMLIT_LOGGER_HIDE_WELCOME_MESSAGE", "x")
    monkeypatch.delenv("STREAMLIT_LOGGER_HIDE_WELCOME_MESSAGE")

    def become(program, command):
        assert program == sys.executable
        raise Became

    monkeypatch.setattr(os, "execv", become)
    with pytest.raises(Became):
        explore.start(
            old=None, new=None, model=None, policy=None, port=8600, headless=False, tracking_uri="sqlite:///mlflow.db"
        )
    assert capsys.readouterr().out == f"The explorer runs at {url} (Ctrl+C ends it).\n"
    assert os.environ["STREAMLIT_LOGGER_HIDE_WELCOME_MESSAGE"] == "true"
