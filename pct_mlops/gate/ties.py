"""Compares the weights that made a prediction table with those of the model that it is said to come from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pct_mlops.errors import TableError

if TYPE_CHECKING:
    from pct_mlops.predictions import TableInfo


class Tie(str, Enum):
    """Tie of a table to its model version: whether the version's weights made it, as far as both say."""

    RECOMPUTED = "recomputed"  # by this very run of the gate
    TIED = "tied"
    NOT_TIED = "not tied"  # one of the two does not say by which weights
    OTHER_WEIGHTS = "other weights"

    def __str__(self) -> str:
        return self.value


# What is said where the ties of both tables are the same.
BOTH = {
    Tie.RECOMPUTED: "both tables were computed by this run of the gate",
    Tie.TIED: "both tables are tied to their models' weights",
    Tie.NOT_TIED: "neither table is tied to its model's weights",
    Tie.OTHER_WEIGHTS: "both tables were made by other weights than their models'",
}


@dataclass(frozen=True)
class Ties:
    """Ties of both tables of a comparison. `baseline` is None where there is none."""

    candidate: Tie
    baseline: Tie | None = None

    def both(self) -> dict[str, Tie]:
        """Return the ties by role."""
        return {"candidate": self.candidate} | ({} if self.baseline is None else {"baseline": self.baseline})


def tie_of(made_by: str, version: str) -> Tie:
    """Compare the weights that made a table with those of its version, both as sha256, empty where unknown."""
    if not made_by or not version:
        return Tie.NOT_TIED
    return Tie.TIED if made_by == version else Tie.OTHER_WEIGHTS


def ties_refusal(
    ties: Ties | None, wanted: str, candidate: TableInfo | None, baseline: TableInfo | None
) -> TableError | str | None:
    """Return why tables are no evidence for their models, None when they are as far as the policy asks.

    A table that was made by other weights than its version's is always refused.

    Args:
        ties: Of both tables. None for tables that belong to no registered version.
        wanted: The tie that the policy demands: "tied", "recomputed", or "" for none (`Policy.wanted_tie`).
        candidate: About the candidate's table, for its title.
        baseline: About the baseline's table, for its title.
    """
    titles = {"candidate": candidate.title if candidate else "the candidate"}
    titles["baseline"] = baseline.title if baseline else "the baseline"
    for role, tie in ties.both().items() if ties else ():
        if tie is Tie.OTHER_WEIGHTS:
            return TableError(
                f"The table of {titles[role]} was made by other weights than the version has: score it again with 'pct "
                f"score {titles[role]}', or attach the table that belongs to it."
            )
    if not wanted:
        return None
    if ties is None:
        return f"The policy demands evidence that is {wanted}, and files belong to no model: judge registered versions."
    enough = (Tie.RECOMPUTED,) if wanted == "recomputed" else (Tie.RECOMPUTED, Tie.TIED)
    lacking = next((role for role, tie in ties.both().items() if tie not in enough), None)
    if lacking is None:
        return None
    if wanted == "recomputed":
        return "The policy demands that the gate scores both models itself: add --recompute."
    return (
        f"The policy demands evidence that is tied to the model's weights, and nothing shows that {titles[lacking]} "
        f"made its table: make it with 'pct score {titles[lacking]}'."
    )


def ties_notes(ties: Ties | None) -> tuple[str, ...]:
    """Return a sentence on the ties of both tables, nothing for tables that belong to no version."""
    if ties is None:
        return ()
    words = {
        Tie.RECOMPUTED: "was computed by this run of the gate",
        Tie.TIED: "is tied to its model's weights",
        Tie.NOT_TIED: "is not tied to its model's weights",
        Tie.OTHER_WEIGHTS: "was made by other weights than its model's",
    }
    parts = [f"the {role}'s table {words[tie]}" for role, tie in ties.both().items()]
    if len(set(ties.both().values())) == 1 and len(parts) == 2:
        parts = [BOTH[ties.candidate]]
    return (f"Evidence: {' and '.join(parts)}.",)
