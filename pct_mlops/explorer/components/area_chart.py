"""Draws the 2x2 of old and new predictions as HTML: area is the number of examples, and each group is a link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pct_mlops.charts import count, percent
from pct_mlops.explorer.components.chart_frame import chart_figure, chart_link

if TYPE_CHECKING:
    from pct_mlops.comparison import FlipCounts

STYLE = """
.pct-areas ul{position:relative;height:300px;margin:50px 0 62px!important}
.pct-areas .pct-area{position:absolute;display:block;box-sizing:border-box;min-width:2px;min-height:2px}
.pct-areas .pct-both_right{background:rgba(134,160,182,.5)}.pct-areas .pct-negative{background:var(--pct-lost)}
.pct-areas .pct-positive{background:var(--pct-won)}.pct-areas .pct-both_wrong{background:#74808C}
.pct-areas .pct-area.pct-none-of{background:none}
.pct-areas a:hover,.pct-areas a:focus-visible{box-shadow:0 0 0 2px currentColor;z-index:1}
.pct-areas a:hover u,.pct-areas a:focus-visible u{text-decoration:underline!important}
.pct-areas .pct-corner{position:absolute;white-space:nowrap;height:46px;display:flex;flex-direction:column}
.pct-areas .pct-corner u{text-decoration:none}
.pct-areas .pct-corner small{font-size:.78rem;opacity:.8}
.pct-both_right .pct-corner{left:0;top:-48px;justify-content:flex-end}
.pct-positive .pct-corner{right:0;top:-48px;justify-content:flex-end;text-align:right}
.pct-negative .pct-corner{left:0;bottom:-48px}
.pct-both_wrong .pct-corner{right:0;bottom:-48px;text-align:right}
.pct-areas b.pct-square{font-weight:400}
.pct-both_right .pct-square{color:rgba(134,160,182,.9)}.pct-negative .pct-square{color:var(--pct-lost)}
.pct-positive .pct-square{color:var(--pct-won)}.pct-both_wrong .pct-square{color:#74808C}
"""
NAMES = {
    "both_right": "Both right",
    "negative": "Negative flips",
    "positive": "Positive flips",
    "both_wrong": "Both wrong",
}


def area_chart(counts: FlipCounts, num_changed: int, links: Mapping[str, str]) -> str:
    """Return the four groups as areas of one square.

    The widths are the shares of old right and old wrong. Within each, the heights are the shares of new right (top) and
    new wrong. Labels stand outside, at the corner of their group, because the flips are often thin slivers.

    Args:
        counts: The 2x2.
        num_changed: Number of examples that both got wrong with different predictions.
        links: Kind -> address of its examples. A kind that is missing is no link.
    """
    if counts.total == 0:
        return chart_figure("No examples.", "", style=STYLE, classes="pct-areas")
    numbers = {
        "both_right": counts.both_right,
        "negative": counts.negative_flips,
        "positive": counts.positive_flips,
        "both_wrong": counts.both_wrong,
    }
    notes = {"both_wrong": f"{count(num_changed)} differently, {count(counts.both_wrong - num_changed)} alike"}
    items = []
    for kind, box in _boxes(counts).items():
        label, says = _words(kind, numbers[kind], counts.total, notes.get(kind, "") if numbers[kind] else "")
        style = ";".join(f"{name}:{100 * size:.2f}%" for name, size in box.items())
        classes = f"pct-area pct-{kind}" + ("" if numbers[kind] else " pct-none-of")
        items.append(f"<li>{chart_link(links.get(kind, ''), says, label, classes, style)}</li>")
    lost, won = counts.negative_flips, counts.positive_flips
    message = f"{count(lost)} of {count(counts.total)} examples ({percent(lost / counts.total)}) were right and are "
    message += f"wrong now. {count(won)} went the other way."
    return chart_figure(message, f'<ul role="list">{"".join(items)}</ul>', style=STYLE, classes="pct-areas")


def _words(kind: str, number: int, total: int, note: str) -> tuple[str, str]:
    """Return the label of a group as HTML, and what a screen reader says."""
    share = percent(number / total)
    more = f"<small>{note}</small>" if note else ""
    label = (
        f'<span class="pct-corner"><span><b class="pct-square">■</b> <u>{NAMES[kind]}</u></span>'
        f"<span><b>{count(number)}</b> · {share}</span>{more}</span>"
    )
    says = f"{NAMES[kind]}: {count(number)} of {count(total)} ({share})"
    return label, f"{says}, {note}" if note else says


def _boxes(counts: FlipCounts) -> dict[str, dict[str, float]]:
    old_right = counts.both_right + counts.negative_flips
    share = old_right / counts.total
    kept = counts.both_right / old_right if old_right else 0.0
    gained = counts.positive_flips / (counts.total - old_right) if old_right < counts.total else 0.0
    return {
        "both_right": {"left": 0.0, "width": share, "top": 0.0, "height": kept},
        "negative": {"left": 0.0, "width": share, "top": kept, "height": 1 - kept},
        "positive": {"left": share, "width": 1 - share, "top": 0.0, "height": gained},
        "both_wrong": {"left": share, "width": 1 - share, "top": gained, "height": 1 - gained},
    }
