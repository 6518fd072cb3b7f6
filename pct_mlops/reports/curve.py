"""Reports on updates without constrained training.

These are the curve of a weight interpolation, and predictions that update stored labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pct_mlops.config.numbers import percent, points
from pct_mlops.reports.documents import REPORT_VERSION, comparison_to_json
from pct_mlops.reports.terminal import clean, metric_text

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison


class CurvePoint(NamedTuple):
    """A model between new (`share` 0 of the old weights) and old (1). Accuracy and NFR on val are fractions."""

    share: float
    accuracy: float
    nfr: float


def render_curve(
    curve: Sequence[CurvePoint], chosen: CurvePoint, *, old: str, new: str, tolerance: float
) -> RenderableType:
    """Render a row for every point of the curve, by share of the old weights, and the rule by which one was chosen."""
    reference = next(point.accuracy for point in curve if point.share == 0)
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for name in ("old share", "val accuracy", "against new", "val NFR"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for point in curve:
        notes = [name for share, name in ((0, "new"), (1, "old")) if point.share == share]
        notes += ["← chosen"] if point == chosen else []
        table.add_row(
            f"{point.share:.4g}",
            percent(point.accuracy),
            points(point.accuracy - reference),
            percent(point.nfr),
            " ".join(notes),
            style="bold" if point == chosen else None,
        )
    title = Text(clean(f"{new} mixed with {old}"), style="bold")
    rule = (
        f"Chosen on val: the lowest NFR among those at most {100 * tolerance:.4g} points of accuracy below the new one."
    )
    return Group(title, Padding(table, (1, 0)), Text(rule, style="dim"))


def render_against(
    rows: Sequence[tuple[str, Comparison]], *, baseline: str, confidence: float = 0.95
) -> RenderableType:
    """Render several models against one baseline, which is the first row.

    The columns are accuracy, NFR with its bounds, PFR and churn.
    """
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("", overflow="fold")
    for name in ("accuracy", "NFR", "at least", "at most", "PFR", "changed"):
        table.add_column(name, justify="right", no_wrap=True)
    first = rows[0][1]
    table.add_row(
        Text(clean(baseline)), metric_text(first.estimate("accuracy_old", confidence).value, "share"), *["–"] * 5
    )
    for title, comparison in rows:
        accuracy, nfr, pfr, churn = (
            comparison.estimate(key, confidence) for key in ("accuracy_new", "nfr", "pfr", "churn")
        )
        values = (accuracy.value, nfr.value, nfr.lower, nfr.upper, pfr.value, churn.value)
        table.add_row(Text(clean(title)), *(metric_text(value, "share") for value in values))
    note = (
        f"{first.counts.total:,} examples of {first.new.split or 'the table'}, each against {baseline}; "
        f"at least and at most are one-sided bounds of NFR, each at {100 * confidence:.4g}% confidence."
    )
    return Group(Padding(table, (0, 0, 1, 0)), Text(clean(note), style="dim"))


def interpolation_to_json(
    curve: Sequence[CurvePoint],
    chosen: CurvePoint,
    *,
    old: str,
    new: str,
    tolerance: float,
    test: Mapping[str, Comparison],
) -> dict[str, Any]:
    """Return the curve on val, the chosen point, and the comparisons on test by name, each against the old model."""
    return {
        "report_version": REPORT_VERSION,
        "kind": "interpolation",
        "old_uri": old,
        "new_uri": new,
        "tolerance": tolerance,
        "curve": [point._asdict() for point in curve],
        "chosen": chosen._asdict(),
        "test": {name: comparison_to_json(comparison) for name, comparison in test.items()},
    }


def prediction_update_to_json(
    replaced: Comparison, updated: Comparison, *, strategy: str, cost_ratio: float | None, smoothing: float
) -> dict[str, Any]:
    """Return two comparisons with the stored labels: of all new predictions, and of the update.

    `cost_ratio` is None for a strategy that does not use it.
    """
    return {
        "report_version": REPORT_VERSION,
        "kind": "prediction_update",
        "strategy": strategy,
        "cost_ratio": cost_ratio,
        "smoothing": smoothing,
        "replaced": comparison_to_json(replaced),
        "updated": comparison_to_json(updated),
    }
