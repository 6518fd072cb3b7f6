"""Builds the gallery of examples as one responsive HTML grid of links. Everything that comes from data is escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from pct_mlops.charts import percent
from pct_mlops.explorer.components import example_input
from pct_mlops.explorer.components.escaping import exact, html_text, middle
from pct_mlops.explorer.queries.png import MOST_PIXELS, png_size
from pct_mlops.predictions.example_texts import Content

_ID, _WIDE_ID = 24, 34  # characters of an id on a tile
_SMALL = 96  # pixels; images up to this width are enlarged without blurring

# Colours of text and lines derive from the theme's own text colour, so that light and dark both work.
STYLE = """<style>
.pct-grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(168px,1fr));gap:14px;margin:0}
.pct-grid.pct-wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,250px),1fr))}
.pct-cell{position:relative;min-width:0;display:flex}
.pct-cell>.pct-tile{flex:1}
.pct-cell:has(:checked)>.pct-tile{border-color:#2F86C9;box-shadow:0 0 0 1px #2F86C9}
.pct-tick{position:absolute;top:0;right:0;padding:9px 9px 13px 13px;cursor:pointer;line-height:0}
.pct-tick input{width:20px;height:20px;margin:0;cursor:pointer;accent-color:#2F86C9}
.pct-tick input:focus-visible{outline:3px solid #2F86C9;outline-offset:2px}
.pct-plain .pct-input:first-child{padding-right:42px}
.pct-plain figcaption:first-child .pct-target{padding-right:30px}
.pct-tile figure{margin:0;flex:1;display:flex;flex-direction:column}
.pct-tile{border:1px solid color-mix(in srgb,currentColor 18%,transparent);border-radius:10px;
overflow:hidden;min-width:0;display:flex;flex-direction:column}
a.pct-tile,a.pct-tile:hover{color:inherit!important;text-decoration:none!important}
a.pct-tile:hover{border-color:color-mix(in srgb,currentColor 50%,transparent)}
a.pct-tile:focus-visible{outline:3px solid #2F86C9;outline-offset:2px}
.pct-image{position:relative;aspect-ratio:4/3;display:flex;align-items:center;justify-content:center;
background:color-mix(in srgb,currentColor 7%,transparent)}
.pct-image img{width:100%;height:100%;object-fit:contain;padding:8px;box-sizing:border-box}
.pct-image img.pct-small{image-rendering:pixelated}
.pct-mark{position:absolute;top:6px;left:6px;padding:1px 7px;border-radius:9px;font-size:.72rem;font-weight:600;
color:#fff;background:#4a545e}
figure>.pct-mark{position:static;align-self:flex-start;margin:9px 11px}
.pct-none{font-size:.78rem;opacity:.7;text-align:center;padding:0 12px;line-height:1.4}
.pct-text{padding:9px 11px 11px;font-size:.84rem;line-height:1.35}
.pct-cut{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;min-width:0}
.pct-two{display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden;overflow-wrap:anywhere}
.pct-target{font-weight:600;font-size:.92rem}
.pct-id{opacity:.65;font-size:.74rem;margin-bottom:6px}
.pct-row{display:flex;gap:5px;align-items:baseline;margin-top:7px;font-size:.76rem}
.pct-who{opacity:.75}
.pct-conf{font-variant-numeric:tabular-nums;white-space:nowrap;margin-left:auto}
.pct-bar{height:3px;border-radius:2px;margin-top:3px;background:color-mix(in srgb,currentColor 14%,transparent)}
.pct-bar i{display:block;height:3px;border-radius:2px}
.pct-right{color:#2F86C9}.pct-wrong{color:#DD6A1F}
.pct-bar .pct-right{background:#2F86C9}.pct-bar .pct-wrong{background:#DD6A1F}
</style>"""


@dataclass(frozen=True)
class TilePrediction:
    """A prediction on a tile: class name, confidence from 0 to 1 where it is known, and whether it is the target."""

    name: str
    confidence: float | None
    is_right: bool


@dataclass(frozen=True)
class Tile:
    """An example of the gallery.

    Attributes:
        sample_id: Id of the example.
        target: Title of its class.
        old: Prediction of the old model, None where only one model is shown.
        new: Prediction of the new model.
        png: Image, None when none is stored.
        href: Address of the example.
        mark: A reviewer's mark in words, "" without one.
        content: Text or row, which is shown where there is no image. None where none is known.
        is_picked: Whether its checkbox is ticked. None where it has none.
    """

    sample_id: str
    target: str
    old: TilePrediction | None
    new: TilePrediction
    png: bytes | None = None
    href: str = ""
    mark: str = ""
    content: Content | None = None
    is_picked: bool | None = None


def gallery(tiles: Sequence[Tile]) -> str:
    """Return all tiles as one HTML grid that wraps with the window.

    Tiles have room for an image only if at least one of them has an image.
    """
    pictured = any(tile.png is not None for tile in tiles)
    written = any(tile.content is not None and tile.png is None for tile in tiles)
    grid = f'<div class="pct-grid{" pct-wide" if written else ""}">'
    shown = "".join(_cell(tile, pictured, written) for tile in tiles)
    return f"{STYLE}{example_input.STYLE if written else ''}{grid}{shown}</div>"


def _cell(tile: Tile, pictured: bool, written: bool) -> str:
    """Return a tile, with a checkbox beside its link where it can be picked: a link cannot hold another control."""
    link = _tile(tile, pictured, written)
    if tile.is_picked is None:
        return link
    checked = " checked" if tile.is_picked else ""
    plain = "" if pictured and (tile.png is not None or not written) else " pct-plain"
    name = html_text(f"select {middle(tile.sample_id, _WIDE_ID)}")
    box = f'<input type="checkbox" data-pct-tick="{exact(tile.sample_id)}" aria-label="{name}"{checked}>'
    return f'<div class="pct-cell{plain}">{link}<label class="pct-tick" title="{name}">{box}</label></div>'


def _tile(tile: Tile, pictured: bool, written: bool) -> str:
    mark = f'<span class="pct-mark">{html_text(tile.mark)}</span>' if tile.mark else ""
    if written and tile.png is None:
        shown = mark + example_input.tile_input(tile.content)
    elif pictured:
        shown = f'<div class="pct-image">{image(tile.png, f"{tile.target} ({tile.sample_id})")}{mark}</div>'
    else:
        shown = mark
    short = middle(tile.sample_id, _WIDE_ID if written else _ID)
    return (
        f'<a class="pct-tile" href="{html_text(tile.href)}" target="_self" data-pct-id="{exact(tile.sample_id)}">'
        f"<figure>{shown}"
        f'<figcaption class="pct-text">'
        f'<div class="pct-target pct-two" title="target: {html_text(tile.target)}">{html_text(tile.target)}</div>'
        f'<div class="pct-id pct-cut" title="{html_text(tile.sample_id)}">{html_text(short)}</div>'
        f"{_prediction('old', tile.old) if tile.old else ''}{_prediction('new', tile.new)}</figcaption></figure></a>"
    )


def image(png: bytes | None, alt: str) -> str:
    """Return a PNG as an HTML image, or the words that stand in its place."""
    size = png_size(png)
    if png is None or size is None:
        return '<div class="pct-none">image not stored</div>'
    if size[0] * size[1] > MOST_PIXELS:
        return '<div class="pct-none">image too large to show</div>'
    small = ' class="pct-small"' if size[0] <= _SMALL else ""
    data = base64.b64encode(png).decode("ascii")
    return f'<img{small} src="data:image/png;base64,{data}" alt="{html_text(alt)}">'


def _prediction(who: str, prediction: TilePrediction) -> str:
    kind, mark = ("right", "✓") if prediction.is_right else ("wrong", "✗")
    sure = "" if prediction.confidence is None else percent(prediction.confidence)
    width = 100 * min(max(prediction.confidence or 0.0, 0.0), 1.0)
    bar = f'<div class="pct-bar"><i class="pct-{kind}" style="width:{width:.1f}%"></i></div>' if sure else ""
    return (
        f'<div class="pct-row"><span class="pct-who">{who}</span>'
        f'<span class="pct-{kind}" title="{kind}" role="img" aria-label="{kind}">{mark}</span>'
        f'<span class="pct-conf">{sure}</span></div>'
        f'<div class="pct-two" title="{html_text(prediction.name)}">{html_text(prediction.name)}</div>'
        f"{bar}"
    )
