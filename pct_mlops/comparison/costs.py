"""Looks up the cost of a flip by class."""

from __future__ import annotations

from collections.abc import Mapping

from pct_mlops.config import unknown
from pct_mlops.config.policy_files import to_cost


def costs_by_index(names: tuple[str, ...], costs: Mapping[str, float] | None) -> list[float] | None:
    """Return the cost of a flip by class index, or None without `costs`. A class that is not named costs 1.

    Raises:
        PctError: `costs` names a class that does not exist, or a cost does not fit.
    """
    if costs is None:
        return None
    for name in costs:
        if name not in names:
            raise unknown("class under 'costs'", name, list(names))
    return [to_cost(name, costs.get(name, 1.0)) for name in names]
