"""Draws the flips of classes and of slices as bars with bounds, in HTML. Each bar is a link to its examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pct_mlops.charts import SURE, ClassRates, count, interval, percent, printable, probability, slice_title
from pct_mlops.charts.far_bounds import EDGE, reached
from pct_mlops.charts.ticks import nice_step, share
from pct_mlops.explorer.components.chart_frame import chart_figure, chart_link, part
from pct_mlops.explorer.components.escaping import html_text

if TYPE_CHECKING:
    from pct_mlops.comparison import Estimate, SliceExcess

STYLE = """
.pct-bars li,.pct-bars .pct-head,.pct-bars .pct-scale{display:grid;gap:0 18px;align-items:center;
grid-template-columns:var(--pct-name) minmax(0,1fr) 30%}
.pct-bars.pct-one li,.pct-bars.pct-one .pct-head,.pct-bars.pct-one .pct-scale{
grid-template-columns:var(--pct-name) minmax(0,1fr)}
.pct-bars li{min-height:30px;border-top:1px solid var(--pct-faint)}
.pct-bars .pct-head{font-weight:600;padding-bottom:4px;font-size:.8rem}
.pct-bars .pct-head>span,.pct-bars .pct-scale>span{grid-column-start:2;position:relative;display:flex;
justify-content:space-between}
.pct-bars .pct-head>span+span,.pct-bars .pct-scale>span+span{grid-column-start:3}
.pct-bars .pct-label{text-align:right;overflow:hidden;text-overflow:ellipsis;display:-webkit-box;-webkit-line-clamp:2;
-webkit-box-orient:vertical;overflow-wrap:anywhere}
.pct-bars .pct-label small{font-size:.8rem;opacity:.75;white-space:nowrap}
.pct-bars .pct-line-of{position:relative;height:28px;display:block}
.pct-bars a,.pct-bars [role=img]{position:absolute;top:1px;bottom:1px;display:block}
.pct-bars a:hover{background:var(--pct-faint)}
.pct-bars .pct-fill{top:5px;bottom:5px}
.pct-bars .pct-left .pct-fill{background:var(--pct-won)}
.pct-bars .pct-right-side .pct-fill{background:var(--pct-lost)}
.pct-bars .pct-right-side{border-left:1px solid currentColor}
.pct-bars .pct-maybe .pct-fill{background:rgba(221,106,31,.12);border:1.5px solid var(--pct-lost)}
.pct-bars .pct-reach{top:calc(50% - 4px);height:8px;border:solid currentColor;border-width:0 1.2px}
.pct-bars .pct-reach::after{content:"";position:absolute;left:0;right:0;top:calc(50% - .6px);height:1.2px;
background:currentColor}
.pct-bars .pct-beyond{top:calc(50% - .65em);line-height:1.3em;font-size:.8em}
.pct-bars .pct-left .pct-beyond{left:0}.pct-bars .pct-right-side .pct-beyond{right:0}
.pct-bars .pct-rest{top:calc(50% - 5px);width:9px;height:9px;margin-left:-5px;background:currentColor;
transform:rotate(45deg);box-shadow:0 0 0 1.5px Canvas}
.pct-bars .pct-way{top:calc(50% - 1px);height:2px}
.pct-bars .pct-old,.pct-bars .pct-new{top:calc(50% - 5px);width:10px;height:10px;margin-left:-5px;border-radius:50%;
border:2px solid}
.pct-bars .pct-old{background:Canvas}
.pct-bars .is-lost .pct-way,.pct-bars .is-lost .pct-new{background:var(--pct-lost)}
.pct-bars .is-won .pct-way,.pct-bars .is-won .pct-new{background:var(--pct-won)}
.pct-bars .is-lost i{border-color:var(--pct-lost)}.pct-bars .is-won i{border-color:var(--pct-won)}
.pct-bars .pct-scale{height:1.5rem;border-top:1px solid var(--pct-faint);font-size:.78rem;opacity:.8;
align-items:start}
.pct-bars .pct-scale i{transform:translateX(-50%);padding-top:3px}
@media(max-width:640px){
.pct-bars li,.pct-bars .pct-head,.pct-bars .pct-scale{grid-template-columns:minmax(0,1fr) 32%;gap:0 12px;padding:2px 0}
.pct-bars.pct-one li,.pct-bars.pct-one .pct-head,.pct-bars.pct-one .pct-scale{grid-template-columns:minmax(0,1fr)}
.pct-bars .pct-label{grid-column:1/-1;text-align:left;padding-top:3px}
.pct-bars .pct-head>span,.pct-bars .pct-scale>span{grid-column-start:1}
.pct-bars .pct-head>span+span,.pct-bars .pct-scale>span+span{grid-column-start:2}
.pct-bars .pct-head>span{flex-wrap:wrap;gap:0 10px}
}
"""
BEYOND = "An arrow says that the bound lies beyond the axis, because there are few examples."


class Side(NamedTuple):
    """One direction of the bars: what it is called, which way it grows, and the length of its axis."""

    metric: str
    words: str
    classes: str
    reach: float


def class_chart(rows: Sequence[ClassRates], what: str, href: Callable[[ClassRates, str], str]) -> str:
    """Return two opposite bars for each class or slice, in the given order, and beside them both accuracies.

    The axis holds every bar. A far bound of a row with few examples would make all bars too short. An arrow then marks
    that it goes on.

    Args:
        rows: The rows.
        what: The word for a row, "class" or "slice".
        href: Makes the address of a row's examples of one kind of flip.
    """
    if not rows:
        return chart_figure(f"No {what} to show.", "", style=STYLE, classes="pct-bars")
    lost = _side("NFR", "negative flips", "pct-right-side", rows, [row.nfr for row in rows])
    won = _side("PFR", "positive flips", "pct-left", rows, [row.pfr for row in rows])
    zero = won.reach / (won.reach + lost.reach)
    low, high = _accuracy_range(rows)
    items = []
    for row in rows:
        halves = _bar(won, row, row.pfr, href(row, "positive"), {"left": 0.0, "width": zero})
        halves += _bar(lost, row, row.nfr, href(row, "negative"), {"left": zero, "width": 1 - zero})
        both = _accuracies(row, low, high, href(row, "all"))
        items.append(
            f'<li class="pct-bar-row">{_label(row.name, row.support)}<span class="pct-line-of">{halves}</span>'
            f'<span class="pct-line-of">{both}</span></li>'
        )
    is_far = any(_is_far(rate, side) for row in rows for rate, side in ((row.nfr, lost), (row.pfr, won)))
    heads = (
        '<div class="pct-head" aria-hidden="true"><span><span><b class="pct-won">◀</b> positive flips</span>'
        '<span>negative flips <b class="pct-lost">▶</b></span></span><span>accuracy: ○&nbsp;old ●&nbsp;new</span></div>'
    )
    scale = f'<div class="pct-scale" aria-hidden="true"><span>{_ticks(-won.reach, lost.reach, 8)}</span>'
    scale += f"<span>{_ticks(low, high, 3)}</span></div>"
    body = f'{heads}<ul role="list">{"".join(items)}</ul>{scale}'
    return chart_figure(
        _class_message(rows, what), body, style=STYLE, classes="pct-bars", note=BEYOND if is_far else ""
    )


def _class_message(rows: Sequence[ClassRates], what: str) -> str:
    worst = max(rows, key=lambda row: row.nfr.value or 0.0)
    if not worst.nfr.value:
        return f"No {what} shown here has negative flips."
    of = f" of the {count(len(rows))} shown" if len(rows) > 1 else ""
    return f"{printable(worst.name)} loses most{of}: {_said('NFR', worst.nfr, worst.support)}."


def _said(metric: str, rate: Estimate, support: int) -> str:
    number = f", {count(round((rate.value or 0.0) * support))} of {count(support)} examples"
    return f"{metric} {percent(rate.value)} ({interval(rate.lower, rate.upper)}){number}"


def _side(metric: str, words: str, classes: str, rows: Sequence[ClassRates], rates: Sequence[Estimate]) -> Side:
    values = [rate.value or 0.0 for rate in rates]
    ends = [value if rate.upper is None else rate.upper for rate, value in zip(rates, values, strict=True)]
    return Side(metric, words, classes, EDGE * reached(values, ends, [row.support for row in rows]))


def _is_far(rate: Estimate, side: Side) -> bool:
    return rate.upper is not None and rate.upper > side.reach


def _bar(side: Side, row: ClassRates, rate: Estimate, href: str, box: dict[str, float]) -> str:
    value = rate.value or 0.0
    grows_from = "left" if side.metric == "NFR" else "right"
    inside = part("fill", {grows_from: 0.0, "width": value / side.reach}) if value else ""
    inside += _bounds(value, rate.lower, rate.upper, side.reach, grows_from)
    style = ";".join(f"{name}:{100 * size:.2f}%" for name, size in box.items())
    says = f"{row.name}, {side.words}: {_said(side.metric, rate, row.support)}"
    # A link to no example would be one more stop of the Tab key.
    return chart_link(href if value else "", says, inside, side.classes, style)


def _bounds(value: float, lower: float | None, upper: float | None, reach: float, grows_from: str) -> str:
    low, high = value if lower is None else lower, value if upper is None else upper
    if high <= low:
        return ""
    shown = min(high, reach)
    far = part("beyond", {}, "▸" if grows_from == "left" else "◂") if high > reach else ""
    return part("reach", {grows_from: low / reach, "width": (shown - low) / reach}) + far


def _label(name: str, support: int) -> str:
    said = html_text(name)
    return f'<span class="pct-label" title="{said}">{said} <small>({count(support)})</small></span>'


def _accuracy_range(rows: Sequence[ClassRates]) -> tuple[float, float]:
    rates = [rate for row in rows for rate in (row.accuracy_old, row.accuracy_new)]
    values = [rate.value for rate in rates if rate is not None and rate.value is not None] or [0.0, 1.0]
    room = max(0.08 * (max(values) - min(values)), 0.004)
    return min(values) - room, max(values) + room


def _accuracies(row: ClassRates, low: float, high: float, href: str) -> str:
    old, new = row.accuracy_old, row.accuracy_new
    if old is None or new is None or old.value is None or new.value is None:
        return ""
    start, end = ((rate - low) / (high - low) for rate in (old.value, new.value))
    says = (
        f"{row.name}, all changed predictions: accuracy {percent(old.value)} → {percent(new.value)}, "
        f"old {interval(old.lower, old.upper)}, new {interval(new.lower, new.upper)}"
    )
    inside = part("way", {"left": min(start, end), "width": abs(end - start)})
    inside += part("old", {"left": start}) + part("new", {"left": end})
    return chart_link(href, says, inside, "is-lost" if new.value < old.value else "is-won", "left:0;right:0")


def _ticks(low: float, high: float, most: int) -> str:
    step = nice_step(high - low, most)
    places = [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    return "".join(part("tick", {"left": (place - low) / (high - low)}, share(abs(place), step)) for place in places)


def slice_chart(rows: Sequence[SliceExcess], href: Callable[[SliceExcess], str]) -> str:
    """Return a bar for each slice, in the given order.

    A filled bar is above the rest of the examples with a p-value of at most SURE. A hollow one may be so by chance. A
    diamond marks the rate of the rest.
    """
    rates = [max(row.nfr, row.rest_nfr) for row in rows]
    reach = EDGE * reached(rates, [row.upper for row in rows], [row.support for row in rows])
    items = []
    for row in rows:
        title = slice_title(row, 60)
        says = (
            f"{title}, negative flips: NFR {percent(row.nfr)} ({interval(row.lower, row.upper)}), "
            f"{count(row.flips)} of {count(row.support)} examples, rest {percent(row.rest_nfr)}, "
            f"{probability(row.p_value)}"
        )
        inside = part("fill", {"left": 0.0, "width": row.nfr / reach})
        inside += _bounds(row.nfr, row.lower, row.upper, reach, "left") + part("rest", {"left": row.rest_nfr / reach})
        kind = "pct-right-side" if row.p_value <= SURE else "pct-right-side pct-maybe"
        bar = chart_link(href(row), says, inside, kind, "left:0;right:0")
        items.append(f'<li class="pct-bar-row">{_label(title, row.support)}<span class="pct-line-of">{bar}</span></li>')
    first = max(rows, key=lambda row: row.nfr - row.rest_nfr)
    message = (
        f"{slice_title(first, 60)} has an NFR of {percent(first.nfr)}, all other examples {percent(first.rest_nfr)}."
    )
    head = (
        '<div class="pct-head" aria-hidden="true"><span><span>NFR: <b class="pct-lost">■</b> surely more '
        '<b class="pct-lost">□</b> may be chance ◆ all other examples</span></span></div>'
    )
    scale = f'<div class="pct-scale" aria-hidden="true"><span>{_ticks(0.0, reach, 8)}</span></div>'
    note = BEYOND if any(row.upper > reach for row in rows) else ""
    body = f'{head}<ul role="list">{"".join(items)}</ul>{scale}'
    return chart_figure(message, body, style=STYLE, classes="pct-bars pct-one", note=note)
