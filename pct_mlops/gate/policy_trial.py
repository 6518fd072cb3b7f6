"""Tries a policy on simulated candidates: how often does it pass those that are good, and refuse those that are not?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pct_mlops.comparison import clopper_pearson
from pct_mlops.comparison.simulated import Population
from pct_mlops.errors import ConfigError
from pct_mlops.gate.candidate_kinds import CandidateKind, checked_churn, chosen_kinds, kinds_around_limits
from pct_mlops.gate.decide import decide
from pct_mlops.gate.decision import Decision, Verdict
from pct_mlops.gate.trial_rules import CheckName, TriedRules, not_passed, tried_rules
from pct_mlops.gate.trial_sentences import drawing_sentence, limit_sentences, pinned_sentence

if TYPE_CHECKING:
    from pct_mlops.config import Policy
    from pct_mlops.predictions import Predictions, TableInfo

VERDICTS = (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR)
MAX_CANDIDATES = 100_000
_LEVEL = 0.975  # of each bound, so that both are an interval of 95 %
Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class TrialRow:
    """Verdicts on simulated candidates of one kind.

    Attributes:
        kind: the kind.
        counts: verdict -> number of tries.
        stopped_by: check -> number of tries that it kept from passing, the most frequent first.
        error: the most frequent reason of an ERROR; empty where there is none.
    """

    kind: CandidateKind
    counts: dict[Verdict, int]
    stopped_by: tuple[tuple[CheckName, int], ...]
    error: str = ""

    @property
    def num(self) -> int:
        """Number of tries."""
        return sum(self.counts.values())

    def share(self, verdict: Verdict) -> tuple[float, float, float]:
        """Return the share of a verdict, and its exact interval at 95 % confidence."""
        number = self.counts.get(verdict, 0)
        return (number / self.num, *clopper_pearson(number, self.num, _LEVEL))


@dataclass(frozen=True)
class PolicyTrial:
    """Result of `try_policy`.

    Attributes:
        rules: the rules that were tried.
        old: what the old table says about itself.
        accuracy: of the old model.
        churn: NFR of candidates that are as good as the old model.
        churn_source: where the churn comes from, in words.
        candidates: number of tries of each kind.
        seed: seed of the random numbers.
        rows: one for each kind, that of the equals first.
        limits: sentences on what this number of examples cannot tell or never passes.
        notes: sentences on how candidates are drawn and on what was left out.
    """

    rules: TriedRules
    old: TableInfo
    accuracy: float
    churn: float
    churn_source: str
    candidates: int
    seed: int
    rows: tuple[TrialRow, ...]
    limits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The result in plain words: how often candidates pass that are as good as the old model, or on a limit."""
        first = self.rows[0]
        own = "".join(f", on the limit of {self.rules.title(number)}," for number in first.kind.on_limits)
        text = f"A candidate as good as the old model{own} passes in {_passes(first)} of 100 tries"
        on = [
            f"{'one ' if not place else ''}on the limit of {self.rules.title(number)} in {_passes(row)}"
            for place, (number, row) in enumerate(self._on_limits())
        ]
        return "; ".join([text, ", ".join(on)]) + "." if on else f"{text}."

    def _on_limits(self) -> list[tuple[int, TrialRow]]:
        return [(number, row) for row in self.rows[1:] for number in row.kind.on_limits]


def _passes(row: TrialRow) -> str:
    return f"{100 * row.share(Verdict.PASS)[0]:.3g}"


def try_policy(
    policy: Policy,
    old: Predictions,
    *,
    candidates: int = 200,
    nfr: Sequence[float] = (),
    accuracy_change: Sequence[float] = (),
    churn: float | None = None,
    floor: float | None = None,
    seed: int = 0,
    advance: Advance | None = None,
) -> PolicyTrial:
    """Tell how often a policy passes, fails or hesitates on candidates that are simulated from an old model's table.

    Args:
        policy: the policy.
        old: the table of the model in use.
        candidates: number of tries of each kind.
        nfr: true rates to try, as fractions; by default around each limit.
        accuracy_change: true changes of accuracy to try, as fractions.
        churn: NFR of a candidate as good as the old model; None: the floor, else 1 % or half of the old model's errors.
        floor: NFR of plain retraining.
        seed: of the random numbers.
        advance: called with the numbers of tries done and of all.

    Returns:
        Shares of the verdicts by kind of candidate, with sentences on what they mean.

    Raises:
        PctError: the policy does not fit the table, or a rate is impossible on it.

    Example:
        >>> from pct_mlops import Policy, Predictions, Rule, Verdict, try_policy
        >>> labels, said = [0, 1] * 500, [0, 1] * 450 + [1, 0] * 50
        >>> about = {"sample_ids": range(1000), "class_names": ("cat", "dog"), "split": "test"}
        >>> old = Predictions.from_arrays(labels=labels, predictions=said, **about)
        >>> trial = try_policy(Policy(rules=(Rule(metric="nfr", max=0.03),)), old, candidates=50)
        >>> [row.kind.title for row in trial.rows[:2]], trial.rows[0].counts[Verdict.PASS] > 40
        (['as good as the old model', 'rule 1: half its limit'], True)
    """
    _check_numbers(candidates, seed, old)
    population = _population(policy, old)
    churn, source = checked_churn(churn, floor, population)
    rules, same = _judged(policy, population, floor)
    around = [] if nfr or accuracy_change else kinds_around_limits(rules, population, churn)
    kinds = around or chosen_kinds(nfr, accuracy_change, churn)
    rows = _run(rules, population, kinds, candidates=candidates, seed=seed, advance=advance)
    trial = PolicyTrial(rules, old.info, population.accuracy, churn, source, candidates, seed, tuple(rows))
    notes = (drawing_sentence(population), *rules.notes, pinned_sentence(policy, population, churn), _resampling(rows))
    limits = limit_sentences(rules, population, churn, same, kinds=around)
    return replace(trial, limits=tuple(limits), notes=tuple(note for note in notes if note))


def _judged(policy: Policy, population: Population, floor: float | None) -> tuple[TriedRules, Decision]:
    """Return the rules that can be tried, and the decision on a candidate that predicts as the old model does.

    Raise ConfigError where the gate could not judge any candidate by this policy on this table.
    """
    identical = population.expected(population.chances(0.0))
    rules = tried_rules(policy, identical, floor)
    same = decide(rules.policy, identical, floor=floor)
    if same.verdict is Verdict.ERROR:
        errors = [check.sentence for check in same.checks if check.verdict is Verdict.ERROR]
        raise ConfigError(errors[0] if errors else same.sentence)
    return rules, same


def _check_numbers(candidates: int, seed: int, old: Predictions) -> None:
    if not 1 <= candidates <= MAX_CANDIDATES:
        raise ConfigError(f"The number of candidates should be from 1 to {MAX_CANDIDATES:,}, and it is {candidates:,}.")
    if seed < 0:
        raise ConfigError(f"The seed should be a whole number from 0 up, and it is {seed}.")
    if len(old.info.class_names) < 2:
        raise ConfigError(
            f"{old.what} has only one class, so no prediction can flip: give a table of at least two classes."
        )


def _population(policy: Policy, old: Predictions) -> Population:
    return Population.of(
        old,
        columns=sorted({rule.slice.column for rule in policy.rules if rule.slice is not None}),
        slices=policy.slices_path,
        costs=policy.class_costs,
        aliases=policy.aliases,
        ids=policy.pinned_ids,
    )


def _run(
    rules: TriedRules,
    population: Population,
    kinds: Sequence[CandidateKind],
    *,
    candidates: int,
    seed: int,
    advance: Advance | None,
) -> list[TrialRow]:
    rows, done = [], 0
    # All of them first, so that an impossible rate is refused before any try.
    drawn = [(kind, population.chances(kind.nfr, kind.accuracy_change)) for kind in kinds]
    for (kind, chances), sequence in zip(drawn, np.random.SeedSequence(seed).spawn(len(kinds)), strict=True):
        generator = np.random.default_rng(sequence)
        counts: Counter[Verdict] = Counter(dict.fromkeys(VERDICTS, 0))
        stopped: Counter[CheckName] = Counter()
        errors: Counter[str] = Counter()
        for _ in range(candidates):
            decision = decide(rules.policy, population.draw(chances, generator), floor=rules.floor)
            counts[decision.verdict] += 1
            stopped.update({rules.check_name(check) for check in not_passed(decision.checks)})
            errors.update(check.sentence for check in decision.checks if check.verdict is Verdict.ERROR)
            done += 1
            if advance is not None:
                advance(done, candidates * len(kinds))
        most = sorted(stopped.items(), key=lambda item: (-item[1], item[0]))
        error = errors.most_common(1)[0][0] if errors else ""
        rows.append(TrialRow(kind, dict(counts), tuple(most), error))
    return rows


def _resampling(rows: Sequence[TrialRow]) -> str:
    number = sum(row.counts[Verdict.ERROR] for row in rows)
    if not number:
        return ""
    error = next(row.error for row in rows if row.error)
    what = "1 try was" if number == 1 else f"{number:,} tries were"
    return f"{what} an ERROR, because the drawn test set could not be judged. For example: {error}"
