"""Estimates which examples of a model are at risk of a negative flip, before any candidate exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pct_mlops.errors import ConfigError
from pct_mlops.predictions.flip_risk import MARGIN, MEMBERS, FlipRisk, RankingQuality
from pct_mlops.predictions.member_counts import count_correct
from pct_mlops.workflows.runtime.references import is_file, open_sources
from pct_mlops.workflows.runtime.retrainings import Retrainings, find_retrainings

if TYPE_CHECKING:
    from pct_mlops.predictions import Predictions, ReadOptions


@dataclass(frozen=True)
class MeasuredRisk:
    """The risk of every example of a model, and what it was estimated from.

    Attributes:
        risk: The risks.
        notes: Sentences on what was used, and on what is missing.
        rankings: How well the risks rank the flips of `against`.
        against: The model of these flips, "" without one.
    """

    risk: FlipRisk
    notes: tuple[str, ...]
    rankings: tuple[RankingQuality, ...] = ()
    against: str = ""


def measure_risk(
    model: str,
    *,
    members: Sequence[str] = (),
    by: str | None = None,
    against: str | None = None,
    split: str = "test",
    tracking_uri: str | None = None,
    reading: ReadOptions | None = None,
) -> MeasuredRisk:
    """Estimate the risk of every example of a version or a file of predictions.

    Args:
        model: Version or file.
        members: Versions or files of retrainings of its recipe. Without them, those of the stored floor are taken.
        by: "members", "margin", or None for members where there are any.
        against: A candidate, to tell how well the risks rank its negative flips.
        split: "test" or "val", of versions.
        tracking_uri: The registry.
        reading: How to read files of other programs.

    Raises:
        PctError: A table cannot be read or is about other examples, or what `by` needs is not there.
    """
    if members and by == MARGIN:
        raise ConfigError("--by margin looks at no retraining: leave --members out.")
    references = [model, *members, *([against] if against else [])]
    sources = open_sources(references, split=split, tracking_uri=tracking_uri, reading=reading)
    tables = [source.predictions for source in sources]
    old = tables[0]
    stored = Retrainings() if members or by == MARGIN or is_file(model) else _stored(old, tracking_uri)
    notes = [note for note in (stored.problem, stored.of_other_recipe) if note]
    counts = count_correct(old, tables[1 : len(members) + 1]) if members else stored.counts
    if counts is None and by == MEMBERS:
        raise ConfigError(
            f"There are no retrainings of {old.info.title} on these examples: measure them with 'pct floor', or give "
            "their predictions with --members."
        )
    risk = FlipRisk(old, counts)
    return MeasuredRisk(
        risk,
        (_source(risk), *notes),
        tuple(risk.rankings(tables[-1])) if against else (),
        tables[-1].info.title if against else "",
    )


def _stored(old: Predictions, tracking_uri: str | None) -> Retrainings:
    from pct_mlops.registry import Registry

    info = old.info
    return find_retrainings(Registry(tracking_uri), info.model_name, int(info.model_version), info.digest)


def _source(risk: FlipRisk) -> str:
    if risk.by == MEMBERS:
        order = f"; equal shares by the {risk.own_score}, the lowest first" if risk.own_score else ""
        return f"Risk: the share of {risk.num_members} retrainings that are wrong where the model is right{order}."
    what = "margin (top-1 minus top-2 probability)" if risk.own_score == MARGIN else "confidence"
    return (
        f"Risk: 1 minus the {what} of the model itself. It orders the examples and is no probability. "
        "'pct floor' or --members gives one."
    )
