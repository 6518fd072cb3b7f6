"""Builds the frame of charts that are HTML: their style, their caption, and marks that are links.

Charts are lists or tables of links, so a keyboard and a screen reader reach every mark. Bars and dots are placed in
percent of their line. Everything that comes from data is escaped here or by `html_text`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pct_mlops.explorer.components.escaping import html_text

# Colours of text and lines derive from the theme's own text colour, so that light and dark both work.
STYLE = """<style>
.pct-chart{--pct-lost:#DD6A1F;--pct-won:#2F86C9;--pct-faint:color-mix(in srgb,currentColor 14%,transparent);
--pct-name:minmax(7rem,15rem);margin:0;font-size:.86rem;line-height:1.3}
.pct-chart figcaption{font-size:.95rem;margin:0 0 .7rem}
.pct-chart ul{list-style:none;margin:0;padding:0!important}
.pct-chart li{margin:0;padding:0}
.pct-chart i{position:absolute;display:block;box-sizing:border-box;font-style:normal}
.pct-chart a,.pct-chart a:hover,.pct-chart a:visited{color:inherit!important;text-decoration:none!important}
.pct-chart a:focus-visible{outline:3px solid var(--pct-won);outline-offset:1px;border-radius:3px;z-index:2}
.pct-chart .pct-key{opacity:.8;font-size:.8rem}
.pct-chart .pct-lost{color:var(--pct-lost)}.pct-chart .pct-won{color:var(--pct-won)}
.pct-chart .pct-note{margin:.4rem 0 0;font-size:.8rem;opacity:.75}
</style>"""


def chart_figure(message: str, body: str, *, style: str, classes: str, note: str = "") -> str:
    """Return a chart as HTML.

    Args:
        message: Sentence that says what the chart shows. It is escaped here.
        body: The marks, as HTML.
        style: CSS of this kind of chart.
        classes: CSS classes of this kind of chart.
        note: Sentence below the chart. It is escaped here.
    """
    below = f'<p class="pct-note">{html_text(note)}</p>' if note else ""
    return (
        f'{STYLE}<style>{style}</style><figure class="pct-chart {classes}">'
        f"<figcaption>{html_text(message)}</figcaption>{body}{below}</figure>"
    )


def chart_link(href: str, says: str, inside: str, classes: str = "", style: str = "") -> str:
    """Return a mark as a link, or as a plain part of the page where `href` is empty.

    Args:
        href: Address within the explorer.
        says: Words for the pointer and a screen reader. They are escaped here.
        inside: HTML of the mark.
        classes: CSS classes.
        style: CSS of this mark alone.
    """
    shape = (f' class="{classes}"' if classes else "") + (f' style="{style}"' if style else "")
    words = f' title="{html_text(says)}" aria-label="{html_text(says)}"'
    if not href:
        return f'<span role="img"{shape}{words}>{inside}</span>'
    return f'<a href="{html_text(href)}" target="_self" data-pct-go="1"{shape}{words}>{inside}</a>'


def part(kind: str, places: Mapping[str, float], text: str = "") -> str:
    """Return a decoration of a mark: an element that is placed in percent. `places` are shares from 0 to 1."""
    style = ";".join(f"{name}:{100 * value:.2f}%" for name, value in places.items())
    return f'<i class="pct-{kind}" aria-hidden="true" style="{style}">{text}</i>'
