"""Writes the commands that an error names, as they can be typed in the current folder."""

from __future__ import annotations

import os


def train_command(loss: str = "none") -> str:
    """Return a quoted command that trains with a loss.

    A project of MLflow has its own recipe. In any other folder the user names one.
    """
    if os.path.isfile("MLproject"):
        return f"'mlflow run . -P loss={loss}'"
    return f"'pct train RECIPE --loss {loss}'"
