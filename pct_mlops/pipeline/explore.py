"""Start the explorer in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

from pct_mlops.config import PctError, Policy
from pct_mlops.pipeline.references import is_file, open_source


def start(
    *,
    old: str | None,
    new: str | None,
    model: str | None,
    policy: str | None,
    port: int,
    headless: bool,
    tracking_uri: str | None,
) -> int:
    """Check what was typed, run the app until it is stopped, and return its exit code."""
    if bool(old) != bool(new):
        raise PctError("Give OLD and NEW, or neither: one table alone has no flips.")
    if policy:
        Policy.read(policy)
    for reference in (old, new):
        if reference and is_file(reference):
            open_source(reference)
    if importlib.util.find_spec("app") is None:
        raise PctError("The explorer is not installed here: run it from a checkout, or install pct-mlops.")
    command = [sys.executable, "-m", "app", *(word for word in (old, new) if word)]
    for flag, value in (("--model", model), ("--policy", policy), ("--tracking-uri", tracking_uri)):
        command += [flag, value] if value else []
    environment = {
        **os.environ,
        "STREAMLIT_SERVER_PORT": str(port),
        "STREAMLIT_SERVER_ADDRESS": os.environ.get("STREAMLIT_SERVER_ADDRESS", "127.0.0.1"),
        "STREAMLIT_SERVER_HEADLESS": str(headless).lower(),
    }
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0
