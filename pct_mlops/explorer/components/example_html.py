"""Builds parts of pages as HTML: likeliest classes, predictions of all versions, differences. Data is escaped."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import takewhile

from pct_mlops.charts import percent
from pct_mlops.config.difference import Difference
from pct_mlops.explorer.components.gallery import html_text
from pct_mlops.explorer.components.html_table import Column, html_table
from pct_mlops.explorer.queries.example_facts import Past

STYLE = """<style>
.pct-dist{display:grid;grid-template-columns:minmax(0,1fr) minmax(4.2em,max-content);gap:2px 10px;
font-size:.88rem;margin:0}
.pct-dist .pct-line{display:contents}
.pct-dist .pct-name{overflow-wrap:anywhere}
.pct-dist .pct-share{text-align:right;font-variant-numeric:tabular-nums}
.pct-dist .pct-track{grid-column:1/-1;height:6px;border-radius:3px;margin-bottom:6px;
background:color-mix(in srgb,currentColor 12%,transparent)}
.pct-dist .pct-track i{display:block;height:6px;border-radius:3px;background:#74808C}
.pct-dist .pct-track i.pct-is-right{background:#2F86C9}.pct-dist .pct-track i.pct-is-wrong{background:#DD6A1F}
.pct-big{display:flex;align-items:center;justify-content:center;border-radius:10px;aspect-ratio:1;
background:color-mix(in srgb,currentColor 7%,transparent)}
.pct-big img{width:100%;height:100%;object-fit:contain;padding:12px;box-sizing:border-box}
.pct-big img.pct-small{image-rendering:pixelated}
.pct-table tr.pct-here td{background:color-mix(in srgb,currentColor 6%,transparent)}
.pct-change{display:flex;flex-wrap:wrap;gap:4px 12px;align-items:baseline;font-size:1.02rem;
overflow-wrap:anywhere}
.pct-change small{opacity:.75}
.pct-change mark{color:inherit;font-weight:600;padding:0 3px;border-radius:3px;text-decoration:underline;
text-decoration-thickness:2px;text-underline-offset:3px;background:color-mix(in srgb,currentColor 12%,transparent)}
.pct-blue{color:#2F86C9}.pct-orange{color:#DD6A1F}
</style>"""


def mark_of(is_right: bool) -> str:
    """Return a sign for right or wrong as HTML, which can be told apart without its colour."""
    kind, colour, sign = ("right", "blue", "✓") if is_right else ("wrong", "orange", "✗")
    return f'<span class="pct-{colour}" role="img" aria-label="{kind}" title="{kind}">{sign}</span>'


def change_line(old: str, new: str, target: str) -> str:
    """Return both predictions on one line, each with ✓ or ✗. The words that differ between the names are underlined."""
    words = [re.split(r"(\W+)", name) for name in (old, new)]
    start = _num_alike(*words)
    end = _num_alike(*(item[start:][::-1] for item in words))
    sides = []
    for who, name, item in (("old", old, words[0]), ("new", new, words[1])):
        stop = len(item) - end
        before, differs, after = (html_text("".join(part)) for part in (item[:start], item[start:stop], item[stop:]))
        marked = f"<mark>{differs}</mark>" if differs else ""
        sides.append(f"<span><small>{who}</small> {mark_of(name == target)} {before}{marked}{after}</span>")
    return f'{STYLE}<div class="pct-change">{sides[0]}<span role="img" aria-label="became">→</span>{sides[1]}</div>'


def _num_alike(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False)))


def distribution(shares: Sequence[tuple[str, float | None]], target: str, prediction: str) -> str:
    """Return classes with their probabilities as HTML bars, with the target and a wrong prediction marked.

    `shares` are pairs of a class name and its probability from 0 to 1, None where that is not known.
    """
    lines = []
    for name, share in shares:
        kind = "is-right" if name == target else "is-wrong" if name == prediction else "other"
        sign = f"{mark_of(name == target)} " if name in (target, prediction) else ""
        width = 100 * min(max(share or 0.0, 0.0), 1.0)
        said = "not known" if share is None else percent(share)
        lines.append(
            f'<div class="pct-line"><span class="pct-name" title="{html_text(name)}">{sign}{html_text(name)}</span>'
            f'<span class="pct-share">{said}</span></div>'
            f'<div class="pct-track"><i class="pct-{kind}" style="width:{width:.1f}%"></i></div>'
        )
    return f'{STYLE}<div class="pct-dist">{"".join(lines)}</div>'


def past_table(found: Sequence[Past], titles: Sequence[str], on_screen: Collection[int]) -> str:
    """Return an HTML table of what each version predicted for the example, in the order given.

    Versions in `on_screen` are shaded.
    """
    columns = (Column("version", "32%"), Column("prediction"), Column("confidence", "7em", "pct-number"))
    return STYLE + html_table(columns, (_past_row(past, titles, past.version in on_screen) for past in found))


def _past_row(past: Past, titles: Sequence[str], is_here: bool) -> str:
    name = " · ".join([str(past.version), *past.aliases])
    here = ' class="pct-here"' if is_here else ""
    if past.answer is None:
        return f'<tr{here}><td>{html_text(name)}</td><td colspan="2"><i>{html_text(past.problem)}</i></td></tr>'
    right, known = past.answer.prediction == past.answer.label, past.answer.confidence
    sure = "not known" if known is None else percent(known)
    return (
        f"<tr{here}><td>{html_text(name)}</td><td>{mark_of(right)} {html_text(titles[past.answer.prediction])}</td>"
        f'<td class="pct-number">{sure}</td></tr>'
    )


def difference_table(found: Sequence[Difference]) -> str:
    """Return an HTML table of the keys that differ, with both values."""
    rows = (
        f"<tr><td>{html_text(item.key)}</td><td>{html_text(item.old)}</td><td>{html_text(item.new)}</td></tr>"
        for item in found
    )
    return html_table((Column("what", "34%"), Column("old"), Column("new")), rows)
