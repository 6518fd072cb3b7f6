"""Makes every check a pytest case of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pct_mlops.config import DataConfig
from pct_mlops.losses import Distance, Focus
from pct_mlops.testing.datasets import DATASET_CHECKS, as_loader
from pct_mlops.testing.distances import DISTANCE_CHECKS
from pct_mlops.testing.focuses import FOCUS_CHECKS
from pct_mlops.testing.outputs import made_by, title


def parametrize_with_checks(parts: Iterable[Distance | Focus | str]) -> Callable[..., Any]:
    """Decorate a test of `part` and `check` so that it runs every check on every part. Needs pytest.

    Args:
        parts: Distances and focuses, as instances, and data sets by their names.

    Returns:
        A decorator for a test that calls `check(part)`.

    Raises:
        AssertionError: A part is none of these.

    Example:
        >>> @parametrize_with_checks([MyDistance(), MyDistance(margin=0.5)])  # doctest: +SKIP
        ... def test_my_distances(part, check):
        ...     check(part)
    """
    import pytest

    cases = []
    for number, part in enumerate(parts):
        subject: Any
        checks: Iterable[Any]
        if isinstance(part, str):
            subject, checks, name = as_loader(part, DataConfig()), DATASET_CHECKS, part
        elif isinstance(part, Focus):
            subject, checks, name = part, FOCUS_CHECKS, title(part)
        else:
            subject, checks, name = made_by(part, Distance), DISTANCE_CHECKS, title(part)
        cases += [pytest.param(subject, check, id=f"{name}-{number}-{check.__name__}") for check in checks]
    return pytest.mark.parametrize(("part", "check"), cases)
