"""Renders the flip risk of a model for a terminal: the examples at most risk, the classes, and the expected NFR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pct_mlops.config.numbers import percent
from pct_mlops.reports.terminal import clean, metric_text

if TYPE_CHECKING:
    from pct_mlops.predictions.flip_risk import FlipRisk, RankingQuality

_MAX_CLASSES = 20


def render_risk(
    risk: FlipRisk,
    *,
    notes: Sequence[str] = (),
    rankings: Sequence[RankingQuality] = (),
    against: str = "",
    limit: int = 20,
) -> RenderableType:
    """Render at most `limit` examples of the highest risk, the classes, and what they add up to.

    Args:
        risk: The risks.
        notes: Sentences below the title.
        rankings: How well the risks rank the flips of `against`.
        against: Title of that candidate.
        limit: Most examples.
    """
    info = risk.table.info
    parts: list[RenderableType] = [
        Text(clean(f"Flip risk of {info.title}, {info.num_examples:,} {info.split} examples"), style="bold"),
        *(Text(clean(note)) for note in notes),
        Padding(_examples(risk, limit), (1, 0)),
        Padding(_classes(risk), (0, 0, 1, 0)),
    ]
    if risk.expected_nfr is not None:
        between = percent(risk.nfr_between_members)
        parts.append(
            Text(
                f"Expected NFR of one more retraining: {percent(risk.expected_nfr)}. The floor between the "
                f"{risk.num_members} retrainings is {between}. {risk.num_at_risk:,} examples have a risk above 0."
            )
        )
    return Group(*parts, *_rankings(rankings, against))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=place > 0, overflow="fold")
    return table


def _examples(risk: FlipRisk, limit: int) -> Table:
    table = _table("example", "label", "confidence", "margin", "risk")
    for row in risk.top(limit):
        shown = (f"{row[name]:.3f}" if row[name] is not None else "–" for name in ("confidence", "margin", "risk"))
        table.add_row(Text(clean(row["sample_id"])), Text(clean(row["label"])), *shown)
    return table


def _classes(risk: FlipRisk) -> Table:
    is_rate = risk.expected_nfr is not None
    found = risk.classes()
    table = _table("class", "examples", "expected NFR" if is_rate else "mean risk")
    for part in found[:_MAX_CLASSES]:
        rate = percent(part.rate) if is_rate else f"{part.rate:.3f}"
        table.add_row(Text(clean(part.name)), f"{part.num_examples:,}", rate)
    if len(found) > _MAX_CLASSES:
        table.add_row(f"{len(found) - _MAX_CLASSES:,} more", "", "")
    return table


def _rankings(rankings: Sequence[RankingQuality], against: str) -> list[RenderableType]:
    if not rankings:
        return []
    first = rankings[0]
    what = f"Negative flips of {against}: {first.num_flips:,} among {first.num_right:,} examples that were right"
    if first.auroc is None:
        return [Text(clean(f"{what}. No order can be judged by them."))]
    table = _table("order", "AUROC", "flips in the first tenth")
    for found in rankings:
        table.add_row(found.order, metric_text(found.auroc, "ratio"), percent(found.top_share, 1))
    return [Text(""), Text(clean(f"{what}."), style="bold"), Padding(table, (1, 0, 0, 0))]
