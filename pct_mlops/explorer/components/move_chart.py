"""Draws the moves of production in their order as HTML: the flips of each, and their running sum. Each is a link."""

from __future__ import annotations

from collections.abc import Sequence

from pct_mlops.charts import MovePoint, count, interval, percent, running
from pct_mlops.charts.ticks import nice_step, share
from pct_mlops.explorer.components.chart_frame import chart_figure, chart_link, part
from pct_mlops.explorer.components.escaping import html_text

STYLE = """
.pct-moves .pct-plot{display:grid;grid-template-columns:3.4rem minmax(0,1fr);overflow-x:auto;padding-top:.6rem}
.pct-moves .pct-side{position:relative;height:300px}
.pct-moves .pct-side .pct-tick{right:10px;transform:translateY(50%);font-size:.78rem;opacity:.8}
.pct-moves ul{display:flex;min-width:calc(var(--pct-moves)*3.2rem);position:relative}
.pct-moves li{flex:1;min-width:0}
.pct-moves li>a,.pct-moves li>[role=img]{display:block;position:relative}
.pct-moves li>a:hover{background:var(--pct-faint)}
.pct-moves .pct-panel{display:block;position:relative;height:170px;border-bottom:1px solid currentColor}
.pct-moves .pct-panel+.pct-panel{height:90px;margin-top:40px}
.pct-moves .pct-panel b{position:absolute;left:calc(50% - .6em);width:1.2em;line-height:1.2em;text-align:center;
font-weight:400;margin-bottom:-.6em;font-size:1.35em}
.pct-moves .pct-reach{left:calc(50% - 4px);width:8px;border:solid currentColor;border-width:1.2px 0}
.pct-moves .pct-reach::after{content:"";position:absolute;top:0;bottom:0;left:calc(50% - .6px);width:1.2px;
background:currentColor}
.pct-moves .pct-sum{left:0;right:0;bottom:0;background:rgba(221,106,31,.2);border-top:2px solid var(--pct-lost)}
.pct-moves .pct-when{display:block;text-align:center;font-size:.78rem;padding-top:4px;
overflow:hidden}
.pct-moves .pct-when small{font-size:.72rem;opacity:.75;display:block}
.pct-moves .pct-heading{font-weight:600;font-size:.8rem;margin:0 0 6px}
"""
SIGNS = {"promotion": "●", "override": "◆", "rollback": "◀", "adopted": "■"}
HEIGHT, SUMS, GAP = 170, 90, 41  # pixels of the panels, and between them


def move_chart(points: Sequence[MovePoint], links: Sequence[str]) -> str:
    """Return the NFR of each move with its bounds, and below it the sum of all flips so far, from left to right.

    Moves whose flips are not known are left out.

    Args:
        points: The moves, the oldest first.
        links: Address of the comparison behind each move, "" for none.
    """
    known = [
        (point, point.nfr, point.nfr.value, href)
        for point, href in zip(points, links, strict=True)
        if point.nfr is not None and point.nfr.value is not None
    ]
    if not known:
        return chart_figure("No moves to show.", "", style=STYLE, classes="pct-moves")
    totals = running([point for point, *_ in known])
    top = max(1.08 * max(value if rate.upper is None else rate.upper for _, rate, value, _ in known), 1e-4)
    most = max(1.15 * totals[-1], 1.0)
    items = []
    for (point, rate, value, href), total in zip(known, totals, strict=True):
        low, high = value if rate.lower is None else rate.lower, value if rate.upper is None else rate.upper
        kind = "pct-won" if point.kind == "promotion" else "pct-lost"
        upper = part("reach", {"bottom": low / top, "height": (high - low) / top})
        upper += f'<b class="{kind}" aria-hidden="true" style="bottom:{100 * value / top:.2f}%">{SIGNS[point.kind]}</b>'
        says = (
            f"{point.title}, {point.kind} on {point.when[:10]}: NFR {percent(value)} "
            f"({interval(rate.lower, rate.upper)}), {count(point.num_flips or 0)} negative flips, {count(total)} so far"
        )
        lower = part("sum", {"height": total / most})
        inside = (
            f'<span class="pct-panel">{upper}</span><span class="pct-panel">{lower}</span>'
            f'<span class="pct-when">{html_text(point.title)}<small>{html_text(point.when[:10])}</small></span>'
        )
        items.append(f"<li>{chart_link(href, says, inside)}</li>")
    last, last_total = known[-1], totals[-1]
    which = "last" if len(known) > 1 else "only"
    message = f"The {which} move, {last[0].title}, has an NFR of {percent(last[2])}. "
    message += f"All {count(len(known))} together: {count(last_total)} negative flips." if len(known) > 1 else ""
    body = (
        '<p class="pct-heading" aria-hidden="true">NFR of each move, and below it the negative flips of all so far</p>'
        f'<div class="pct-plot"><div class="pct-side" aria-hidden="true">{_scales(top, most)}</div>'
        f'<ul role="list" style="--pct-moves:{len(known)}">{"".join(items)}</ul></div>'
    )
    return chart_figure(message, body, style=STYLE, classes="pct-moves")


def _scales(top: float, most: float) -> str:
    """Return the ticks of both panels, placed from the bottom of their column."""
    whole = 300
    step = nice_step(top, 4)
    upper = [(step * number, share(step * number, step)) for number in range(int(top / step + 1e-9) + 1)]
    size = max(nice_step(most, 3), 1.0)
    lower = [(size * number, count(round(size * number))) for number in range(int(most / size + 1e-9) + 1)]
    ticks = [(whole - HEIGHT + HEIGHT * value / top, text) for value, text in upper]
    ticks += [(whole - HEIGHT - GAP - SUMS + SUMS * value / most, text) for value, text in lower]
    return "".join(part("tick", {"bottom": place / whole}, text) for place, text in ticks)
