"""Colours that people with any colour vision can tell apart, each legible on white and on near-black.

The hues follow Okabe and Ito's palette (blue against vermillion); meaning never rests on colour alone.
"""

from __future__ import annotations

import plotly.graph_objects as go

NEGATIVE = "#DD6A1F"
POSITIVE = "#2F86C9"
BOTH_RIGHT = "rgba(134,160,182,0.5)"  # the bulk: quiet in both themes
BOTH_WRONG = "#74808C"
NEUTRAL = "#8A929A"
GRID = "rgba(138,146,154,0.25)"
_NEGATIVE_RGB = "221,106,31"

# From transparent to solid, so that an empty cell is the page itself in a light and in a dark theme.
FLIP_SCALE = (
    (0.0, f"rgba({_NEGATIVE_RGB},0)"),
    (1e-9, f"rgba({_NEGATIVE_RGB},0.18)"),
    (1.0, f"rgba({_NEGATIVE_RGB},1)"),
)


# Of text and thin lines on the page: in a light and in a dark theme.
INK, INK_ON_DARK = "#2F2D2B", "#EDEBE8"


def ink(dark: bool) -> str:
    """Colour of text and thin lines."""
    return INK_ON_DARK if dark else INK


def plain_layout(figure: go.Figure, height: int, dark: bool) -> go.Figure:
    """Transparent, quiet, without zooming, with text that is legible on the page; fonts are the page's own."""
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
    """Tick labels and titles of an axis, stronger than a theme's usual grey."""
    font: dict[str, str | int] = {"color": ink(dark), "size": 12}
    return {"tickfont": font, "title_font": font}


def nothing(figure: go.Figure, text: str) -> go.Figure:
    """A low figure without axes that says why there is nothing to draw."""
    figure.update_xaxes(visible=False).update_yaxes(visible=False).update_layout(height=120)
    return figure.add_annotation(text=text, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
