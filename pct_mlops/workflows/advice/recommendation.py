"""Chooses an update for a change from the decision table. All of it is pure."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pct_mlops.errors import ConfigError
from pct_mlops.workflows.advice.evidence_table import CHANGES, UNTREATED, UpdateEvidence

# Words about other sections, for example optim.epochs, are numbers of the recipe that was measured and of no other.
_TRANSFERABLE = ("objective.", "teacher.", "model.init")
# Keys that are numbers of one loss, which no other loss knows.
LOSS_NUMBERS = ("objective.distance", "objective.focus", "objective.weight", "objective.mix")


@dataclass(frozen=True)
class MethodSummary:
    """One update for one change over all data sets that it was measured on.

    Attributes:
        method: Its name.
        rows: Its evidence by data set.
    """

    method: str
    rows: Mapping[str, UpdateEvidence]

    @property
    def keeps_accuracy(self) -> bool:
        """True where accuracy is kept on each data set."""
        return all(row.keeps_accuracy for row in self.rows.values())

    @property
    def nfr_ratio(self) -> float | None:
        """Geometric mean of the ratios of NFR over data sets, None where one was not measured."""
        if self.method == UNTREATED:
            return 1.0
        ratios = [row.nfr_ratio for row in self.rows.values()]
        known = [ratio for ratio in ratios if ratio is not None]
        if not known or len(known) < len(ratios):
            return None
        return 0.0 if min(known) <= 0 else math.exp(sum(map(math.log, known)) / len(known))

    @property
    def cost(self) -> float | None:
        """Training time by that of the untreated update: the highest over data sets, None where it is unknown."""
        costs = [row.cost for row in self.rows.values()]
        known = [cost for cost in costs if cost is not None]
        return max(known) if known and len(known) == len(costs) else None

    @property
    def words(self) -> tuple[str, ...]:
        """Words for --set that train it on any recipe. Empty where it is no training, or where they are of a recipe."""
        found = {row.words for row in self.rows.values()}
        words = found.pop() if len(found) == 1 else ()
        return words if all(word.startswith(_TRANSFERABLE) for word in words) else ()


@dataclass(frozen=True)
class Recommendation:
    """The update to train for a change, and what it costs.

    Attributes:
        change: The kind of change.
        method: The update.
        words: What --set takes to train it.
        evidence: Its measurements, one a data set.
        nfr_ratio: Its NFR by that of the untreated update, over all data sets.
        cost: Its training time by that of the untreated update, None where it is unknown.
        reference: What flips less still and is not one training, for example two models deployed. None for nothing.
    """

    change: str
    method: str
    words: tuple[str, ...]
    evidence: tuple[UpdateEvidence, ...]
    nfr_ratio: float
    cost: float | None
    reference: MethodSummary | None = None

    @property
    def price(self) -> str:
        """Sentence on what the update costs in training time and accuracy, and what it saves in flips."""
        time = "training time unknown" if self.cost is None else f"{self.cost:.2g} x the training time"
        changes = [f"{100 * (row.accuracy_change or 0):+.2f} points on {row.data_set}" for row in self.evidence]
        ratios = [f"{row.nfr_ratio or 0:.2f} x on {row.data_set}" for row in self.evidence]
        return f"{time}; accuracy {', '.join(changes)}; NFR {', '.join(ratios)} (against an untreated update)."

    @property
    def besides(self) -> str:
        """Sentence on what flips less still and is no training of one model. Empty for nothing."""
        found = self.reference
        return f"{found.method}: NFR {found.nfr_ratio or 0:.2f} x." if found is not None else ""

    @property
    def doubt(self) -> str:
        """Sentence on data sets where its flips are not shown to be fewer. Empty where all show it."""
        weak = [row.data_set for row in self.evidence if row.nfr_ratio_high is None or row.nfr_ratio_high >= 1]
        return f"On {' and '.join(weak)} the interval does not show that it flips less." if weak else ""


def methods_of(change: str, evidence: Iterable[UpdateEvidence]) -> list[MethodSummary]:
    """Return the updates that were measured for a change: the untreated one, then the others, the best first.

    The best keep accuracy on each data set, and among these have the lowest NFR.
    """
    found: dict[str, dict[str, UpdateEvidence]] = {}
    for row in evidence:
        if row.change == change:
            found.setdefault(row.method, {})[row.data_set] = row
    return sorted((MethodSummary(method, rows) for method, rows in found.items()), key=_place)


def _place(summary: MethodSummary) -> tuple[bool, bool, float, float]:
    ratio, cost = summary.nfr_ratio, summary.cost
    return (
        summary.method != UNTREATED,
        not summary.keeps_accuracy,
        math.inf if ratio is None else ratio,
        math.inf if cost is None else cost,
    )


def recommend_update(change: str, evidence: Sequence[UpdateEvidence]) -> Recommendation | None:
    """Recommend the update with the lowest NFR among those that keep accuracy.

    It must have been measured on each data set that has an untreated update for this change, and must keep accuracy on
    each of them. Its words must fit any recipe, so that a longer training is never recommended.

    Args:
        change: The kind of change: "data growth", "architecture growth", "class growth" or "label cleaning".
        evidence: Rows of a decision table, as `read_evidence` returns them.

    Returns:
        The recommendation. None where nothing that was measured keeps accuracy and flips less.

    Raises:
        PctError: There is no such kind of change.

    Example:
        >>> from pct_mlops import UpdateEvidence, recommend_update
        >>> rows = [
        ...     UpdateEvidence("data growth", "shoes", "untreated", ("objective.loss=none",), 5),
        ...     UpdateEvidence(
        ...         "data growth", "shoes", "update", ("objective.loss=update",), 5, accuracy_change=0.0, nfr_ratio=0.5
        ...     ),
        ... ]
        >>> recommend_update("data growth", rows).method
        'update'
    """
    if change not in CHANGES:
        raise ConfigError(f"'{change}' is no kind of change: give one of {', '.join(CHANGES)}.")
    summaries = methods_of(change, evidence)
    data_sets = {name for summary in summaries if summary.method == UNTREATED for name in summary.rows}
    usable = [summary for summary in summaries if _is_shown(summary, data_sets)]
    best = next((summary for summary in usable if summary.words and summary.method != UNTREATED), None)
    if best is None or best.nfr_ratio is None:
        return None
    lower = [summary for summary in usable[: usable.index(best)] if _is_no_training(summary)]
    rows = tuple(best.rows.values())
    reference = lower[0] if lower else None
    return Recommendation(change, best.method, best.words, rows, best.nfr_ratio, best.cost, reference)


def _is_shown(summary: MethodSummary, data_sets: set[str]) -> bool:
    """Tell whether an update keeps accuracy and flips less over all these data sets."""
    ratio = summary.nfr_ratio
    complete = bool(data_sets) and data_sets == set(summary.rows)
    return complete and summary.keeps_accuracy and ratio is not None and ratio < 1


def _is_no_training(summary: MethodSummary) -> bool:
    return not any(row.words for row in summary.rows.values())


def command_line(
    file: str, words: Sequence[str], *, own: Sequence[str] = (), cleared: Sequence[str] = (), model_name: str = ""
) -> str:
    """Return the line that trains a recipe with these words.

    Args:
        file: The recipe file.
        words: What the update sets.
        own: What the user sets besides. It stands first, so that the update wins where it sets the same.
        cleared: Keys of the recipe that belong to another loss or start. They are set to null unless the update sets
            them.
        model_name: The registered model, where the recipe names another one.
    """
    keys = {_key(word) for word in words}
    kept = [word for word in own if not _below(_key(word), (*keys, *cleared, *LOSS_NUMBERS))]
    # A later word replaces an earlier one, also where it sets a part of it: own words may set a whole section.
    every = [*kept, *words, *(f"{key}=null" for key in cleared if key not in keys)]
    parts = ["pct", "train", shlex.quote(file), *(part for word in every for part in ("--set", shlex.quote(word)))]
    return " ".join([*parts, *(["--model-name", shlex.quote(model_name)] if model_name else [])])


def _below(key: str, others: Iterable[str]) -> bool:
    """Tell whether a key is one of the others or lies below one, as a.b does below a."""
    return any(key == other or key.startswith(f"{other}.") for other in others)


def _key(word: str) -> str:
    return word.partition("=")[0].strip()
