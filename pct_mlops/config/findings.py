"""Findings about an installation: what `pct doctor` prints, a line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OK: Literal["ok"] = "ok"
WARNING: Literal["warning"] = "warning"
PROBLEM: Literal["problem"] = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What it is, for example "temporary folder".
        level: `ok`, `warning` (it does less than it could) or `problem` (something that pct needs does not work).
        text: What is in force. For a warning or problem it also says what to do.
    """

    name: str
    level: Literal["ok", "warning", "problem"]
    text: str
