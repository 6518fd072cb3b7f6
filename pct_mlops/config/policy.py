"""Promotion policies: which evidence decides, and how much flipping is tolerated."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pct_mlops.config.base import Config, read_yaml, validate

Bound = Literal["upper", "lower", "point"]


class Rule(Config):
    """One limit on one metric. Rates are fractions in [0, 1]; changes may be negative.

    `bound` says what is held against the limit: a one-sided confidence bound, or the observed value ('point').
    """

    metric: str
    max: float | None = Field(None, allow_inf_nan=False)
    min: float | None = Field(None, allow_inf_nan=False)
    bound: Bound | None = None
    min_support: int = Field(1, ge=1, description="classes with fewer examples are not judged")

    @model_validator(mode="before")
    @classmethod
    def _default_bound(cls, data: Any) -> Any:
        # The cautious side is the default: a maximum is held against the upper bound, a minimum against the lower.
        if isinstance(data, dict) and data.get("bound") is None:
            data = {**data, "bound": "upper" if data.get("max") is not None else "lower"}
        return data

    @model_validator(mode="after")
    def _one_limit(self) -> Rule:
        if (self.max is None) == (self.min is None):
            raise ValueError(f"rule on {self.metric} needs either 'max' or 'min', and only one of them")
        if (self.bound == "upper" and self.max is None) or (self.bound == "lower" and self.min is None):
            raise ValueError(f"rule on {self.metric}: bound 'upper' goes with 'max', 'lower' with 'min'")
        return self


class Policy(Config):
    """What a candidate must show before the production alias may move."""

    evaluation: Literal["test"] = "test"
    baseline: str = "production"
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    rules: tuple[Rule, ...] = ()

    @field_validator("evaluation", mode="before")
    @classmethod
    def _not_the_selection_split(cls, value: Any) -> Any:
        if value in ("train", "val"):
            raise ValueError(f"'{value}' trained the model or selected its epoch, so it cannot judge it: use 'test'")
        return value

    @property
    def digest(self) -> str:
        """sha256 over the policy's canonical JSON: two policies that decide alike share it."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @classmethod
    def read(cls, path: str | Path) -> Policy:
        """A policy file (YAML); PctError names the key that is wrong."""
        return validate(cls, read_yaml(path), str(path))
