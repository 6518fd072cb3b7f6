"""Defines colours that people with any colour vision can tell apart, and that are legible on white and near-black.

The hues follow Okabe and Ito's palette (blue against vermillion). Meaning never rests on colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import plotly.graph_objects as go

NEGATIVE = "#DD6A1F"
POSITIVE = "#2F86C9"
BOTH_RIGHT = "rgba(134,160,182,0.5)"  # most of the examples, so a quiet colour in both themes
BOTH_WRONG = "#74808C"
NEUTRAL = "#8A929A"
GRID = "rgba(138,146,154,0.25)"
_NEGATIVE_RGB = (221, 106, 31)
_FAINTEST = 0.18  # opacity of the smallest number of flips

# From transparent to solid, so that an empty cell shows the page in both themes.
FLIP_SCALE = tuple(
    (place, f"rgba{(*_NEGATIVE_RGB, opacity)}") for place, opacity in ((0.0, 0), (1e-9, _FAINTEST), (1.0, 1))
)
# Background of Streamlit's pages in a light and in a dark theme.
PAGE, PAGE_ON_DARK = (255, 255, 255), (23, 22, 20)

# Colour of text and thin lines in a light and in a dark theme.
INK, INK_ON_DARK = "#2F2D2B", "#EDEBE8"


def ink(dark: bool) -> str:
    """Return the colour of text and thin lines."""
    return INK_ON_DARK if dark else INK


def page_colour(dark: bool) -> str:
    """Return the colour of the page, to fill a hollow mark that hides the line below it."""
    return f"rgb{PAGE_ON_DARK if dark else PAGE}"


def ink_on_flips(share: float, dark: bool) -> str:
    """Return black or white, whichever is easier to read on FLIP_SCALE at `share`.

    The contrast is at least 4.5 (WCAG 2, AA).
    """
    opacity = _FAINTEST + (1 - _FAINTEST) * share
    behind = zip(_NEGATIVE_RGB, PAGE_ON_DARK if dark else PAGE, strict=True)
    light = luminance([opacity * over + (1 - opacity) * under for over, under in behind])
    # Black and white contrast alike where (light + 0.05) / 0.05 = 1.05 / (light + 0.05).
    return "#000000" if (light + 0.05) ** 2 > 0.05 * 1.05 else "#FFFFFF"


def luminance(colour: Iterable[float]) -> float:
    """Return the relative luminance (WCAG 2) of an sRGB colour whose parts go from 0 to 255."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def plain_layout(figure: go.Figure, height: int, dark: bool) -> go.Figure:
    """Make a figure transparent and plain, without zooming, and with text that is legible on the page.

    Fonts are the page's own.
    """
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
        dragmode=False,
        hoverlabel={"align": "left", "font": {"color": ink(dark)}},
        font={"color": ink(dark)},
    )
    return figure


def axis_text(dark: bool) -> dict[str, dict[str, str | int]]:
    """Return the font of an axis's tick labels and title, which is stronger than a theme's usual grey."""
    font: dict[str, str | int] = {"color": ink(dark), "size": 12}
    return {"tickfont": font, "title_font": font}


def nothing(figure: go.Figure, text: str) -> go.Figure:
    """Make a low figure without axes that says why there is nothing to draw."""
    figure.update_xaxes(visible=False).update_yaxes(visible=False).update_layout(height=120)
    return figure.add_annotation(text=text, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
