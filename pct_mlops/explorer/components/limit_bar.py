"""Draws a check as one line of HTML: the allowed side, the bounds, the observed value and the limit."""

from __future__ import annotations

from pct_mlops.explorer.components.gallery import html_text

STYLE = """<style>
.pct-limits{position:relative;height:18px;--pct-dot:10px;--pct-inset:1px}
.pct-limits i{position:absolute;display:block;box-sizing:border-box}
.pct-limits .pct-axis{left:0;right:0;top:calc(50% - 1px);height:2px;
background:color-mix(in srgb,currentColor 20%,transparent)}
.pct-limits .pct-allowed{top:var(--pct-inset);bottom:var(--pct-inset);border-radius:3px;background:rgba(47,134,201,.24)}
.pct-limits .pct-bounds{top:calc(50% - 3px);height:6px;border-radius:3px;min-width:3px;
background:color-mix(in srgb,currentColor 55%,transparent)}
.pct-limits .pct-value{top:calc(50% - var(--pct-dot)/2);width:var(--pct-dot);height:var(--pct-dot);border-radius:50%;
margin-left:calc(var(--pct-dot)/-2);background:currentColor}
.pct-limits .pct-limit{top:0;bottom:0;width:3px;margin-left:-1.5px;border-radius:1px;background:#2F86C9}
.pct-slider{height:26px;--pct-dot:12px;--pct-inset:3px;margin:-14px 7px 0}
.pct-slider .pct-value{border:2px solid color-mix(in srgb,currentColor 15%,Canvas)}
</style>"""


def line(
    limit: float,
    value: float | None,
    bounds: tuple[float, float] | None,
    *,
    at_most: bool,
    says: str = "",
    classes: str = "",
) -> str:
    """Return the line as HTML. All places lie between 0 (left) and 1 (right).

    Args:
        limit: Place of the limit.
        value: Place of the observed value, None without one.
        bounds: Places of the lower and the upper bound, None without them.
        at_most: Whether the left side of the limit is allowed, and not the right one.
        says: Words for a screen reader and the pointer. A line with words beside it needs none.
        classes: Further CSS classes of the line.
    """
    left, right = (0.0, limit) if at_most else (limit, 1.0)
    parts = [_part("allowed", left, right - left), '<i class="pct-axis"></i>']
    if bounds is not None:
        parts.append(_part("bounds", bounds[0], bounds[1] - bounds[0]))
    if value is not None:
        parts.append(_part("value", value))
    parts.append(_part("limit", limit))
    heard = f'role="img" aria-label="{html_text(says)}" title="{html_text(says)}"' if says else 'aria-hidden="true"'
    return f'<div class="{f"pct-limits {classes}".strip()}" {heard}>{"".join(parts)}</div>'


def _part(kind: str, start: float, width: float | None = None) -> str:
    wide = "" if width is None else f";width:{100 * width:.2f}%"
    return f'<i class="pct-{kind}" style="left:{100 * start:.2f}%{wide}"></i>'
