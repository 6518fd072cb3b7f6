"""Draws the tables of every change as one picture, ../updates.png: accuracy and flips against the untreated update.

Run it in this folder after study.py: `python picture.py`. It needs Chromium and Playwright, as the explorer's tests do.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import yaml
from PIL import Image
from playwright.sync_api import sync_playwright
from plotly.subplots import make_subplots
from tables import HERE, Row, rows_of

CHROMIUM = "/usr/bin/chromium"
WIDTH, ROW = 1120, 330  # pixels
# Okabe and Ito's colours, which colour-blind readers tell apart.
LOOKS = {
    "untreated, 1.5 x epochs": ("#999999", "circle"),
    "warm start alone": ("#e69f00", "circle"),
    "update": ("#0072b2", "diamond"),
    "update, mix 0.3": ("#56b4e9", "diamond"),
    "update+mixture": ("#009e73", "square"),
    "update from random weights": ("#d55e00", "x"),
    "two models deployed": ("#000000", "star"),
}


def main() -> None:
    """Draw the picture."""
    study = yaml.safe_load((HERE / "study.yaml").read_text())
    found = {name: rows for name in study if (rows := rows_of(HERE / "results" / name / "changes.csv"))}
    drawn = figure({f"{study[name]['change']}, {study[name]['data_set']}": rows for name, rows in found.items()})
    picture = Image.open(io.BytesIO(screenshot(drawn))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(HERE.parent / "updates.png", optimize=True)


def figure(changes: dict[str, list[Row]]) -> go.Figure:
    """Return a panel for each change: points of accuracy to the right, flips saved downwards, with 95% intervals."""
    num_rows = -(-len(changes) // 2)
    titles = [title[0].upper() + title[1:] for title in changes]
    drawn = make_subplots(num_rows, 2, subplot_titles=titles, horizontal_spacing=0.09, vertical_spacing=0.3 / num_rows)
    named: set[str] = set()
    for place, rows in enumerate(changes.values()):
        row, column = divmod(place, 2)
        for values in rows:
            if values["method"] != "untreated":
                drawn.add_trace(point(values, shown=values["method"] not in named), row + 1, column + 1)
                named.add(values["method"])
    drawn.add_hline(0, line={"color": "#888888", "width": 1})
    drawn.add_vline(0, line={"color": "#888888", "width": 1})
    drawn.add_hline(-50, line={"color": "#888888", "width": 1, "dash": "dot"})
    drawn.update_xaxes(title="accuracy, points", matches="x", zeroline=False, gridcolor="#eeeeee")
    drawn.update_yaxes(title="negative flips", ticksuffix="%", matches="y", zeroline=False, gridcolor="#eeeeee")
    drawn.update_layout(
        width=WIDTH,
        height=ROW * num_rows + 80,
        template="plotly_white",
        font={"family": "DejaVu Sans, sans-serif", "size": 13},
        legend={"orientation": "h", "y": 1.0 + 0.2 / num_rows, "yanchor": "bottom", "x": 0},
        margin={"l": 60, "r": 20, "t": 110, "b": 50},
    )
    return drawn


def point(row: Row, *, shown: bool) -> go.Scatter:
    """Return a method with its intervals. `shown` says whether the legend names it."""
    colour, symbol = LOOKS[row["method"]]
    bars: dict[str, Any] = {"type": "data", "symmetric": False, "color": colour, "thickness": 1, "width": 0}
    across = {end: 100 * float(row[f"accuracy_change_{end}"] or row["accuracy_change"]) for end in ("low", "high")}
    down = {end: 100 * (float(row[f"nfr_ratio_{end}"] or row["nfr_ratio"]) - 1) for end in ("low", "high")}
    x, y = 100 * float(row["accuracy_change"]), 100 * (float(row["nfr_ratio"]) - 1)
    return go.Scatter(
        x=[x],
        y=[y],
        name=row["method"],
        legendgroup=row["method"],
        showlegend=shown,
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 11},
        error_x={**bars, "array": [across["high"] - x], "arrayminus": [x - across["low"]]},
        error_y={**bars, "array": [down["high"] - y], "arrayminus": [y - down["low"]]},
    )


def screenshot(drawn: go.Figure) -> bytes:
    """Return the figure as a PNG file."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as player:
        page_file = Path(folder) / "figure.html"
        drawn.write_html(page_file, include_plotlyjs=True, config={"staticPlot": True})
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(device_scale_factor=1.5)
        page.goto(page_file.as_uri())
        page.wait_for_selector(".plotly .scatterlayer")
        shot = page.locator(".plotly").first.screenshot()
        browser.close()
    return shot


if __name__ == "__main__":
    main()
