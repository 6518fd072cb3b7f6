"""Finds what a stored floor knows of single examples: how many retrainings of a version's recipe are right on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pct_mlops.comparison import FlipNoise, flip_noise
from pct_mlops.errors import PctError
from pct_mlops.predictions.member_counts import MemberCounts

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison
    from pct_mlops.registry import Floor, Registry


@dataclass(frozen=True)
class Retrainings:
    """Facts that the registry holds on the retrainings of a version's recipe.

    Attributes:
        floor: What they flip between each other, None where it was not measured for this version and these examples.
        counts: How many of them are right on each example, None where they were not kept.
        problem: Sentence on what is missing although there is a floor, or "".
    """

    floor: Floor | None = None
    counts: MemberCounts | None = None
    problem: str = ""

    @property
    def of_other_recipe(self) -> str:
        """Sentence that stands beside what the counts say, "" where the version's own recipe was retrained."""
        if self.floor is None or self.floor.same_recipe:
            return ""
        return f"The retrainings have another recipe than version {self.floor.version}."


def find_retrainings(registry: Registry, name: str, version: int, digest: str) -> Retrainings:
    """Return what is stored of the retrainings of a version on the evaluation set with this digest.

    It is only a remark beside other results, so nothing that is missing or damaged is an error.
    """
    from pct_mlops.registry import floor_members, read_floor

    floor = read_floor(registry, name, digest)
    if floor is None or floor.version != version:
        return Retrainings()
    again = f"The floor of {name}/{version} has no counts for each example: run 'pct floor' again."
    path = floor_members(registry, floor)
    if path is None:
        return Retrainings(floor, problem=again)
    try:
        counts = MemberCounts.load(path)
    except PctError:
        return Retrainings(floor, problem=again)
    return Retrainings(floor, counts) if counts.digest == digest else Retrainings(floor, problem=again)


def noise_among_flips(comparison: Comparison, stored: Retrainings) -> tuple[FlipNoise | None, list[str]]:
    """Split the negative flips of a comparison by the retrainings of its old model.

    Returns:
        The split, None where it cannot be made, and the sentences that stand beside the comparison. There are none
        without a floor.
    """
    if stored.counts is None:
        return None, [stored.problem] if stored.problem else []
    try:
        noise = flip_noise(comparison, stored.counts)
    except PctError as error:
        return None, [f"Which flips are noise is not told here: {error}"]
    return noise, [noise.sentence, *([stored.of_other_recipe] if stored.of_other_recipe else [])]
