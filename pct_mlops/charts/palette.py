"""Colours that people with any colour vision can tell apart, each legible on white and on near-black.

The hues follow Okabe and Ito's palette (blue against vermillion); meaning never rests on colour alone.
"""

from __future__ import annotations

import plotly.graph_objects as go

NEGATIVE = "#DD6A1F"
POSITIVE = "#2F86C9"
BOTH_RIGHT = "#A9BDCB"
BOTH_WRONG = "#74808C"
NEUTRAL = "#8A929A"
_NEGATIVE_RGB = "221,106,31"

# From transparent to solid, so that an empty cell is the page itself in a light and in a dark theme.
FLIP_SCALE = (
    (0.0, f"rgba({_NEGATIVE_RGB},0)"),
    (1e-9, f"rgba({_NEGATIVE_RGB},0.18)"),
    (1.0, f"rgba({_NEGATIVE_RGB},1)"),
)


def plain_layout(figure: go.Figure, height: int) -> go.Figure:
    """Transparent, quiet, without zooming: the page's theme supplies fonts and text colour."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
        dragmode=False,
        hoverlabel={"align": "left"},
    )
    return figure
