"""Writes decisions and comparisons for machines (JSON, JUnit, CSV) and for people (terminal, Markdown, HTML)."""

from pct_mlops.reports.candidates import render_candidates
from pct_mlops.reports.class_change import class_change_lines
from pct_mlops.reports.contrasts import (
    Contrast,
    contrasts,
    contrasts_csv,
    contrasts_markdown,
    render_contrasts,
)
from pct_mlops.reports.curve import (
    CurvePoint,
    interpolation_to_json,
    prediction_update_to_json,
    render_against,
    render_curve,
)
from pct_mlops.reports.documents import REPORT_VERSION, Promotion, comparison_to_json, report_schema, to_json
from pct_mlops.reports.html_report import MOST_FLIPS, MOST_TEXT, HtmlContents, ShownFlip, to_html
from pct_mlops.reports.junit import to_junit
from pct_mlops.reports.links import ComparedPair, checked_explorer
from pct_mlops.reports.markdown import PULL_REQUEST, STEP_SUMMARY, to_markdown
from pct_mlops.reports.methods import (
    MethodRow,
    SeedResult,
    Spread,
    methods_csv,
    methods_markdown,
    read_methods_csv,
    render_floor,
    render_methods,
    seeds_csv,
    summarise,
)
from pct_mlops.reports.policy_trials import render_trial, trial_markdown, trial_to_json
from pct_mlops.reports.risk_tables import render_risk
from pct_mlops.reports.serving_cost import ServingCost, render_cost
from pct_mlops.reports.terminal import render_decision, render_metrics

__all__ = [
    "MOST_FLIPS",
    "MOST_TEXT",
    "PULL_REQUEST",
    "REPORT_VERSION",
    "STEP_SUMMARY",
    "ComparedPair",
    "Contrast",
    "CurvePoint",
    "HtmlContents",
    "MethodRow",
    "Promotion",
    "SeedResult",
    "ServingCost",
    "ShownFlip",
    "Spread",
    "checked_explorer",
    "class_change_lines",
    "comparison_to_json",
    "contrasts",
    "contrasts_csv",
    "contrasts_markdown",
    "interpolation_to_json",
    "methods_csv",
    "methods_markdown",
    "prediction_update_to_json",
    "read_methods_csv",
    "render_against",
    "render_candidates",
    "render_contrasts",
    "render_cost",
    "render_curve",
    "render_decision",
    "render_floor",
    "render_methods",
    "render_metrics",
    "render_risk",
    "render_trial",
    "report_schema",
    "seeds_csv",
    "summarise",
    "to_html",
    "to_json",
    "to_junit",
    "to_markdown",
    "trial_markdown",
    "trial_to_json",
]
