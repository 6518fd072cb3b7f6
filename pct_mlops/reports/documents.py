"""Decisions and comparisons as versioned JSON documents. Rates are fractions; undefined is null, never 0 or NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison, Estimate, FlipCounts
    from pct_mlops.gate import Decision
    from pct_mlops.predictions import TableInfo

REPORT_VERSION = 1


def to_json(
    decision: Decision, comparison: Comparison | None = None, context: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The report of a decision. `context`: whatever the caller knows beyond it (who, when, which commit)."""
    evidence = _evidence(comparison, decision.confidence) if comparison else {}
    return {
        "report_version": REPORT_VERSION,
        "kind": "decision",
        "verdict": str(decision.verdict),
        "exit_code": decision.exit_code,
        "sentence": decision.sentence,
        "policy": {"digest": decision.policy_digest, **decision.policy.model_dump(mode="json")},
        "candidate": _table(decision.candidate),
        "baseline": _table(decision.baseline),
        "num_examples": decision.num_examples,
        "checks": [{**_finite(asdict(check)), "verdict": str(check.verdict)} for check in decision.checks],
        "not_judged": [asdict(item) for item in decision.not_judged],
        **evidence,
        "context": dict(context or {}),
    }


def comparison_to_json(
    comparison: Comparison, confidence: float = 0.95, context: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Counts and metrics of a comparison, overall and per class."""
    return {
        "report_version": REPORT_VERSION,
        "kind": "comparison",
        "new": _table(comparison.new),
        "old": _table(comparison.old),
        "num_examples": comparison.counts.total,
        **_evidence(comparison, confidence),
        "context": dict(context or {}),
    }


def _evidence(comparison: Comparison, confidence: float) -> dict[str, Any]:
    overall = [metric.name for metric in comparison.metrics() if not metric.per_class]
    single = [metric.name for metric in comparison.metrics() if metric.per_class]
    return {
        "counts": _counts(comparison.counts),
        "metrics": {name: _estimate(comparison.estimate(name, confidence)) for name in overall},
        "classes": [
            {
                "index": part.index,
                "name": part.name,
                "counts": _counts(part.counts),
                **{name: _estimate(comparison.estimate(name, confidence, part.index)) for name in single},
            }
            for part in comparison.classes()
        ],
    }


def _counts(counts: FlipCounts) -> dict[str, int]:
    return {**asdict(counts), "total": counts.total}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    data = _finite(asdict(estimate))
    del data["metric"]
    return data


def _table(info: TableInfo | None) -> dict[str, Any] | None:
    if info is None:
        return None
    keys = ("model_name", "model_version", "model_uri", "dataset", "split", "preprocessing", "digest", "num_examples")
    return {key: getattr(info, key) for key in keys}


def _finite(data: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in data.items()}
