"""Builds HTML tables that wrap with the window. The caller of `html_table` escapes what comes from data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pct_mlops.explorer.components.escaping import html_text

STYLE = """<style>
.pct-table{width:100%;border-collapse:collapse;font-size:.88rem;table-layout:fixed}
.pct-table th{font-weight:600;opacity:.75;font-size:.8rem;text-align:left}
.pct-table th,.pct-table td{padding:var(--pct-room,6px 8px);vertical-align:top;overflow-wrap:anywhere;
border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}
.pct-table .pct-number{text-align:right;font-variant-numeric:tabular-nums}
.pct-table small{opacity:.7}
.pct-table th.pct-number{text-align:right}
.pct-folded summary{cursor:pointer;font-size:.9rem;padding:.35rem 0}
@media(max-width:640px){
.pct-stack,.pct-stack>tbody,.pct-stack>tbody>tr,.pct-stack>tbody>tr>td{display:block;width:100%;box-sizing:border-box}
.pct-stack>colgroup,.pct-stack>tbody>tr:first-child{display:none}
.pct-stack>tbody>tr{padding:8px 0;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}
.pct-stack>tbody>tr>td{border:0!important;padding:2px 0!important;text-align:left!important}
.pct-stack>tbody>tr>td[data-label]::before{content:attr(data-label)": ";opacity:.75}
}
</style>"""


_WORDS = ("class", "column", "value")  # columns of a folded table that hold names


class Column(NamedTuple):
    """A column: title, width in CSS ("" takes a share of what is left), and CSS classes of its head and width."""

    title: str
    width: str = ""
    classes: str = ""


def html_table(columns: Sequence[Column], rows: Iterable[str], *, room: str = "", classes: str = "") -> str:
    """Return an HTML table.

    Args:
        columns: Columns, in the order of the cells.
        rows: Rows, each a whole <tr> element.
        room: Padding of a cell in CSS, "" for the usual one.
        classes: Further CSS classes of the table. `pct-stack` puts the cells of a row below each other on a phone. The
            head is left out there: a cell says in `data-label` what its number is.
    """
    shape = "".join(f"<col{_given('class', column.classes)}{_given('style', _width(column))}>" for column in columns)
    head = "".join(f"<th{_given('class', column.classes)}>{column.title}</th>" for column in columns)
    style = _given("style", f"--pct-room:{room}" if room else "")
    return (
        f'{STYLE}<table class="{f"pct-table {classes}".strip()}"{style}><colgroup>{shape}</colgroup>'
        f"<tr>{head}</tr>{''.join(rows)}</table>"
    )


def folded_table(columns: Mapping[str, Sequence[str]]) -> str:
    """Return the numbers of a chart as a table that is folded away at first. Names and values are escaped here."""
    heads = [Column(html_text(name), classes="" if name in _WORDS else "pct-number") for name in columns]
    rows = (
        "<tr>"
        + "".join(
            f'<td{_given("class", head.classes)} data-label="{head.title}">{html_text(value)}</td>'
            for head, value in zip(heads, values, strict=True)
        )
        + "</tr>"
        for values in zip(*columns.values(), strict=True)
    )
    table = html_table(heads, rows, room="4px 8px", classes="pct-stack")
    return f'<details class="pct-folded"><summary>Show as a table</summary>{table}</details>'


def _width(column: Column) -> str:
    return f"width:{column.width}" if column.width else ""


def _given(name: str, value: str) -> str:
    return f' {name}="{value}"' if value else ""
