"""Checks what must hold beside the rules: pinned examples and reviewers' records. Also writes the decision's notes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from pct_mlops.comparison import unknown_labels_sentence
from pct_mlops.comparison.availability import unavailable_sentence
from pct_mlops.config.numbers import number_of, probability
from pct_mlops.errors import PctError
from pct_mlops.gate.decision import Check, Verdict
from pct_mlops.gate.reviews import Mark, ReviewKind, ReviewState
from pct_mlops.gate.rules import failed_check

if TYPE_CHECKING:
    from pathlib import Path

    from pct_mlops.comparison import Comparison
    from pct_mlops.config import Policy, Rule

# Names of the checks that are not about a metric.
BEYOND_RULES = ("pinned", "blocker", "review")
_SHOWN = 3


def apart_ids(policy: Policy, review: ReviewState) -> list[str]:
    """Return the ids of the examples whose flips do not count under this policy, for `compare(..., apart=)`."""
    return review.samples(*(Mark(name) for name in policy.reviews.count_apart))


def other_inputs(policy: Policy, comparison: Comparison, review: ReviewState) -> PctError | str | None:
    """Return why this comparison must not decide, or None.

    It must be made with the flips set apart, the costs and the file of slices that the policy and the reviewers name.
    A PctError says that one of the policy's files was not read.
    """
    if comparison.apart != frozenset(apart_ids(policy, review)):
        return (
            "The flips that the comparison sets apart are not those that the policy and the reviewers set apart: "
            "compare again."
        )
    try:
        costs, slices = policy.class_costs, policy.slices_path
    except PctError as error:
        return error
    weighs = costs is not None or any(rule.metric == "weighted_nfr" for rule in policy.rules)
    if weighs and comparison.costs != costs:
        return "The comparison was made with other costs than the policy's: compare again."
    if comparison.aliases != (policy.aliases or {}):
        return "The comparison was made with other aliases than the policy's: compare again."
    return _other_slices(policy, comparison, slices)


def _other_slices(policy: Policy, comparison: Comparison, slices: Path | None) -> str | None:
    columns = {rule.slice.column for rule in policy.rules if rule.slice is not None}
    if slices is not None and comparison.slices_path != slices and columns:
        return "The comparison was made without the policy's file of slices: compare again."
    if slices is None and columns.intersection(comparison.joined_columns):
        return "The comparison was made with a file of slices that the policy does not name: name it under 'slices'."
    return None


def counted_apart(policy: Policy, comparison: Comparison, review: ReviewState) -> dict[str, int]:
    """Return for each mark how many negative flips of this comparison do not count because of it."""
    marks = {name: review.samples(Mark(name)) for name in policy.reviews.count_apart}
    return {name: comparison.num_flips(sample_ids=ids) if ids else 0 for name, ids in marks.items()}


def beyond_rules(
    policy: Policy, comparison: Comparison, review: ReviewState, pinned: Collection[str] | None
) -> list[Check]:
    """Return the checks of pinned examples, blockers and the reviewers' decision, as far as there are any.

    `pinned` replaces the ids that the policy names, unless it is None.
    """
    try:
        ids = policy.pinned_ids if pinned is None else tuple(dict.fromkeys(pinned))
    except PctError as error:
        return [failed_check("pinned", error)]
    checks = [_pinned(comparison, ids)] if ids or policy.pinned is not None else []
    return checks + _blockers(comparison, review.samples(Mark.BLOCKER)) + review_checks(policy, review)


def review_checks(policy: Policy, review: ReviewState) -> list[Check]:
    """Return the check of the reviewers' decision, if there is one. A rejection is a FAIL under any policy."""
    decision = review.decision
    if decision is not None and decision.kind is ReviewKind.REJECT:
        return [_check("review", Verdict.FAIL, f"Rejected by {decision.by}: {decision.reason}")]
    if decision is not None and decision.kind is ReviewKind.ACCEPT:
        return [_check("review", Verdict.PASS, f"Accepted by {decision.by}: {decision.reason}")]
    if policy.reviews.require_acceptance:
        text = "A reviewer must accept the candidate first: 'pct review MODEL --accept --by NAME --reason TEXT'."
        return [_check("review", Verdict.INCONCLUSIVE, text)]
    return []


def notes(comparison: Comparison) -> tuple[str, ...]:
    """Return sentences on facts that people ask for and that decide nothing."""
    counts = comparison.counts
    type_1, type_2 = (comparison.estimate(f"type_{number}_flips").numerator or 0 for number in (1, 2))
    found = [
        f"McNemar's test of net accuracy ({counts.positive_flips:,} gained, {counts.negative_flips:,} lost): "
        f"{probability(comparison.mcnemar())}; it says nothing about how many flips there are.",
    ]
    counted = counts.negative_flips - comparison.apart_counts
    if counted and not comparison.lacking("type_1_flips"):
        found.append(
            f"Of {number_of(counted, 'negative flip')}, {type_1:,} lost at most 0.1 of the confidence in the target "
            f"(type I) and {type_2:,} at least 0.5 (type II)."
        )
    if comparison.apart_counts:
        are = "is" if comparison.apart_counts == 1 else "are"
        apart = number_of(comparison.apart_counts, "negative flip")
        found.append(f"{apart} {are} counted apart, as reviewers marked them.")
    if comparison.num_without_slices:
        found.append(
            f"{comparison.num_without_slices:,} of {counts.total:,} examples are not in the file of slices; their "
            "value there is '(none)'."
        )
    if lacking := unavailable_sentence(comparison):
        found.append(lacking)
    stated = [info.title for info in (comparison.old, comparison.new) if info.confidences_stated]
    if stated:
        found.append(
            f"The confidences of {' and '.join(stated)} are those that the file gave, not the softmax of its logits."
        )
    return tuple(found)


def class_notes(rules: Sequence[Rule], comparison: Comparison) -> tuple[str, ...]:
    """Return sentences on classes that not both models know, and on rules that do not say whether they mean those."""
    change = comparison.class_change
    found = [sentence] if (sentence := unknown_labels_sentence(comparison)) else []
    if change is None:
        return tuple(found)
    new = "never predicted by the old model" if "old" in change.inferred else "only of the new model"
    gone = "never predicted by the new model" if "new" in change.inferred else "only of the old model"
    found.append(
        f"The classes changed: {len(change.shared):,} shared, {len(change.new):,} {new} ({change.num_new:,} examples), "
        f"{len(change.gone):,} {gone} ({change.num_gone:,} examples)."
    )
    silent = [str(number) for number, rule in enumerate(rules, start=1) if rule.on is None]
    if silent and change.num_new:
        numbers = "Rule" if len(silent) == 1 else "Rules"
        found.append(
            f"{numbers} {', '.join(silent[:8])}{', ...' if len(silent) > 8 else ''} of the policy judged all examples: "
            "write 'on: shared' to judge only those whose label the old model knows."
        )
    return tuple(found)


def _pinned(comparison: Comparison, ids: Sequence[str]) -> Check:
    absent = comparison.absent(ids) if ids else []
    if absent:
        text = f"{_examples(len(absent))} pinned but not in the tables ({_some(absent)}): score them, or unpin them."
        return _check("pinned", Verdict.ERROR, text, limit=0, support=len(ids))
    flipped = comparison.flipped(ids) if ids else []
    if flipped:
        text = f"{_examples(len(flipped))} pinned and with a negative flip again ({_some(flipped)})."
        return _check("pinned", Verdict.FAIL, text, value=len(flipped), limit=0, support=len(ids))
    text = f"None of the {len(ids):,} pinned examples has a negative flip."
    return _check("pinned", Verdict.PASS, text, value=0, limit=0, support=len(ids))


def _blockers(comparison: Comparison, ids: Sequence[str]) -> list[Check]:
    """Return a FAIL for blockers that flip and an ERROR for blockers that the tables lack, and no PASS."""
    checks = []
    if flipped := comparison.flipped(ids) if ids else []:
        text = f"{_examples(len(flipped))} called a blocker by a reviewer and with a negative flip ({_some(flipped)})."
        checks.append(_check("blocker", Verdict.FAIL, text, value=len(flipped), limit=0, support=len(ids)))
    if absent := comparison.absent(ids) if ids else []:
        text = f"{_examples(len(absent))} called a blocker by a reviewer but not in the tables ({_some(absent)})"
        text += ": score them, or take the review back."
        checks.append(_check("blocker", Verdict.ERROR, text, limit=0, support=len(ids)))
    return checks


def _check(
    metric: str,
    verdict: Verdict,
    text: str,
    *,
    value: float | None = None,
    limit: float | None = None,
    support: int | None = None,
) -> Check:
    return Check(metric, None, value, None, None, limit, "point", verdict, text, support)


def _examples(number: int) -> str:
    return "1 example is" if number == 1 else f"{number:,} examples are"


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else "")
