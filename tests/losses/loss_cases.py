"""Random model outputs, and the parameter variants that every property and every reference is tried on."""

from __future__ import annotations

from typing import Any

from pct_mlops.losses import DISTANCES, Distance
from pct_mlops.models.output import ModelOutput
from pct_mlops.testing.outputs import bound, cast, make, take

# Every parameter of every registered distance takes a value other than its default in some case:
# test_every_parameter_has_a_case fails and names the one that does not.
DISTANCE_CASES: dict[str, list[dict[str, Any]]] = {
    "kl": [{}, {"temperature": 1.0}, {"temperature": 4.0}],
    "l2": [{}],
    "ce": [{}],
    "ldi": [
        {},
        {"margin": 0.0},
        {"p": 1.0},
        {"p": 3.5},
        {"exclude_target": True},
        {"top_k": 3},
        {"top_k": 1},
        {"one_sided": True},
        {"relative_margin": True, "margin": 0.1},
        {"norm": True},
        {"norm": True, "p": 1.0},
        {"norm": True, "p": 3.0, "top_k": 4},
        {"exclude_target": True, "top_k": 2, "one_sided": True, "margin": 0.0},
    ],
    "cna": [
        {},
        {"temperature": 0.2},
        {"temperature": 0.2, "top_k": 3},
        {"temperature": 0.2, "top_k": 3, "summation": "in"},
        {"temperature": 0.2, "supervised": True},
        {"temperature": 0.2, "supervised": True, "top_k": 3},
        {"temperature": 0.2, "supervised": True, "top_k": 3, "summation": "in"},
        {"temperature": 0.2, "top_k": 500},
    ],
    "renyi": [{}, {"alpha": 0.5}, {"alpha": 3.0}, {"alpha": 1.01}, {"reorder": True}, {"reorder": True, "alpha": 0.3}],
    "rce": [{}, {"two_heads": True}],
    "fa": [{}, {"contrastive": True}, {"contrastive": True, "margin": 1.0}, {"contrastive": True, "margin": 0.0}],
    "rp": [
        {},
        {"dim_out": 4},
        {"share": True},
        {"freeze_new": True, "dim_out": 6},
        {"normalize": True},
        {"bias": True, "dim_out": 3},
        {"share": True, "bias": True, "normalize": True},
    ],
    "bct": [{}, {"alpha": 0.3}, {"single_head": True}],
    "sum": [
        {
            "terms": [
                {"weight": 1.0, "distance": {"name": "ldi", "margin": 0.1}},
                {"weight": 0.25, "distance": {"name": "cna", "temperature": 0.2, "supervised": True}},
            ]
        },
        {"terms": [{"distance": {"name": "kl", "temperature": 4.0}}]},
        {
            "terms": [
                {"weight": 0.0, "distance": {"name": "fa", "contrastive": True}},
                {"weight": 3, "distance": {"name": "sum", "terms": [{"weight": 2, "distance": {"name": "l2"}}]}},
            ]
        },
    ],
}

FOCUS_CASES: dict[str, list[dict[str, Any]]] = {
    "all": [{}, {"base": 0.5, "scale": 3.0}],
    "old_correct": [{}, {"base": 0.5, "scale": 3.0}, {"base": 0.0, "scale": 0.0}],
    "neg_flip": [{}, {"base": 0.0, "scale": 2.0}],
    "new_incorrect": [{}, {"base": 2.0, "scale": 0.0}, {"base": 0.0, "scale": 1.0}],
    "shuffled": [
        {},
        {"base": 0.5, "scale": 3.0, "seed": 3, "of": {"name": "neg_flip"}},
        {"of": {"name": "new_incorrect"}},
    ],
    "likelihood": [{"weights": [i / 7 for i in range(64)]}],
}


def params(cases: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Every case as the specification that a catalog builds from."""
    return [{"name": name, **case} for name, variants in cases.items() for case in variants]


def case_id(spec: dict[str, Any]) -> str:
    return "-".join([spec["name"], *(f"{k}={v}" for k, v in spec.items() if k not in ("name", "weights", "terms"))])


def built(spec: dict[str, Any], new: ModelOutput | None = None, old: ModelOutput | None = None) -> Distance:
    """What the specification builds, bound."""
    return bound(DISTANCES.build(spec), new, old)


def first(name: str) -> dict[str, Any]:
    """The simplest specification of a distance: its defaults, where it has one for every parameter."""
    return {"name": name, **DISTANCE_CASES[name][0]}


__all__ = ["DISTANCE_CASES", "FOCUS_CASES", "bound", "built", "case_id", "cast", "first", "make", "params", "take"]
