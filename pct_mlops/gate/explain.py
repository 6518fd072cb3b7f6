"""Explains a policy in words: what each rule demands, and about how many examples it takes to meet it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from pct_mlops.comparison import clopper_pearson, tango
from pct_mlops.config import Policy, Rule
from pct_mlops.config.metric_names import METRIC_INFO
from pct_mlops.config.numbers import percent, points

_MOST = 1e9
# Share of examples that a careful update flips in each direction. The width of a paired interval follows from it.
CHURN = 0.01

Passes = Callable[[float], bool]


def explain(policy: Policy) -> list[str]:
    """Return paragraphs on the evidence, on each rule, and on what else must hold."""
    level = f"{100 * policy.confidence:.4g}%"
    found = [
        f"Decides on the '{policy.evaluation}' predictions of candidate and '{policy.baseline}'; every bound is "
        f"one-sided, at {level} confidence. All of this must hold:"
    ]
    found += [f"{number}. {_rule(rule, policy)}" for number, rule in enumerate(policy.rules, start=1)]
    if policy.bootstrap is not None:
        first = _rule(policy.bootstrap.rule, policy)
        found.append(f"First version, while there is no baseline to compare with: {first}")
    if policy.pinned is not None:
        found.append(f"Pinned: none of {len(policy.pinned_ids):,} examples of {policy.pinned.file} may flip again.")
    if policy.slices is not None:
        found.append(f"Slices: the columns of {policy.slices.file} are joined by sample_id.")
    costs = policy.class_costs
    if costs is not None:
        shown = ", ".join(f"{name} {cost:g}" for name, cost in list(costs.items())[:5])
        more = f" and {len(costs) - 5:,} more" if len(costs) > 5 else ""
        found.append(f"Costs of a flip: {shown}{more}; any other class 1.")
    if policy.aliases:
        found.append(_aliases(policy.aliases))
    if policy.wanted_tie == "recomputed":
        found.append("Evidence: the gate scores both models itself (--recompute); stored tables do not count.")
    elif policy.wanted_tie:
        found.append(
            "Evidence: both tables were made by the weights of their versions, as 'pct train' and 'pct score' record "
            "it; attached tables do not count."
        )
    if policy.reviews.require_acceptance:
        found.append("Reviewers: one must accept the candidate for this very baseline, and none may have rejected it.")
    else:
        found.append("Reviewers: a rejection or a blocker refuses; an acceptance is not asked for.")
    if policy.reviews.count_apart:
        marks = " and ".join(mark.replace("_", " ") for mark in policy.reviews.count_apart)
        found.append(f"Flips that a reviewer marked {marks} are left out of flip rates and shown beside them.")
    return found


def _aliases(aliases: Mapping[str, str | Sequence[str]]) -> str:
    fine_of = {coarse: fine if isinstance(fine, str) else " or ".join(fine) for coarse, fine in aliases.items()}
    shown = ", ".join(f"'{fine}' counts as right where the label is '{name}'" for name, fine in fine_of.items())
    return (
        f"Aliases: {shown}. The other way round, the coarser prediction counts as right only from a model that does "
        "not know the finer class."
    )


def _rule(rule: Rule, policy: Policy) -> str:
    info = METRIC_INFO[rule.metric]
    if rule.max_times_floor is not None:
        limit = f"{rule.max_times_floor:g} times the measured floor of plain retraining"
    else:
        limit = _text(rule.limit() or 0.0, info.unit)
    demand = f"{'at most' if rule.is_maximum else 'at least'} {limit}"
    text = f"{rule.metric} ({info.summary}){_where(rule)} is {demand}"
    if rule.bound == "point":
        return f"{text}, as observed, with no allowance for chance."
    side = "upper" if rule.is_maximum else "lower"
    several = rule.judged_classes is not None or (rule.slice is not None and rule.slice.value is None)
    parts = [f"{text}, and so is its {side} bound.", _examples(rule, policy.confidence)]
    if several:
        parts.append("Each is judged on its own, and a FAIL must hold after Holm's correction for their number.")
    return " ".join(part for part in parts if part)


def _where(rule: Rule) -> str:
    classes, parts = rule.judged_classes, []
    if classes == "all":
        parts.append("in every class")
    elif classes is not None:
        parts.append("in " + " and ".join(f"'{name}'" for name in classes))
    if rule.slice is not None:
        value = f"'{rule.slice.value}'" if rule.slice.value is not None else "any one value"
        parts.append(f"where {rule.slice.column} is {value}")
    if rule.min_support > 1:
        parts.append(f"with at least {rule.min_support:,} examples")
    if rule.on == "shared":
        parts.append("on the labels that the old model knows")
    elif rule.on == "new":
        parts.append("on the labels that only the new model knows")
    return "".join(f" {part}" for part in parts)


def _examples(rule: Rule, confidence: float) -> str:
    """Say from about how many examples on a good candidate passes the rule."""
    info, limit = METRIC_INFO[rule.metric], rule.limit()
    if limit is None:
        return "How many examples it takes depends on the floor."
    if rule.metric == "weighted_nfr":
        return "How many examples it takes depends on which classes flip."
    if info.unit == "signed share":
        return _paired(rule, limit, confidence)
    best = 0.0 if rule.is_maximum else 1.0
    if limit == best:
        return f"No number of examples shows that it is {percent(best, 0)}: use 'bound: point' for that."
    half = (limit + best) / 2
    numbers = [_smallest(_share(rate, limit, confidence, rule.is_maximum)) for rate in (best, half)]
    return (
        f"It passes {_from(numbers[0], info.of)} at {percent(best, 0)}, "
        f"and {_from(numbers[1], info.of)} at {_text(half, info.unit)}."
    )


def _share(rate: float, limit: float, confidence: float, is_maximum: bool) -> Passes:
    def passes(num: float) -> bool:
        lower, upper = clopper_pearson(rate * num, num, confidence)
        return upper <= limit if is_maximum else lower >= limit

    return passes


def _paired(rule: Rule, limit: float, confidence: float) -> str:
    if (limit <= 0) if rule.is_maximum else (limit >= 0):
        change = limit - 0.01 if rule.is_maximum else limit + 0.01
    else:
        change = 0.0

    def passes(num: float) -> bool:
        gained, lost = (CHURN + max(change, 0)) * num, (CHURN + max(-change, 0)) * num
        lower, upper = tango(gained, lost, num, confidence)
        return upper <= limit if rule.is_maximum else lower >= limit

    number = _from(_smallest(passes), "examples")
    return f"It passes {number} at {points(change)}, if a further {CHURN:.0%} flips in each direction."


def _smallest(passes: Passes) -> float | None:
    """Return about the smallest number of examples that passes, or None if a thousand million do not."""
    if not passes(_MOST):
        return None
    low, high = 0.0, math.log(_MOST)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if passes(math.exp(middle)) else (middle, high)
    return math.exp(high)


def _from(number: float | None, what: str) -> str:
    if number is None:
        return f"with no realistic number of {what}"
    unit = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return f"from about {math.ceil(number / unit - 1e-6) * unit:,} {what}"


def _text(value: float, unit: str) -> str:
    if unit == "signed share":
        return points(value)
    return percent(value) if unit == "share" else f"{value:g}"
