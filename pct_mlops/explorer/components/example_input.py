"""Draws the input of an example that is no image, as HTML: its text or its row. Everything from data is escaped."""

from __future__ import annotations

from pct_mlops.charts import count
from pct_mlops.explorer.components.escaping import excerpt, html_passage, html_text
from pct_mlops.explorer.components.html_table import Column, html_table
from pct_mlops.explorer.queries.example_contents import TILE_COLUMNS
from pct_mlops.predictions.example_texts import MAX_VALUE, Content

STYLE = """<style>
.pct-input{flex:1;padding:11px 12px;font-size:.84rem;line-height:1.45;
background:color-mix(in srgb,currentColor 7%,transparent)}
.pct-input p{margin:0;font-size:inherit;overflow-wrap:anywhere;unicode-bidi:plaintext;text-align:start;
display:-webkit-box;-webkit-line-clamp:8;-webkit-box-orient:vertical;overflow:hidden}
.pct-input table{width:100%;table-layout:fixed;border-collapse:collapse;font-size:.8rem}
.pct-input th{width:42%;font-weight:400;opacity:.75;padding-right:8px}
.pct-input th,.pct-input td{text-align:start;padding-top:1px;padding-bottom:1px;
overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.pct-input small{opacity:.75}
.pct-whole{max-height:min(60vh,34rem);overflow:auto;padding:14px 16px;border-radius:10px;font-size:.95rem;
line-height:1.55;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext;text-align:start;
background:color-mix(in srgb,currentColor 7%,transparent)}
.pct-whole:focus-visible{outline:3px solid #2F86C9;outline-offset:2px}
p.pct-note{font-size:.82rem;opacity:.75;margin:.4rem 0 0}
.pct-row-of{max-height:min(60vh,34rem);overflow:auto;margin-top:.9rem}
.pct-row-of td+td{white-space:pre-wrap;unicode-bidi:plaintext}
</style>"""


def tile_input(content: Content | None) -> str:
    """Return the beginning of a text, or up to six columns of a row, in a tile of the gallery."""
    if content is None:
        return '<div class="pct-input"><small>no text given</small></div>'
    if content.text:
        text = excerpt(content.text)
        more = "…" if content.length > len(content.text) and not text.endswith("…") else ""
        return f'<div class="pct-input"><p dir="auto">{html_passage(text)}{more}</p></div>'
    rows = "".join(
        f'<tr><th title="{html_text(name[:200])}">{html_text(name[:100])}</th>'
        f'<td dir="auto" title="{html_text(value[:200])}">{html_text(value[:100])}</td></tr>'
        for name, value in content.row[:TILE_COLUMNS]
    )
    left = content.num_columns - min(len(content.row), TILE_COLUMNS)
    note = f"<small>and {count(left)} more</small>" if left > 0 else ""
    return f'<div class="pct-input"><table>{rows}</table>{note}</div>'


def whole_input(content: Content) -> str:
    """Return the whole text, as far as it was read, and the whole row as a table."""
    parts = [STYLE]
    if content.text:
        parts.append(
            '<div class="pct-whole" role="region" aria-label="Text of the example" tabindex="0" dir="auto">'
            f"{html_passage(content.text)}</div>"
        )
        if content.length > len(content.text):
            shown = f"The first {count(len(content.text))} of {count(content.length)} characters are shown."
            parts.append(f'<p class="pct-note">{shown}</p>')
    if content.row:
        rows = (
            f'<tr><td>{html_text(name)}</td><td dir="auto">{_value(value)}</td></tr>' for name, value in content.row
        )
        table = html_table((Column("column", "38%"), Column("value")), rows, room="4px 8px")
        region = 'role="region" aria-label="Row of the example" tabindex="0"'
        parts.append(f'<div class="pct-row-of" {region}>{table}</div>')
    return "".join(parts)


def _value(value: str) -> str:
    return html_passage(value[:MAX_VALUE]) + ("…" if len(value) > MAX_VALUE else "")
