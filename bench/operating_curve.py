"""Draws the gate's operating curve: how often it says PASS, FAIL and INCONCLUSIVE, by a candidate's true NFR.

For every true NFR and number of test examples, flips are drawn from the binomial distribution. The same `decide` that
judges candidates gets them, under the rule {metric: nfr, max: 0.02, bound: upper}. A second gate compares the observed
NFR with the limit. The draws are seeded. The picture of docs/explanation/gate.md is drawn with the system's Chromium.

    python bench/operating_curve.py [--draws 20000] [--seed 1] [--picture docs/assets/operating_curve.png]
"""

from __future__ import annotations

import argparse
import functools
import io
import shutil
import time
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pct_mlops.charts.palette import INK
from pct_mlops.comparison import Comparison
from pct_mlops.comparison.slices import Joined
from pct_mlops.comparison.totals import Totals
from pct_mlops.config import Policy
from pct_mlops.gate import Verdict, decide
from pct_mlops.predictions import Predictions

LIMIT = 0.02
SIZES = (500, 2_000, 10_000, 50_000)
RATES = np.round(np.arange(0, 0.04 + 1e-9, 0.000_125), 9)
SHOWN = (0.005, 0.01, 0.015, 0.018, 0.02, 0.022, 0.025, 0.03)
ORDER = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)
COLOURS = {
    Verdict.PASS: "rgba(47,134,201,0.55)",
    Verdict.INCONCLUSIVE: "rgba(138,146,154,0.18)",
    Verdict.FAIL: "rgba(221,106,31,0.55)",
}
POLICY = Policy.model_validate({"rules": [{"metric": "nfr", "max": LIMIT}]})
POINT = Policy.model_validate({"rules": [{"metric": "nfr", "max": LIMIT, "bound": "point"}]})
WIDTH, HEIGHT, SCALE = 960, 660, 1.25


class Counts:
    """A stand-in for two joined tables that has counts but no rows."""

    slice_columns = ()

    def __init__(self, flips: int, num: int) -> None:
        self._totals = Totals(both_right=num - flips, negative_flips=flips)

    def classes(self) -> dict[int, Totals]:
        return {0: self._totals}

    def query(self, text: str) -> list[tuple[int, int]]:
        """Return the rows of the question whether one table is a copy of the other: it is not."""
        return [(1, 2)]


@functools.cache
def infos():
    logits = [[1.0, 0.0]]
    names = {"class_names": ("a", "b"), "split": "test"}
    return [Predictions.from_arrays(["0"], [0], logits, model_name=name, **names).info for name in ("old", "new")]


@functools.cache
def verdicts(flips: int, num: int) -> tuple[Verdict, Verdict]:
    """Return the verdict of the gate, and that of a gate that compares points."""
    comparison = Comparison(*infos(), Counts(flips, num), Joined(), apart=frozenset(), costs=None)
    return decide(POLICY, comparison).verdict, decide(POINT, comparison).verdict


def curve(num: int, draws: int, rng: np.random.Generator) -> dict[object, np.ndarray]:
    """Return the share of each verdict at every rate.

    Under 'point' is the share of PASS of the gate that compares points.
    """
    shares = {key: np.zeros(len(RATES)) for key in (*ORDER, "point")}
    for place, rate in enumerate(RATES):
        counts, repeats = np.unique(rng.binomial(num, rate, draws), return_counts=True)
        for flips, times in zip(counts, repeats, strict=True):
            verdict, point = verdicts(int(flips), num)
            shares[verdict][place] += times / draws
            shares["point"][place] += times / draws * (point is Verdict.PASS)
    return shares


def figure(curves: dict[int, dict[object, np.ndarray]]) -> go.Figure:
    titles = [f"<b>{num:,} test examples</b>" for num in curves]
    found = make_subplots(2, 2, subplot_titles=titles, horizontal_spacing=0.07, vertical_spacing=0.13)
    for index, shares in enumerate(curves.values()):
        place = {"row": index // 2 + 1, "col": index % 2 + 1}
        for verdict in ORDER:
            found.add_scatter(
                x=100 * RATES,
                y=100 * shares[verdict],
                name=verdict.value,
                stackgroup="verdicts",
                mode="lines",
                line={"width": 0},
                fillcolor=COLOURS[verdict],
                showlegend=False,
                **place,
            )
        found.add_scatter(
            x=100 * RATES,
            y=100 * shares["point"],
            mode="lines",
            line={"color": INK, "width": 2, "dash": "5px,4px"},
            showlegend=False,
            **place,
        )
        found.add_vline(x=100 * LIMIT, line={"color": INK, "width": 1}, **place)
        for text, x, y, colour in label_places(shares):
            found.add_annotation(
                text=f"<b>{text}</b>",
                x=x,
                y=y,
                showarrow=False,
                font={"color": colour, "size": 12},
                **place,
            )
    found.add_annotation(text="limit", x=2.03, y=10, xanchor="left", showarrow=False, font={"size": 12}, row=1, col=1)
    found.add_annotation(
        text="PASS of a gate<br>that compares<br>points",
        x=2.5,
        y=float(100 * np.interp(0.025, RATES, curves[SIZES[0]]["point"])),
        ax=52,
        ay=-20,
        align="left",
        arrowwidth=1,
        arrowcolor=INK,
        font={"size": 12},
        row=1,
        col=1,
    )
    ticks = {
        "showgrid": False,
        "ticks": "outside",
        "ticklen": 4,
        "ticksuffix": "%",
        "linecolor": INK,
        "zeroline": False,
    }
    found.update_xaxes(range=[0, 4], dtick=1, **ticks)
    found.update_yaxes(range=[0, 100], dtick=25, **ticks)
    found.update_xaxes(title="true negative flip rate of the candidate", row=2)
    found.update_yaxes(title="share of candidates", col=1)
    return found.update_layout(
        template="none",
        width=WIDTH,
        height=HEIGHT,
        margin={"l": 62, "r": 18, "t": 44, "b": 52},
        font={"family": "Helvetica, Arial, sans-serif", "size": 12, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
    )


def label_places(shares: dict[object, np.ndarray]) -> list[tuple[str, float, float, str]]:
    """Return a word for each area that is large enough for it, with its place and colour."""
    found = []
    spots = {Verdict.PASS: 0.28, Verdict.FAIL: 3.72}
    for verdict, x in spots.items():
        share = 100 * float(np.interp(x / 100, RATES, shares[verdict]))
        if share > 20:
            y = share / 2 if verdict is Verdict.PASS else 100 - share / 2
            found.append((verdict.value, x, y, "#123B5C" if verdict is Verdict.PASS else "#6B2C06"))
    # Only where the area is wide enough for the word, right of the limit and above the other gate's curve.
    if shares[Verdict.PASS][-1] + shares[Verdict.INCONCLUSIVE][-1] > 0.05:
        found.append(("INCONCLUSIVE", 2.51, 58.0, "#4A4F54"))
    return found


def draw(picture: Path, drawn: go.Figure) -> None:
    """Save the figure as a PNG of few colours: a screenshot of a page in the system's Chromium."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("The picture needs a browser: install Chromium, or leave --picture out.")
    html = drawn.to_html(include_plotlyjs=True, config={"staticPlot": True})
    html = html.replace("<body>", '<body style="margin:0">')
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE)
        page.set_content(html)
        page.wait_for_selector(".main-svg")
        shot = page.screenshot()
        chromium.close()
    image = Image.open(io.BytesIO(shot)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    image.save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size / 1024:.0f} KB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    start = time.perf_counter()
    rng = np.random.default_rng(given.seed)
    curves = {num: curve(num, given.draws, rng) for num in SIZES}
    print(f"{{metric: nfr, max: {LIMIT}}} at 95% confidence, {given.draws:,} draws, seed {given.seed}; shares in %")
    print(f"{'examples':>9} {'true NFR':>9} {'PASS':>7} {'INCONCL.':>9} {'FAIL':>7} {'point PASS':>11}")
    for num, shares in curves.items():
        for rate in SHOWN:
            place = int(np.argmin(np.abs(RATES - rate)))
            row = [100 * shares[key][place] for key in (*ORDER, "point")]
            print(f"{num:>9,} {100 * rate:>8.2f}% {row[0]:>7.2f} {row[1]:>9.2f} {row[2]:>7.2f} {row[3]:>11.2f}")
    print(f"{time.perf_counter() - start:.0f} s")
    if given.picture is not None:
        draw(given.picture, figure(curves))


if __name__ == "__main__":
    main()
