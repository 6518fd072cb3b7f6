"""What the tests of CI's files share: where these lie, and programs to run in pct's place, or as pct itself."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "projects" / "ci"
HOSTILE = "x; touch y $(touch y) `touch y`\n-rf --promote"


def made(path, text):
    """A program of this text."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def pct_program(folder):
    """The pct of this source tree, as a program."""
    return made(folder / "pct", f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m pct_mlops "$@"\n')
