"""Who reviews, whether a review can be written here, and one more record. Records are only added, never changed."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

import streamlit as st

from pct_mlops.errors import ConfigError
from pct_mlops.explorer.queries import pairs, reviews
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.state import selection
from pct_mlops.gate.reviews import Review, ReviewKind

MAX_NAME, MAX_REASON = 80, 1000
NAME = "reviewer_name"
# A proxy in front of the explorer may name who is logged in; which header to believe must be said, since anyone can
# send one to a page that has no proxy.
USER_HEADER = "PCT_USER_HEADER"


def why_closed(pair: Pair) -> str | None:
    """Why nobody can write a review here, None where they can."""
    if not pairs.has_versions(pair):
        return "Reviews are kept with a registered version, and these are files: register the model to review it."
    if selection.is_read_only():
        return "The explorer was started with --read-only: reviews are shown, and nobody can write one here."
    return None


def logged_in() -> str | None:
    """The reader's name where somebody else vouches for it: the login, a proxy's header, or the tracking server's."""
    if getattr(st.user, "is_logged_in", False):
        return str(st.user.get("email") or st.user.get("name") or "") or None
    header = os.environ.get(USER_HEADER)
    if header:
        return (st.context.headers.get(header) or "").strip()[:MAX_NAME] or None
    return os.environ.get("MLFLOW_TRACKING_USERNAME") or None


def reviewer() -> str:
    """Who signs; "" while nobody has said."""
    return logged_in() or str(st.session_state.get(NAME, "")).strip()[:MAX_NAME]


def write_review(pair: Pair, review: Review) -> None:
    """Add a record under the reader's name; PctError when it cannot be kept."""
    from pct_mlops.registry import add_review

    if problem := why_closed(pair):
        raise ConfigError(problem)
    assert isinstance(pair.new, VersionTable)
    source = pairs.registry(pair.new.tracking_uri)
    try:
        add_review(source, source.get(pair.new.name, pair.new.version), review)
    finally:
        reviews.forget_records()


def signed_review(pair: Pair, kind: ReviewKind, reason: str, **what: Any) -> Review:
    """A record of now about the pair on screen, signed by its reader; `what` are further fields of Review."""
    assert isinstance(pair.old, VersionTable)
    return Review(
        kind=kind,
        by=reviewer(),
        reason=reason.strip()[:MAX_REASON],
        when=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        baseline=pair.old.version,
        **what,
    )
