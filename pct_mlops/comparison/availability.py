"""Says which metrics two tables cannot give, and why: a column that not every table has is lacking."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison


def unavailable_metrics(comparison: Comparison) -> dict[str, str]:
    """Return metric -> the reason why it is not available, in reading order."""
    reasons = {metric.name: comparison.lacking(metric.name) for metric in comparison.metrics(every=True)}
    return {name: reason for name, reason in reasons.items() if reason}


def unavailable_sentence(comparison: Comparison) -> str:
    """Return one sentence that names these metrics by reason. Return "" where every metric is available."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in unavailable_metrics(comparison).items():
        by_reason.setdefault(reason, []).append(name)
    parts = [f"{', '.join(names)} ({reason})" for reason, names in by_reason.items()]
    return f"Not available: {'; '.join(parts)}." if parts else ""
