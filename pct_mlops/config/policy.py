"""Defines the promotion policy: which predictions decide, and how many flips are tolerated.

Pinned examples and costs are read with the policy, and the slices file is fingerprinted. `model_copy(update=...)` makes
a what-if policy in memory that keeps these contents. Only the slices file is read again, where tables are joined.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator

from pct_mlops.config.base import Config, validate
from pct_mlops.config.policy_files import file_digest, read_costs, read_id_column, to_cost
from pct_mlops.config.policy_rules import BootstrapRules, Rule, checked_aliases, name_text
from pct_mlops.config.yaml_files import load_mapping
from pct_mlops.errors import ConfigError, PctError

# The largest policy file. The files that it names may be larger.
MAX_BYTES = 256 * 1024
RECOMPUTED = "recomputed"
# Sections added after the first release. The digest omits them where unused, so that old digests stay valid.
_LATER = ("pinned", "slices", "costs", "reviews", "evidence", "aliases", "bootstrap")
_LATER_IN_RULES = ("max_times_floor", "classes", "slice", "on")
# These metrics depend on the baseline alone.
_OF_THE_BASELINE = {"accuracy_old", "ece_old", "nll_old"}


class Pinned(Config):
    """Examples that must never flip again: a CSV or Parquet file with a column `sample_id`."""

    file: str = Field(min_length=1, description="CSV or Parquet with a column sample_id; relative to the policy file")
    _ids: tuple[str, ...] | None = PrivateAttr(None)


class SliceFile(Config):
    """Columns for slices that the tables lack: a CSV or Parquet file with `sample_id` and a column for each kind of
    slice.
    """

    file: str = Field(min_length=1, description="CSV or Parquet joined by sample_id; relative to the policy file")
    _path: Path | None = PrivateAttr(None)
    _digest: str = PrivateAttr("")


class CostFile(Config):
    """Costs of classes: a CSV or Parquet file with the columns `class` and `cost`."""

    file: str = Field(min_length=1, description="CSV or Parquet with the columns class and cost")
    _costs: dict[str, float] | None = PrivateAttr(None)


class ReviewRules(Config):
    """Effects of reviews on the decision, besides those that always apply.

    A rejection and a blocker always count.
    """

    require_acceptance: bool = Field(
        default=False, description="no PASS without a reviewer's acceptance for this baseline"
    )
    count_apart: tuple[Literal["label_error", "accepted_loss"], ...] = Field(
        default=(), description="flips with these marks are left out of flip rates, and shown beside them"
    )


class EvidenceRules(Config):
    """Facts that must be known of the tables that decide."""

    tied: Literal[True] = Field(description="both tables were made by the weights of their versions")


def _evidence(value: Any) -> Any:
    known = value is None or value == RECOMPUTED or isinstance(value, EvidenceRules) or value == {"tied": True}
    if not known or (isinstance(value, dict) and value["tied"] is not True):
        raise ValueError("should be {tied: true} or recomputed")
    return value


def _costs(value: Any) -> Any:
    if value is None or isinstance(value, CostFile):
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError("should be 'class: cost' pairs, or {file: costs.csv}")
    if set(value) == {"file"} and isinstance(value["file"], str):
        return CostFile(file=value["file"])
    try:
        costs = {name_text(name): to_cost(name, cost) for name, cost in value.items()}
    except PctError as error:
        raise ValueError(str(error)) from error
    if len(costs) < len(value):
        raise ValueError("a class is named twice, in two ways of writing its number: keep one of them")
    return costs


class Policy(Config):
    """The requirements that a candidate must meet before the production alias may move.

    Args:
        evaluation: which predictions decide; always "test".
        baseline: alias of the version to compare with.
        confidence: of every one-sided bound.
        rules: all of them must hold.
        pinned: examples that must never flip again.
        slices: further columns for rules on slices.
        costs: cost of a flip by class name, for weighted_nfr.
        reviews: effects of reviews on the decision.
        evidence: facts that must be known of the tables that decide.
        aliases: a class -> a finer one, or several, whose predictions count as right.
        bootstrap: what the first version must reach, while there is no baseline.

    Example:
        >>> from pct_mlops import Policy, Rule
        >>> policy = Policy(confidence=0.99, rules=(Rule(metric="nfr", max=0.02),))
        >>> policy.rules[0].max, len(policy.digest)
        (0.02, 64)
    """

    evaluation: Literal["test"] = Field(default="test", description="which predictions decide")
    baseline: str = Field(default="production", min_length=1, description="alias of the version to compare with")
    # At most one error in a million: nearer to 1, Holm's levels for many classes could not be told from 1.
    confidence: float = Field(default=0.95, gt=0.5, le=0.999999, description="of every one-sided bound")
    rules: tuple[Rule, ...] = Field(default=(), description="all of them must hold", json_schema_extra={"minItems": 1})
    pinned: Pinned | None = Field(default=None, description="examples that must never flip again")
    slices: SliceFile | None = Field(default=None, description="further columns for rules on slices")
    costs: Annotated[dict[str, float] | CostFile | None, BeforeValidator(_costs)] = Field(
        default=None, description="cost of a flip by class name, for weighted_nfr; classes that are not named cost 1"
    )
    reviews: ReviewRules = Field(default_factory=ReviewRules, description="effects of reviews on the decision")
    evidence: Annotated[EvidenceRules | Literal["recomputed"] | None, BeforeValidator(_evidence)] = Field(
        default=None,
        description="{tied: true}: the weights of both versions made their tables; recomputed: the gate made them",
    )

    _file: str = PrivateAttr("")

    aliases: Annotated[dict[str, str | tuple[str, ...]] | None, BeforeValidator(checked_aliases)] = Field(
        default=None, description="class: finer class, or a list of them, whose predictions count as right"
    )
    bootstrap: BootstrapRules | None = Field(
        default=None, description="what the first version must reach, while there is no baseline"
    )

    @field_validator("evaluation", mode="before")
    @classmethod
    def _not_the_selection_split(cls, value: Any) -> Any:
        if value in ("train", "val"):
            raise ValueError(f"'{value}' trained the model or selected its epoch, so it cannot judge it: use 'test'")
        return value

    @classmethod
    def read(cls, path: str | Path) -> Policy:
        """Read a policy file (YAML) together with the files that it names.

        Raises:
            ConfigError: The policy or one of its files is wrong. The message names the key.
        """
        data = load_mapping(Path(path), "policy", MAX_BYTES)
        # Check before defaults are filled in: an empty `classes:` would count as a missing one, and so be ignored.
        if empty := _first_empty(data):
            raise ConfigError(f"{path}: '{empty}' has no value: give it one, or leave the key out.")
        policy = validate(cls, data, str(path))
        try:
            policy._resolve(Path(path).absolute().parent)
            policy._check()
        except PctError as error:
            raise ConfigError(f"{path}: {error}.") from error
        policy._file = str(path)
        return policy

    def _resolve(self, folder: Path) -> None:
        if self.pinned is not None:
            file = folder / self.pinned.file
            file_digest(file, "pinned")
            self.pinned._ids = read_id_column(file, "pinned")
        if self.slices is not None:
            self.slices._path = folder / self.slices.file
            self.slices._digest = file_digest(self.slices._path, "slices")
        if isinstance(self.costs, CostFile):
            file = folder / self.costs.file
            file_digest(file, "costs")
            self.costs._costs = read_costs(file, "costs")

    def _check(self) -> None:
        """Raise ConfigError for a policy that could never decide, or that lets anything pass."""
        if not self.rules:
            raise ConfigError("it has no rules, so it would let anything pass: write at least one")
        if _OF_THE_BASELINE.issuperset(rule.metric for rule in self.rules):
            raise ConfigError("its rules are about the baseline alone, so any candidate would pass: add one on nfr")
        for number, rule in enumerate(self.rules):
            problem = rule.problem()
            if rule.metric == "weighted_nfr" and not self.class_costs:
                problem = "weighted_nfr needs costs: name the cost of a flip by class under 'costs'"
            if problem:
                raise ConfigError(f"rules.{number}: {problem}")

    def __eq__(self, other: object) -> bool:
        """Compare the requirements, whatever file they were read from."""
        return isinstance(other, Policy) and self._values() == other._values()

    def __hash__(self) -> int:
        """Hash what `==` compares."""
        return hash(self._values())

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, key) for key in Policy.model_fields)

    @property
    def file(self) -> str:
        """Path of the file that the policy was read from, as it was named. It is "" for a policy made otherwise."""
        return self._file

    @property
    def file_names(self) -> list[str]:
        """The files that the policy names, as written there: relative to its own folder."""
        parts = (self.pinned, self.slices, self.costs)
        return [part.file for part in parts if isinstance(part, Pinned | SliceFile | CostFile)]

    @property
    def pinned_ids(self) -> tuple[str, ...]:
        """Ids of the examples that must never flip again.

        Raises:
            ConfigError: Their file was not read (see `Policy.read`).
        """
        if self.pinned is None:
            return ()
        return _known(self.pinned._ids, "pinned")

    @property
    def class_costs(self) -> dict[str, float] | None:
        """Cost of a flip by class name, or None if the policy names none."""
        return _known(self.costs._costs, "costs") if isinstance(self.costs, CostFile) else self.costs

    @property
    def wanted_tie(self) -> str:
        """Tie of tables to models that this policy demands: "tied", "recomputed", or "" for none."""
        if isinstance(self.evidence, EvidenceRules):
            return "tied"
        return self.evidence or ""

    @property
    def slices_path(self) -> Path | None:
        """Absolute path of the file whose columns are joined by sample_id, or None."""
        return None if self.slices is None else _known(self.slices._path, "slices")

    @property
    def digest(self) -> str:
        """sha256 over the policy's canonical JSON and the contents of its files.

        Two policies that decide alike have the same digest.
        """
        content = self.model_dump(mode="json")
        content["rules"] = [_without_unused(rule, _LATER_IN_RULES) for rule in content["rules"]]
        if self.pinned is not None:
            content["pinned"] = sorted(self.pinned_ids)
        if self.slices is not None:
            content["slices"] = self.slices._digest
        if self.costs is not None:
            content["costs"] = self.class_costs
        if self.reviews == ReviewRules():
            content["reviews"] = None
        content = _without_unused(content, _LATER)
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _first_empty(data: Any, where: str = "") -> str:
    """Return the dotted key of the first value that is null, or empty text if there is none."""
    if data is None:
        return where
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    # YAML reads the bare key on as true.
    named = (("on" if key is True else key, value) for key, value in parts)
    found = (_first_empty(value, f"{where}.{key}" if where else str(key)) for key, value in named)
    return next(filter(None, found), "")


def _without_unused(content: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None or key not in keys}


def _known(value: Any, what: str) -> Any:
    if value is None:
        raise ConfigError(f"The policy's {what} file was not read: read the policy from its file.")
    return value
