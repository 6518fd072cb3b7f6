"""Writes a figure as a web page of its own."""

from __future__ import annotations

import plotly.graph_objects as go

from pct_mlops.charts.palette import INK
from pct_mlops.charts.text import escaped


def page(figure: go.Figure, title: str) -> str:
    """Return a whole HTML page with the figure and the code that draws it. It opens without a network."""
    body = figure.to_html(include_plotlyjs=True, full_html=False, config={"displayModeBar": False})
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escaped(title)}</title></head>\n'
        '<body style="margin: 16px; max-width: 900px; background: #fff; font-family: sans-serif">\n'
        f"<h1 style='font-size: 17px; color: {INK}'>{escaped(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
