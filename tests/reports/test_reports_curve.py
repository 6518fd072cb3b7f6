"""Curves and updates in a terminal of 80 columns, and as documents."""

from __future__ import annotations

import io
import json

from prediction_tables import pair_of_counts
from rich.console import Console

from pct_mlops.comparison import compare
from pct_mlops.reports import (
    CurvePoint,
    interpolation_to_json,
    prediction_update_to_json,
    render_against,
    render_curve,
)

CURVE = (CurvePoint(0, 0.9, 0.03), CurvePoint(0.25, 0.905, 0.0125), CurvePoint(1, 0.88, 0.0))
NAMES = {"old": "models:/pets/1", "new": "models:/pets/2"}


def shown(renderable, width=80):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(renderable)
    text = out.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    return text


def test_a_row_for_every_point_and_the_chosen_one_marked():
    text = shown(render_curve(CURVE, CURVE[1], tolerance=0.002, **NAMES))
    rows = [line.split() for line in text.splitlines() if "%" in line]
    assert rows[0] == ["0", "90.00%", "+0.00", "points", "3.00%", "new"]
    assert rows[1] == ["0.25", "90.50%", "+0.50", "points", "1.25%", "←", "chosen"]
    assert rows[2] == ["1", "88.00%", "-2.00", "points", "0.00%", "old"]
    assert "at most 0.2 points of accuracy below the new one" in " ".join(text.split())
    both = shown(render_curve(CURVE, CURVE[2], tolerance=0.002, **NAMES))
    assert "old ← chosen" in both


def test_names_are_text():
    text = shown(render_curve(CURVE, CURVE[1], old="[red]a[/red]", new="b\x1b[2J", tolerance=0.0))
    assert "[red]a[/red]" in text
    assert "\x1b" not in text
    old, new = pair_of_counts(90, 2, 5, 3)
    text = shown(render_against([("[bold]x", compare(old, new))], baseline="[i]y"))
    assert "[bold]x" in text
    assert "[i]y" in text


def test_against_one_baseline():
    old, new = pair_of_counts(90, 2, 5, 3)
    comparison = compare(old, new)
    text = shown(render_against([("new", comparison), ("updated", comparison)], baseline="stored"))
    first, second, third = (line.split() for line in text.splitlines()[1:4])
    assert first == ["stored", "92.00%", "–", "–", "–", "–", "–"]
    nfr = comparison.estimate("nfr")
    expected = ["95.00%", "2.00%", f"{nfr.lower:.2%}", f"{nfr.upper:.2%}", "5.00%", "7.00%"]
    assert second == ["new", *expected]
    assert third == ["updated", *expected]
    assert "100 examples of test" in text


def test_documents():
    comparison = compare(*pair_of_counts(90, 2, 5, 3))
    report = interpolation_to_json(CURVE, CURVE[1], tolerance=0.002, test={"new": comparison}, **NAMES)
    back = json.loads(json.dumps(report, allow_nan=False))
    assert (back["report_version"], back["kind"]) == (1, "interpolation")
    assert back["curve"][1] == {"share": 0.25, "accuracy": 0.905, "nfr": 0.0125} == back["chosen"]
    assert back["test"]["new"]["metrics"]["nfr"]["value"] == 0.02
    update = prediction_update_to_json(comparison, comparison, strategy="mb", cost_ratio=None, smoothing=1.0)
    back = json.loads(json.dumps(update, allow_nan=False))
    assert (back["kind"], back["strategy"], back["cost_ratio"]) == ("prediction_update", "mb", None)
    assert back["updated"]["counts"]["negative_flips"] == 2
