"""Defines one rule of a policy: a limit on a metric, over all examples, classes or slices."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from pct_mlops.config.base import Config
from pct_mlops.config.catalog import unknown
from pct_mlops.config.metric_names import LIMITS, METRIC_INFO

Bound = Literal["upper", "lower", "point"]
Part = Literal["all", "shared", "new"]
# More examples than any table holds, and still short enough to print in a sentence.
MAX_SUPPORT = 10**12


def _no_bool(value: Any) -> Any:
    # YAML reads yes and on as true. As a number that is a limit of 1, which lets everything pass.
    if isinstance(value, bool):
        raise ValueError("should be a number, and it is yes or no")
    return value


def name_text(value: Any) -> Any:
    """Return a name as text, where YAML read it as a number.

    Raise ValueError for a name that YAML read as yes or no. It must be put in quotes.
    """
    if isinstance(value, bool):
        raise ValueError(f"YAML reads this name as {str(value).lower()}: put it in quotes")
    return str(value) if isinstance(value, int | float) else value


def checked_aliases(value: Any) -> Any:
    """Return aliases with names as text. Raise ValueError for anything but classes and other, finer classes."""
    if value is None:
        return None
    if not isinstance(value, dict) or not value:
        raise ValueError("should be 'class: finer class' pairs, such as zip: npz")
    found = {}
    for coarse, fine in value.items():
        several = isinstance(fine, list | tuple)
        names = [name_text(coarse), *(name_text(name) for name in (fine if several else [fine]))]
        if len(names) < 2 or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"'{coarse}' should name a finer class, or a list of them")
        if len(set(names)) < len(names):
            raise ValueError(f"'{coarse}' names a class twice, or itself")
        found[names[0]] = tuple(names[1:]) if several else names[1]
    if len(found) < len(value):
        raise ValueError("a class is named twice, in two ways of writing its number: keep one of them")
    return found


Number = Annotated[float, BeforeValidator(_no_bool)]
Name = Annotated[str, BeforeValidator(name_text), WithJsonSchema({"type": ["string", "number"]})]


class SliceRule(Config):
    """Examples that share a value of a column. Without `value`, each value of the column is judged on its own."""

    column: Name = Field(min_length=1, description="a column of the tables, or of the policy's slices file")
    value: Name | None = Field(default=None, description="one value; left out: every value, each judged on its own")


class Rule(Config):
    """One limit on one metric. Rates are fractions in [0, 1], and changes may be negative.

    `bound` chooses what is compared with the limit: a one-sided confidence bound, or the observed value ('point').

    Args:
        metric: what is limited; `pct list metrics` shows them all.
        max: the metric may be at most this.
        min: the metric must be at least this.
        max_times_floor: at most this many times the NFR of plain retraining.
        bound: upper, lower or point; None: upper for max, lower for min.
        min_support: classes and slices with fewer examples are not judged.
        classes: judge target classes one by one: "all", or a list of names.
        slice: judge the examples of a slice.
        on: judge all examples, or those whose label the old model knows (shared), or only the new one (new); None: all.

    Example:
        >>> from pct_mlops import Rule
        >>> Rule(metric="nfr", max=0.02).bound
        'upper'
    """

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [key]} for key in ("max", "min", "max_times_floor")]}
    )

    metric: str = Field(
        description="what is limited; 'pct list metrics' shows them all",
        json_schema_extra={"enum": list(METRIC_INFO)},
    )
    max: Number | None = Field(default=None, allow_inf_nan=False, description="the metric may be at most this")
    min: Number | None = Field(default=None, allow_inf_nan=False, description="the metric must be at least this")
    max_times_floor: Number | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="at most this many times the NFR of plain retraining (pct floor)",
    )
    bound: Bound | None = Field(
        default=None, description="what is compared with the limit; default upper for max, lower for min"
    )
    min_support: int = Field(
        default=1, ge=1, le=MAX_SUPPORT, description="classes and slices with fewer examples are not judged"
    )
    classes: Literal["all"] | tuple[Name, ...] | None = Field(
        default=None, description="judge target classes one by one: all, or a list of names"
    )
    slice: SliceRule | None = Field(default=None, description="judge the examples of a slice")
    on: Part | None = Field(
        default=None,
        description="all examples (default), those whose label the old model knows (shared), or only the new one (new)",
    )

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_key(cls, data: Any) -> Any:
        # YAML 1.1 reads the bare key on as true.
        if isinstance(data, dict) and True in data and "on" not in data:
            data = {"on" if key is True else key: value for key, value in data.items()}
        return data

    @model_validator(mode="before")
    @classmethod
    def _default_bound(cls, data: Any) -> Any:
        # The default is the cautious side: compare a maximum with the upper bound, and a minimum with the lower.
        if isinstance(data, dict) and data.get("bound") is None:
            data = {**data, "bound": "lower" if data.get("min") is not None else "upper"}
        return data

    @field_validator("min_support", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return _no_bool(value)

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in METRIC_INFO:
            raise ValueError(str(unknown("metric", value, list(METRIC_INFO))).rstrip("."))
        return value

    @field_validator("classes", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if value is None or value == "all":
            return value
        if not isinstance(value, list | tuple) or not value:
            raise ValueError("should be 'all' or a list of class names")
        names = [name_text(name) for name in value]
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise ValueError("should be a list of class names, each once")
        return tuple(names)

    @model_validator(mode="after")
    def _one_limit(self) -> Rule:
        given = [value for value in (self.max, self.min, self.max_times_floor) if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"rule on {self.metric} needs either 'max' or 'min' (or 'max_times_floor'), and only one of them"
            )
        if (self.bound == "upper" and not self.is_maximum) or (self.bound == "lower" and self.is_maximum):
            raise ValueError(f"rule on {self.metric}: bound 'upper' goes with 'max', 'lower' with 'min'")
        self._check_range(given[0])
        return self

    def _check_range(self, limit: float) -> None:
        info = METRIC_INFO[self.metric]
        if self.max_times_floor is not None:
            if not (info.is_flip_rate and info.unit == "share"):
                raise ValueError(f"rule on {self.metric}: 'max_times_floor' goes with negative flip rates, such as nfr")
            return
        low, high = LIMITS[info.unit]
        if limit < low or (high is not None and limit > high):
            between = f"between {low:g} and {high:g}" if high is not None else f"at least {low:g}"
            hint = f" ({limit:g} % is written {limit / 100:g})" if high is not None and abs(limit) > 1 else ""
            raise ValueError(f"rule on {self.metric}: the limit should be {between}, and it is {limit:g}{hint}")

    @property
    def is_maximum(self) -> bool:
        """True if the limit is an upper one."""
        return self.min is None

    @property
    def judged_classes(self) -> Literal["all"] | tuple[str, ...] | None:
        """The classes that are judged one by one, or None if all examples are judged together.

        For class_nfr it is "all" if the rule names no classes.
        """
        return "all" if self.classes is None and self.metric == "class_nfr" else self.classes

    def limit(self, floor: float | None = None) -> float | None:
        """Return the limit as a number, or None if it depends on a floor that was not measured."""
        if self.max_times_floor is None:
            return self.max if self.min is None else self.min
        return None if floor is None else self.max_times_floor * floor

    def problem(self) -> str | None:
        """Return why this rule could never be judged or never refuse a candidate, or None if neither holds."""
        info = METRIC_INFO.get(self.metric)
        if info is None:
            return None
        if info.no_bounds and self.bound != "point":
            return f"{self.metric} has no confidence bounds ({info.no_bounds}): use 'bound: point'"
        low, high = LIMITS[info.unit]
        if self.max == high if self.is_maximum else self.min == low:
            return f"a limit of {self.limit():g} on {self.metric} lets anything pass: give one that can be missed"
        if info.is_flip_rate and not self.is_maximum:
            return f"'min' on {self.metric} asks for negative flips: limit them with 'max'"
        return None


class BootstrapRules(Config):
    """Requirements of the first version, while there is no baseline to compare it with."""

    accuracy_new: Number = Field(
        gt=0, lt=1, description="accuracy of the first version, whose lower bound must be at least this"
    )

    @property
    def rule(self) -> Rule:
        """The same as a rule."""
        return Rule(metric="accuracy_new", min=self.accuracy_new)
