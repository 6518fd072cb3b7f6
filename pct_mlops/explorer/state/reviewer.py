"""Finds out who reviews and whether a review can be written here, and writes one. Records are never changed."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

import streamlit as st

from pct_mlops.errors import ConfigError, PctError
from pct_mlops.explorer.queries import baselines, pairs, reviews
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.state import selection
from pct_mlops.gate.reviews import Review, ReviewKind

MAX_NAME, MAX_REASON = 80, 1000
NAME = "reviewer_name"
# A proxy in front of the explorer may name who is logged in. The header must be configured, because without a proxy
# anyone can send one.
USER_HEADER = "PCT_USER_HEADER"


def why_closed(pair: Pair) -> str | None:
    """Return the reason why nobody can write a review here, or None where reviews can be written."""
    if not pairs.has_versions(pair):
        return "Reviews are kept with a registered version, and these are files: register the model to review it."
    if selection.is_read_only():
        return "The explorer was started with --read-only: reviews are shown, and nobody can write one here."
    return None


def why_no_marks(pair: Pair) -> str | None:
    """Return the reason why nobody can mark examples here, or None where they can be marked.

    A stale pair is one: its flips are not those that the gate would count.
    """
    if problem := why_closed(pair):
        return problem
    try:
        found = baselines.standing(pair, baselines.alias_of(selection.policy_file()))
    except PctError as error:
        return f"Marks are off, because it is not known whether the old version is still the baseline: {error}"
    return f"Marks are off. {found.sentence}" if found is not None and found.is_stale else None


def logged_in() -> str | None:
    """Return the reader's name from the first source that is set up, or None if the reader must type it.

    The sources are Streamlit's login, the header of a proxy, and MLFLOW_TRACKING_USERNAME. Where a header is configured
    and a request lacks it, MLFLOW_TRACKING_USERNAME is not used.
    """
    if getattr(st.user, "is_logged_in", False):
        return str(st.user.get("email") or st.user.get("name") or "") or None
    header = os.environ.get(USER_HEADER)
    if header:
        return (st.context.headers.get(header) or "").strip()[:MAX_NAME] or None
    return os.environ.get("MLFLOW_TRACKING_USERNAME") or None


def reviewer() -> str:
    """Return the name that signs, "" while the reader has not typed one."""
    return logged_in() or str(st.session_state.get(NAME, "")).strip()[:MAX_NAME]


def write_review(pair: Pair, review: Review) -> None:
    """Add a record to the new version in the registry, or raise PctError when that is not possible."""
    from pct_mlops.registry import add_review

    if problem := why_closed(pair) or (_why_stale(pair) if review.kind is ReviewKind.ACCEPT else None):
        raise ConfigError(problem)
    assert isinstance(pair.new, VersionTable)
    source = pairs.registry(pair.new.tracking_uri)
    try:
        add_review(source, source.get(pair.new.name, pair.new.version), review)
    finally:
        reviews.forget_records()


def _why_stale(pair: Pair) -> str | None:
    """Return why the pair cannot be accepted, or None where its old version is the baseline at this moment."""
    found = baselines.fresh_standing(pair, baselines.alias_of(selection.policy_file()))
    if found is None or not found.is_stale:
        return None
    return f"The acceptance was not written: {found.sentence[0].lower()}{found.sentence[1:]}"


def signed_review(pair: Pair, kind: ReviewKind, reason: str, **what: Any) -> Review:
    """Build a record about the pair on screen, signed by the reader now. `what` are further fields of Review."""
    assert isinstance(pair.old, VersionTable)
    return Review(
        kind=kind,
        by=reviewer(),
        reason=reason.strip()[:MAX_REASON],
        when=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        baseline=pair.old.version,
        **what,
    )
