"""Renders several candidates against one baseline, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from pct_mlops.reports.terminal import STYLES, clean, metric_text

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison
    from pct_mlops.gate import Decision


def render_candidates(judged: Sequence[tuple[str, Decision, Comparison | None]]) -> Table:
    """Render a table with one row for each (title, decision, comparison).

    The columns are accuracy, its change, NFR with its upper bound, PFR and verdict.
    """
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("candidate", overflow="fold")
    for name in ("accuracy", "change", "NFR", "at most", "PFR"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for title, decision, comparison in judged:
        numbers = ["–"] * 5
        if comparison is not None:
            accuracy, change, nfr, pfr = (
                comparison.estimate(key, decision.confidence)
                for key in ("accuracy_new", "accuracy_change", "nfr", "pfr")
            )
            numbers = [
                metric_text(accuracy.value, "share"),
                metric_text(change.value, "signed share"),
                metric_text(nfr.value, "share"),
                metric_text(nfr.upper, "share"),
                metric_text(pfr.value, "share"),
            ]
        mark, style = STYLES[str(decision.verdict)]
        table.add_row(Text(clean(title)), *numbers, Text(f"{mark} {decision.verdict}", style=style))
    return table
