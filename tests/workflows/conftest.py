"""The registry with two tiny versions that these tests share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))

from foreign_store import foreign, foreign_server  # noqa: F401
from tiny_store import empty, shared_store, store, trained  # noqa: F401
