"""Compares and averages the predictions behind references or files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from pct_mlops.comparison import compare
from pct_mlops.workflows.runtime.references import is_file, open_sources
from pct_mlops.workflows.runtime.retrainings import find_retrainings, noise_among_flips

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison, FlipNoise
    from pct_mlops.predictions import Predictions, ReadOptions


def compare_sources(
    old: str,
    new: str,
    *,
    split: str = "test",
    tracking_uri: str | None = None,
    reading: ReadOptions | None = None,
) -> Comparison:
    """Compare the predictions of two references or files. `reading` is about files that another program wrote."""
    sources = open_sources((old, new), split=split, tracking_uri=tracking_uri, reading=reading)
    return compare(sources[0].predictions, sources[1].predictions)


def noise_beside(
    old: str, comparison: Comparison, tracking_uri: str | None = None
) -> tuple[FlipNoise | None, list[str]]:
    """Return how many negative flips the retrainings of the version `old` make too, and the sentences on it.

    There is nothing to say where `old` is a file, or where no floor was measured for that version.
    """
    # A file may have been written by a version of a registry that is not here.
    if is_file(old):
        return None, []
    from pct_mlops.registry import Registry

    # The version that was compared, although an alias may have moved since.
    info = comparison.old
    stored = find_retrainings(Registry(tracking_uri), info.model_name, int(info.model_version), info.digest)
    return noise_among_flips(comparison, stored)


def mean_of(
    references: Sequence[str],
    *,
    split: str = "test",
    tracking_uri: str | None = None,
    reading: ReadOptions | None = None,
) -> Predictions:
    """Average the logits of all references or files, each with the same weight."""
    sources = open_sources(references, split=split, tracking_uri=tracking_uri, reading=reading)
    return reduce(lambda left, right: left + right, [source.predictions for source in sources])
