"""Makes the folder that artifacts are copied to."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from pathlib import Path


@cache
def downloads() -> Path:
    """Make the folder that this process copies artifacts to. It is removed when the process ends.

    A file is copied once, because logged models never change their id.
    """
    folder = tempfile.TemporaryDirectory(prefix="pct-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
