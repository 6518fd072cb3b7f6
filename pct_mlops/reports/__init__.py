"""Decisions and comparisons for machines (JSON) and for people (terminal)."""

from pct_mlops.reports.candidates import render_candidates
from pct_mlops.reports.curve import (
    CurvePoint,
    interpolation_to_json,
    prediction_update_to_json,
    render_against,
    render_curve,
)
from pct_mlops.reports.documents import REPORT_VERSION, comparison_to_json, to_json
from pct_mlops.reports.methods import (
    MethodRow,
    SeedResult,
    Spread,
    methods_csv,
    methods_markdown,
    render_floor,
    render_methods,
    seeds_csv,
    summarise,
)
from pct_mlops.reports.terminal import render_decision, render_metrics

__all__ = [
    "REPORT_VERSION",
    "CurvePoint",
    "MethodRow",
    "SeedResult",
    "Spread",
    "comparison_to_json",
    "interpolation_to_json",
    "methods_csv",
    "methods_markdown",
    "prediction_update_to_json",
    "render_against",
    "render_candidates",
    "render_curve",
    "render_decision",
    "render_floor",
    "render_methods",
    "render_metrics",
    "seeds_csv",
    "summarise",
    "to_json",
]
