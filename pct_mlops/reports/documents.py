"""Writes decisions and comparisons as versioned JSON documents.

Rates are fractions. An undefined value is null, never 0 or NaN.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from pct_mlops.comparison import shared_loss
from pct_mlops.comparison.availability import unavailable_metrics

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison, Estimate, FlipCounts
    from pct_mlops.gate import Check, Decision, NotJudged
    from pct_mlops.predictions import TableInfo

# Increased when a key is removed or changes its meaning, but not for a new key.
REPORT_VERSION = 1


@dataclass(frozen=True)
class Promotion:
    """A promotion that was asked for.

    With `override`, production moves in spite of the verdict, for `reason`. `done` is None in a report that is stored
    before the move. The history of the model says whether it took place.
    """

    target: str
    reason: str = ""
    override: bool = False
    done: bool | None = None


def to_json(
    decision: Decision,
    comparison: Comparison | None = None,
    context: Mapping[str, Any] | None = None,
    *,
    promotion: Promotion | None = None,
    digests: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the report of a decision.

    `context` holds what only the caller knows, for example who decided, when, and at which commit. `digests` are those
    of the evidence that was judged, by role.
    """
    found = _evidence(comparison, decision.confidence) if comparison else {}
    overridden = promotion is not None and promotion.override
    return {
        "report_version": REPORT_VERSION,
        "kind": "decision",
        "verdict": str(decision.verdict),
        "exit_code": 0 if overridden else decision.exit_code,
        "sentence": decision.sentence,
        "error_code": decision.error_code,
        "promotion": asdict(promotion) if promotion else None,
        "policy": {"digest": decision.policy_digest, **_file(decision), **decision.policy.model_dump(mode="json")},
        "candidate": _table(decision.candidate),
        "baseline": _table(decision.baseline),
        "num_examples": decision.num_examples,
        "checks": [_part(check) for check in decision.checks],
        "not_judged": [_part(item) for item in decision.not_judged],
        "apart": dict(decision.apart),
        "notes": list(decision.notes),
        "evidence": {role: str(tie) for role, tie in decision.ties.both().items()} if decision.ties else None,
        "digests": dict(digests) if digests else None,
        **found,
        "context": dict(context or {}),
    }


def _file(decision: Decision) -> dict[str, str]:
    return {"file": decision.policy.file} if decision.policy.file else {}


@cache
def report_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the reports of decisions and comparisons."""
    text = resources.files("pct_mlops.reports").joinpath("report.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def comparison_to_json(
    comparison: Comparison, confidence: float = 0.95, context: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the counts and metrics of a comparison, over all examples and for each class."""
    return {
        "report_version": REPORT_VERSION,
        "kind": "comparison",
        "new": _table(comparison.new),
        "old": _table(comparison.old),
        "num_examples": comparison.counts.total,
        # Include the metrics that the gate leaves out because they take another pass over the rows.
        **_evidence(comparison, confidence, every=True),
        "context": dict(context or {}),
    }


def _evidence(comparison: Comparison, confidence: float, *, every: bool = False) -> dict[str, Any]:
    metrics = comparison.metrics(every=every)
    overall = [metric.name for metric in metrics if not metric.per_class]
    single = [metric.name for metric in metrics if metric.per_class]
    return {
        "counts": _counts(comparison.counts),
        "metrics": {name: _estimate(comparison.estimate(name, confidence)) for name in overall},
        "class_change": _class_change(comparison, confidence),
        "unknown_labels": comparison.unknown_labels,
        "not_available": unavailable_metrics(comparison),
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


def _class_change(comparison: Comparison, confidence: float) -> dict[str, Any] | None:
    change = comparison.class_change
    if change is None:
        return None
    names = [metric.name for metric in comparison.metrics() if not metric.per_class]
    parts = {
        f"on_{part}": {
            "counts": _counts(comparison.counts_on(part)),
            "metrics": {name: _estimate(comparison.estimate(name, confidence, on=part)) for name in names},
        }
        for part in ("shared", "new")
    }
    classes = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(change).items()}
    return {**classes, **parts, "shared_loss": shared_loss(comparison)}


def _part(part: Check | NotJudged) -> dict[str, Any]:
    """Return a check as plain data, or a rule that was not applied because too few examples fall under it."""
    data = _finite(asdict(part))
    if part.slice is not None:
        data["slice"] = dict(zip(("column", "value"), part.slice, strict=True))
    if "verdict" in data:
        data["verdict"] = str(data["verdict"])
    return data


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
    return {**{key: getattr(info, key) for key in keys}, "weights": info.weights}


def _finite(data: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in data.items()}
