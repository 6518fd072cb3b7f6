"""Decisions and comparisons for machines (JSON) and for people (terminal)."""

from pct_mlops.reports.candidates import render_candidates
from pct_mlops.reports.documents import REPORT_VERSION, comparison_to_json, to_json
from pct_mlops.reports.terminal import render_decision, render_metrics

__all__ = ["REPORT_VERSION", "comparison_to_json", "render_candidates", "render_decision", "render_metrics", "to_json"]
