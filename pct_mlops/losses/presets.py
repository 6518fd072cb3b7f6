"""Presets: a loss by one name. Each is data; every number can be overridden in a recipe."""

from __future__ import annotations

from typing import Any

# summary: what `pct list losses` shows. weight: CE + weight * distance; mix: (1 - mix) * CE + mix * distance.
PRESETS: dict[str, dict[str, Any]] = {
    "none": {"summary": "Cross-entropy alone: an ordinary update, without a teacher."},
    "naive": {
        "summary": "More cross-entropy where the old model is right: re-weighting without distillation.",
        "distance": {"name": "ce"},
        # base 0: the objective's own cross-entropy is the base, so samples weigh 1 and 1 + scale.
        "focus": {"name": "old_correct", "base": 0.0, "scale": 5.0},
        "weight": 1.0,
    },
    "kl": {
        "summary": "Focal distillation of softened predictions (PCT, FD-KL).",
        "distance": {"name": "kl", "temperature": 100.0},
        "focus": {"name": "old_correct", "base": 1.0, "scale": 5.0},
        "weight": 1.0,
    },
    "l2": {
        "summary": "Focal distillation of logits (PCT, FD-LM).",
        "distance": {"name": "l2"},
        "focus": {"name": "old_correct", "base": 1.0, "scale": 5.0},
        "weight": 1.0,
    },
    "ldi": {
        "summary": "Inhibits logit differences beyond a margin, on every sample (LDI).",
        "distance": {"name": "ldi", "margin": 0.5, "p": 2.0},
        "focus": {"name": "all", "base": 1.0},
        "mix": 0.5,
    },
    "cna": {
        "summary": "Keeps each sample next to its nearest neighbour in the old model's features (CNA).",
        "distance": {"name": "cna", "temperature": 0.01, "top_k": 1, "supervised": False, "summation": "out"},
        "focus": {"name": "old_correct", "base": 1.0, "scale": 0.0},
        "mix": 0.9,
    },
}
