"""Writes a decision rule by rule for people: a line for each rule, and below it the worst of its classes or slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pct_mlops.config.numbers import number_of
from pct_mlops.gate import by_rule, part_sentence
from pct_mlops.gate.decision import WORST_FIRST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pct_mlops.gate import Decision, NotJudged, RuleGroup, Verdict

WORST = 5  # classes or slices below a rule; the JSON report has all


class RuleLine(NamedTuple):
    """A line about a rule, or about one of its classes or slices. Only a list that is cut has no verdict at its end."""

    text: str
    verdict: Verdict | None
    is_part: bool = False


def rule_lines(groups: Sequence[RuleGroup], worst: int = WORST) -> list[RuleLine]:
    """Return the lines of the rules. A rule with several checks lists its worst, or where all pass the closest one.

    Args:
        groups: The checks of each rule, the worst first, as `worst_rule_first` returns them.
        worst: How many classes or slices of a rule to list.
    """
    lines: list[RuleLine] = []
    for group in groups:
        lines.append(RuleLine(group.full_sentence, group.worst.verdict))
        lines += [RuleLine(part_sentence(check), check.verdict, is_part=True) for check in group.listed[:worst]]
        if (left := len(group.listed) - worst) > 0:
            lines.append(RuleLine(f"and {left:,} more, none worse: see the JSON report", None, is_part=True))
    return lines


def worst_rule_first(decision: Decision) -> list[RuleGroup]:
    """Return the checks of each rule, the rules with the worst verdict first. Rules on all examples lead those."""
    return sorted(by_rule(decision.checks), key=lambda group: WORST_FIRST.index(group.worst.verdict))


class TooSmall(NamedTuple):
    """The classes and slices that were too small to judge: those to name, and words that count all others."""

    named: list[str]
    others: list[str]

    def __bool__(self) -> bool:
        return bool(self.named or self.others)


def too_small_parts(not_judged: Sequence[NotJudged], most: int | None = None) -> TooSmall:
    """Return the classes and slices that were too small to judge, those with most negative flips first.

    Those that have no negative flip or no example are only counted, and so are those after the first `most`.
    """
    some = [item for item in not_judged if item.support and item.negative_flips != 0]
    some.sort(key=lambda item: -(item.negative_flips or 0))
    named = [f"{item.name} ({_flipped(item)})" for item in some[:most]]
    empty = sum(not item.support for item in not_judged)
    counts = {
        "more": len(some) - len(named),
        "without a negative flip": len(not_judged) - len(some) - empty,
        "without examples": empty,
    }
    return TooSmall(named, [f"{number:,} {words}" for words, number in counts.items() if number])


def _flipped(item: NotJudged) -> str:
    if item.negative_flips is None:
        return number_of(item.support, "example")
    return f"{item.negative_flips:,} of {item.support:,} flipped"
