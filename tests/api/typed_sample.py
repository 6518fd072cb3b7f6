"""What a user writes, as mypy --strict must accept it; and, marked, what it must refuse."""

from __future__ import annotations

import torch
from typing_extensions import assert_type

import pct_mlops
from pct_mlops import (
    DISTANCES,
    LDI,
    Comparison,
    Decision,
    Distance,
    FlipRow,
    LossTerms,
    ModelOutput,
    Objective,
    Policy,
    Predictions,
    Rule,
    Verdict,
    build_distance,
    build_objective,
    churn,
    compare,
    decide,
    evaluate_candidate,
    negative_flip_rate,
)
from pct_mlops.metrics import Churn


class Absolute(Distance):
    """A distance of one's own."""

    def per_sample(self, new: ModelOutput, old: ModelOutput, target: torch.Tensor) -> torch.Tensor:
        """Float32 [N]."""
        return new.logits


def train(new: torch.Tensor, old: torch.Tensor, target: torch.Tensor) -> float:
    """One step with our objective, on plain logits and on outputs."""
    assert_type(LDI(margin=0.5, top_k=3)(new, ModelOutput(old), target), torch.Tensor)
    assert_type(build_distance("ldi", margin=0.2), Distance)
    assert_type(DISTANCES.build({"name": "ldi"}), Distance)
    objective = Objective(Absolute(), mix=0.5) if new is old else build_objective("ldi")
    terms = objective(new, old, target)
    assert_type(terms, LossTerms)
    return terms.total.item()


def gate(old: str, new: str) -> bool:
    """Tables, a policy in code, and the decision."""
    policy = Policy(confidence=0.99, rules=(Rule(metric="nfr", max=0.02), Rule(metric="accuracy_change", min=0.0)))
    comparison = compare(Predictions.load(old), Predictions.load(new), costs={"cat": 2.0})
    assert_type(comparison, Comparison)
    assert_type(comparison.flips("negative", limit=10), list[FlipRow])
    decision = decide(policy, comparison)
    assert_type(decision, Decision)
    judged = evaluate_candidate(new, policy, baseline=old)
    return decision.verdict is Verdict.PASS and judged.exit_code == 0


def rates(old: torch.Tensor, new: list[int]) -> float:
    """Flip rates of any kind of array."""
    metric = Churn()
    metric.update(old, old, old)
    assert_type(metric.compute(), torch.Tensor)
    assert_type(pct_mlops.__version__, str)
    return negative_flip_rate(old, new, [0, 1]) + churn([0, 1], new)


Predictions.load(3)  # refused: arg-type
LDI(margins=0.5)  # refused: call-arg
LDI()([0.5], [0.5], [0])  # refused: arg-type
build_objective(5)  # refused: arg-type
decide("policy.yaml", None)  # refused: arg-type
missing = pct_mlops.no_such_name  # refused: attr-defined
