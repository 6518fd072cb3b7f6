"""Tries a policy on simulated candidates: how often does it pass those that are good, and refuse those that are not?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pct_mlops.comparison import clopper_pearson
from pct_mlops.comparison.simulated import Population
from pct_mlops.errors import ConfigError
from pct_mlops.gate.candidate_kinds import CandidateKind, checked_churn, chosen_kinds, kinds_around_limits
from pct_mlops.gate.decide import decide
from pct_mlops.gate.decision import Decision, Verdict
from pct_mlops.gate.explain import CHURN
from pct_mlops.gate.trial_rules import TriedRules, not_passed, tried_rules
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
    stopped_by: tuple[tuple[str, int], ...]
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
    notes: tuple[str, ...] = field(default=())

    @property
    def sentence(self) -> str:
        """The result in plain words: how often an equal passes, and a candidate on the limit of each rule."""
        first = self.rows[0]
        text = f"A candidate as good as the old model passes in {_passes(first)} of 100 tries"
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
    """Tell how often a policy passes, fails or hesitates, by candidates that are simulated from an old model's table.

    The gate's own `decide` judges each of them, on examples that are drawn with replacement.

    Args:
        policy: the policy, with the files that it names.
        old: the table of the model in use.
        candidates: number of tries of each kind.
        nfr: true rates to try, as fractions; by default around each rule's limit.
        accuracy_change: true changes of accuracy to try, as fractions.
        churn: NFR of a candidate that is as good as the old model; None: the floor, or 1 % where that is not
            known, and at most half of the old model's errors.
        floor: NFR of plain retraining, for limits relative to it.
        seed: of the random numbers. The same seed gives the same result.
        advance: called with the number of tries that are done, and the number of all.

    Returns:
        The shares of the verdicts for each kind of candidate, and what this number of examples cannot tell.

    Raises:
        PctError: the policy does not fit the table, or a rate is impossible on it.

    Example:
        >>> import numpy as np
        >>> from pct_mlops import Policy, Predictions, Rule, try_policy
        >>> labels = np.arange(1000) % 2
        >>> said = np.where(np.arange(1000) < 900, labels, 1 - labels)
        >>> old = Predictions.from_arrays(
        ...     labels=labels, predictions=said, sample_ids=range(1000), class_names=("cat", "dog"), split="test"
        ... )
        >>> trial = try_policy(Policy(rules=(Rule(metric="nfr", max=0.03),)), old, candidates=50)
        >>> [(row.kind.title, str(max(row.counts, key=row.counts.get))) for row in trial.rows[:2]]
        [('as good as the old model', 'PASS'), ('rule 1 (nfr): half its limit', 'PASS')]
    """
    _check_numbers(candidates, seed, old)
    population = _population(policy, old)
    source = "as given" if churn is not None else "the floor of plain retraining" if floor else "the default"
    churn = checked_churn(churn, floor or CHURN, population)
    identical = population.expected(population.chances(0.0))
    rules = tried_rules(policy, identical, floor)
    same = decide(rules.policy, identical, floor=floor)
    _check_decision(same)
    if nfr or accuracy_change:
        kinds, without = chosen_kinds(nfr, accuracy_change, churn), ""
    else:
        kinds, without = kinds_around_limits(rules, population, churn)
    for kind in kinds:
        population.chances(kind.nfr, kind.accuracy_change)  # so that an impossible one is refused before any try
    rows = _run(rules, population, kinds, candidates=candidates, seed=seed, advance=advance)
    notes = (
        drawing_sentence(population),
        without,
        *rules.notes,
        pinned_sentence(policy, population, churn),
        _resampling(rows),
    )
    return PolicyTrial(
        rules,
        old.info,
        population.accuracy,
        churn,
        source,
        candidates,
        seed,
        tuple(rows),
        tuple(limit_sentences(rules, population, churn, same)),
        tuple(note for note in notes if note),
    )


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


def _check_decision(decision: Decision) -> None:
    """Raise ConfigError where the gate could not judge any candidate by this policy on this table."""
    errors = [check.sentence for check in decision.checks if check.verdict is Verdict.ERROR]
    if decision.verdict is Verdict.ERROR:
        raise ConfigError(errors[0] if errors else decision.sentence)


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
    for kind, sequence in zip(kinds, np.random.SeedSequence(seed).spawn(len(kinds)), strict=True):
        generator, chances = np.random.default_rng(sequence), population.chances(kind.nfr, kind.accuracy_change)
        counts: Counter[Verdict] = Counter(dict.fromkeys(VERDICTS, 0))
        stopped: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        for _ in range(candidates):
            decision = decide(rules.policy, population.draw(chances, generator), floor=rules.floor)
            counts[decision.verdict] += 1
            stopped.update({rules.check_title(check) for check in not_passed(decision.checks)})
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
    return f"{number:,} tries were an ERROR, because the drawn test set could not be judged. For example: {error}"
