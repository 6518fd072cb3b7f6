"""The registry with two tiny versions that these tests share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "workflows")]

from moving_store import begun, clock, filled, plain, shoes, started  # noqa: E402, F401
from tiny_store import empty, shared_store, store, trained  # noqa: E402, F401
