"""Shows what it costs to serve a mean of models, beside the cost of its members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pct_mlops.reports.terminal import clean


class ServingCost(NamedTuple):
    """Cost of one model: parameters, bytes of its weights, and seconds for one example."""

    title: str
    num_parameters: int
    num_bytes: int
    seconds: float


def render_cost(
    members: Sequence[ServingCost], mean: ServingCost, *, shares: Sequence[float], reference: int, how: str
) -> RenderableType:
    """Render a row for each member and one for the mean, and the mean's time as a multiple of one member's.

    Args:
        members: The versions that the mean was made of.
        mean: The version that holds their mean.
        shares: Share of each version in the mean. They add up to 1.
        reference: Place of the version that the mean is compared with.
        how: How the times were measured.
    """
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("", overflow="fold")
    for name in ("share", "parameters", "weights", "per example"):
        table.add_column(name, justify="right", no_wrap=True)
    for cost, share in zip([*members, mean], [*shares, None], strict=True):
        table.add_row(
            clean(cost.title),
            "" if share is None else f"{share:.1%}",
            f"{cost.num_parameters:,}",
            f"{cost.num_bytes / 1e6:.2f} MB",
            f"{1000 * cost.seconds:.3g} ms",
            style="bold" if share is None else None,
        )
    base = members[reference]
    line = f"Cost of a prediction: {mean.seconds / base.seconds:.1f} x {base.title}, measured {how}."
    return Group(Padding(table, (0, 0, 1, 0)), Text(clean(line)))
