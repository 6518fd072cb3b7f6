"""Presets: losses by one name each. A preset is data, and a recipe can override every number in it."""

from __future__ import annotations

from typing import Any

from pct_mlops.losses.distance import DISTANCES

# summary: what `pct list losses` shows. weight: CE + weight * distance; mix: (1 - mix) * CE + mix * distance.
# teacher, model: keys of these sections of the recipe, where the method needs a teacher or a start of its own kind.
PRESETS: dict[str, dict[str, Any]] = {
    "none": {"summary": "Cross-entropy alone: an ordinary update, without a teacher."},
    "update": {
        "summary": "Starts from production and keeps softly to its predictions: the update to try first.",
        # The numbers are not those of a paper. They were chosen on val of Fashion-MNIST: docs/how-to/losses.md.
        "distance": {"name": "kl", "temperature": 2.0},
        "focus": {"name": "all", "base": 1.0},
        "mix": 0.15,
        "model": {"init": "production", "init_mode": "auto"},
    },
    "update+mixture": {
        "summary": "The same against the mean of production and one newly trained plain model.",
        "distance": {"name": "kl", "temperature": 2.0},
        "focus": {"name": "all", "base": 1.0},
        "mix": 0.5,
        "teacher": {"refs": [{"ref": "production"}], "num_members": 1},
        "model": {"init": "production", "init_mode": "auto"},
    },
    "naive": {
        "summary": "Weighs cross-entropy more where the old model is right: re-weighting without distillation.",
        "distance": {"name": "ce"},
        # base 0: the objective's own cross-entropy is the base, so examples weigh 1 and 1 + scale.
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
        "summary": "Inhibits logit differences beyond a margin, on every example (LDI).",
        "distance": {"name": "ldi", "margin": 0.5, "p": 2.0},
        "focus": {"name": "all", "base": 1.0},
        "mix": 0.5,
    },
    "cna": {
        "summary": "Keeps examples that the old model gets right next to their neighbour in its features (CNA).",
        # Temperature and mix were chosen on val of Fashion-MNIST. The paper's own (0.01, 0.9, every example) outweigh
        # the cross-entropy in short trainings: accuracy falls and NFR rises above that of no loss at all.
        "distance": {"name": "cna", "temperature": 0.05, "top_k": 1, "supervised": False, "summation": "out"},
        # base 0: neighbours of examples that the old model gets wrong are not worth keeping.
        "focus": {"name": "old_correct", "base": 0.0, "scale": 1.0},
        "mix": 0.2,
    },
    "elodi": {
        "summary": "LDI without margin, against the mean of eight models of the new architecture (ELODI).",
        "distance": {"name": "ldi", "margin": 0.0, "p": 2.0},
        "focus": {"name": "all", "base": 1.0},
        "mix": 0.8,
        "teacher": {"num_members": 8},
    },
    "mixture": {
        "summary": "LDI without margin, against the mean of production and one newly trained plain model.",
        # These are the numbers of elodi: the two presets differ in their teacher only.
        "distance": {"name": "ldi", "margin": 0.0, "p": 2.0},
        "focus": {"name": "all", "base": 1.0},
        "mix": 0.8,
        "teacher": {"refs": [{"ref": "production"}], "num_members": 1},
    },
    "ldi+cna": {
        "summary": "Keeps logits within a margin, and keeps nearest neighbours in the features (LDI + CNA).",
        "distance": {
            "name": "sum",
            "terms": [
                {"weight": 1.0, "distance": {"name": "ldi", "margin": 0.5, "p": 2.0}},
                # 0.1 was not tuned: cna divides by its temperature, so its gradient is the larger one.
                {"weight": 0.1, "distance": {"name": "cna", "temperature": 0.01, "top_k": 1}},
            ],
        },
        "focus": {"name": "all", "base": 1.0},
        "mix": 0.5,
    },
    "bct": {
        "summary": "Makes the old model's classifier work on the new features (BCT). It does not lower NFR (PCT).",
        "distance": {"name": "bct", "alpha": 0.0, "single_head": False},
        "focus": {"name": "all", "base": 1.0},
        "weight": 1.0,
    },
    "renyi": {
        "summary": "Focal distillation by a Renyi divergence: classes that the old model finds likely stay likely.",
        "distance": {"name": "renyi", "alpha": 2.0},
        "focus": {"name": "old_correct", "base": 1.0, "scale": 5.0},
        "weight": 1.0,
    },
    "rce": {
        "summary": "Teaches the target's logit against the old model's logits of the other classes (retentive CE).",
        "distance": {"name": "rce", "two_heads": False},
        "focus": {"name": "all", "base": 1.0},
        "weight": 1.0,
    },
    "fa": {
        "summary": "Makes new features equal the old ones, dimension by dimension (feature alignment).",
        "distance": {"name": "fa", "margin": 3.0, "contrastive": False},
        "focus": {"name": "all", "base": 1.0},
        "weight": 1.0,
    },
    "rp": {
        "summary": "Makes random projections of the new and the old features equal (RP).",
        "distance": {"name": "rp", "dim_out": 128},
        "focus": {"name": "all", "base": 1.0},
        "weight": 1.0,
    },
}


def preset_of(loss: str) -> dict[str, Any] | None:
    """Return the preset of that name, or None for an unknown name.

    The name of an installed distance is a preset too: that distance at weight 1 on every example.
    """
    if loss in PRESETS:
        return PRESETS[loss]
    if DISTANCES.plugin(loss) is None:
        return None
    return {"distance": {"name": loss}, "focus": {"name": "all", "base": 1.0}, "weight": 1.0}


def loss_names() -> list[str]:
    """Return the presets, and the installed distances that are losses by their own name."""
    own = [plugin.name for plugin in DISTANCES.installed() if not plugin.problem]
    return [*PRESETS, *(name for name in own if name not in PRESETS)]
