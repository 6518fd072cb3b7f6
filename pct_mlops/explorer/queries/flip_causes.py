"""Reads what the retrainings of the old version say of the flips on screen, cached: noise or systematic."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from pct_mlops.comparison import CauseSearch
from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.queries.pairs import BY_KEY, REFRESH, Pair, VersionTable
from pct_mlops.workflows.runtime.retrainings import Retrainings, find_retrainings, noise_among_flips


class CauseWords(NamedTuple):
    """Sentences of the page on noise among the flips, and what to do where nothing is known, or ""."""

    sentences: tuple[str, ...]
    hint: str


# As a resource, because a floor of a remote registry is downloaded once. It may be measured at any time.
@st.cache_resource(ttl=REFRESH, show_spinner=False)
def retrainings_of(old: pairs.Table) -> Retrainings:
    """Return what is stored of the retrainings of the old version, nothing for a file."""
    if not isinstance(old, VersionTable):
        return Retrainings()
    digest = pairs.predictions(old).info.digest
    return find_retrainings(pairs.registry(old.tracking_uri), old.name, old.version, digest)


@st.cache_data(ttl=REFRESH, show_spinner=False, hash_funcs=BY_KEY)
def cause_words(pair: Pair) -> CauseWords:
    """Return how many negative flips are noise, or which command tells it."""
    stored = retrainings_of(pair.old)
    _, lines = noise_among_flips(pairs.comparison(pair), stored)
    if lines or not isinstance(pair.old, VersionTable):
        return CauseWords(tuple(lines), "")
    reference = f"{pair.old.name}/{pair.old.version}"
    return CauseWords((), f"'pct floor {reference}' tells which negative flips are noise: retraining makes them too.")


def cause_search(pair: Pair, cause: str = "") -> CauseSearch | None:
    """Return a search by cause, or None where no retrainings are known. Without a cause, every example is found."""
    counts = retrainings_of(pair.old).counts
    if counts is None or pairs.comparison(pair).aliases:
        return None  # the retrainings are counted without aliases
    return CauseSearch(cause, counts)
