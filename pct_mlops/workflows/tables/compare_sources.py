"""Compares and averages the predictions behind references or files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from pct_mlops.comparison import compare
from pct_mlops.workflows.runtime.references import open_sources

if TYPE_CHECKING:
    from pct_mlops.comparison import Comparison
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
