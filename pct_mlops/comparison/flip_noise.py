"""Tells negative flips that retraining alone makes too (noise) from those that it does not make (systematic).

K members are retrainings of the old model's recipe with other seeds. Of the examples that the old model gets right, let
w(x) be the number of members that are wrong on x. A negative flip of a candidate on x is

    noise        when w(x) >= 1
    systematic   when w(x) = 0

Pure noise leaves systematic flips too, because K members do not find every example that retraining may flip. So each
member in turn takes the place of the candidate, with the other K - 1 as members. Its flip on x is then systematic when
it alone is wrong, w(x) = 1. Over all K turns:

    reference share = sum over x of [w(x) = 1] / sum over x of w(x)

Fewer members find less noise, so K - 1 of them call more flips systematic than K do. To compare like with like, the
candidate's flips are also judged by K - 1 members, averaged over the choices of the member that is left out:

    share by K - 1 = sum over flips x of ([w(x) = 0] + [w(x) = 1] / K) / number of flips
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pct_mlops.config.numbers import number_of, percent
from pct_mlops.errors import ConfigError, NotComparableError

if TYPE_CHECKING:
    from pct_mlops.comparison.comparison import Comparison
    from pct_mlops.predictions.member_counts import MemberCounts

_WRONG = """
SELECT $num_members - num_correct,
       count(*) FILTER (WHERE old_right), count(*) FILTER (WHERE old_right AND NOT new_right)
FROM pairs JOIN {counts} USING (sample_id) GROUP BY 1
"""


@dataclass(frozen=True)
class FlipNoise:
    """Negative flips of a candidate, split into noise and systematic ones by retrainings of the old recipe.

    Attributes:
        num_members: number of retrainings, K.
        num_flips: number of negative flips.
        num_noise: number of these on examples that at least one retraining gets wrong too.
        num_systematic: number of the others.
        share_one_less: share that K - 1 retrainings call systematic; None without flips.
        reference_flips: number of flips from the old model to its retrainings, over all of them.
        reference_systematic: number of these that the K - 1 other retrainings call systematic.
    """

    num_members: int
    num_flips: int
    num_noise: int
    num_systematic: int
    share_one_less: float | None
    reference_flips: int
    reference_systematic: int

    @classmethod
    def of(cls, right: Mapping[int, int], flips: Mapping[int, int], num_members: int) -> FlipNoise:
        """Split flips by the number of members that are wrong.

        Args:
            right: w -> number of examples that the old model gets right, and on which w members are wrong.
            flips: w -> number of negative flips among them.
            num_members: Number of members, at least 2.

        Raises:
            PctError: There are fewer than 2 members.

        Example:
            >>> found = FlipNoise.of({0: 900, 1: 30, 2: 10}, {0: 4, 1: 3, 2: 3}, num_members=2)
            >>> found.num_noise, found.num_systematic, found.share, found.share_one_less, found.reference_share
            (6, 4, 0.4, 0.55, 0.6)
        """
        if num_members < 2:
            raise ConfigError("Noise is told from systematic flips by 2 retrainings or more: run 'pct floor'.")
        total, systematic = sum(flips.values()), flips.get(0, 0)
        by_fewer = systematic + flips.get(1, 0) / num_members
        return cls(
            num_members=num_members,
            num_flips=total,
            num_noise=total - systematic,
            num_systematic=systematic,
            share_one_less=by_fewer / total if total else None,
            reference_flips=sum(wrong * number for wrong, number in right.items()),
            reference_systematic=right.get(1, 0),
        )

    @property
    def share(self) -> float | None:
        """Share of the flips that are systematic, None without flips."""
        return self.num_systematic / self.num_flips if self.num_flips else None

    @property
    def reference_share(self) -> float | None:
        """Share that pure noise leaves, judged by one retraining less. None where no retraining flips anything."""
        return self.reference_systematic / self.reference_flips if self.reference_flips else None

    @property
    def sentence(self) -> str:
        """Sentence that stands beside the counts of a comparison."""
        if self.share is None:
            return "There is no negative flip to tell noise from."
        fewer = f"{self.num_members - 1} retraining{'s' if self.num_members > 2 else ''}"
        own = (
            f"of the flips of retraining itself {percent(self.reference_share, 0)}"
            if self.reference_flips
            else "retraining itself flips nothing"
        )
        return (
            f"Of {number_of(self.num_flips, 'negative flip')} {self.num_noise:,} are noise (at least one of "
            f"{self.num_members} retrainings is wrong there too) and {self.num_systematic:,} systematic "
            f"({percent(self.share, 0)}). "
            f"Judged by {fewer}, {percent(self.share_one_less, 0)} are systematic; {own}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the numbers and the sentence for a report."""
        return {
            **asdict(self),
            "share": self.share,
            "reference_share": self.reference_share,
            "sentence": self.sentence,
        }


def flip_noise(comparison: Comparison, counts: MemberCounts) -> FlipNoise:
    """Split the negative flips of a comparison by how many retrainings of the old recipe are right.

    Args:
        comparison: Of the old model and a candidate. Flips that reviewers set apart count here.
        counts: Of retrainings of the old model's recipe, on the same examples.

    Raises:
        PctError: The counts are about other examples, or the comparison has aliases, which the counts do not know.
    """
    if comparison.aliases:
        raise NotComparableError("Retrainings are counted without aliases: compare without them.")
    values = {"num_members": counts.num_members, "counts_path": str(counts.path)}
    rows = comparison._pairs.query(_WRONG.format(counts=counts.relation()), values)
    if sum(right for _, right, _ in rows) != comparison.counts.both_right + comparison.counts.negative_flips:
        raise NotComparableError("The retrainings were scored on other examples: run 'pct floor' again.")
    right = {wrong: number for wrong, number, _ in rows}
    return FlipNoise.of(right, {wrong: number for wrong, _, number in rows if number}, counts.num_members)
