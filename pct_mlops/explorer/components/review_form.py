"""Draws the parts of a page that write reviews: the name, a note and buttons. An error is one sentence beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pct_mlops.charts import count
from pct_mlops.errors import PctError
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import pairs
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.state import reviewer, selection
from pct_mlops.gate.reviews import Mark, Review, ReviewKind

if TYPE_CHECKING:
    from pct_mlops.config import Policy

SAID = "review_said"  # the error of the last click, shown once
UNSIGNED = "Marks are off until you fill in your name. They are signed, so that others can ask about them."
ICONS = {
    Mark.LABEL_ERROR: ":material/label_off:",
    Mark.ACCEPTED_LOSS: ":material/handshake:",
    Mark.BLOCKER: ":material/block:",
}
MEANINGS = {
    Mark.LABEL_ERROR: "The label is wrong, not the new model.",
    Mark.ACCEPTED_LOSS: "A real loss that is acceptable.",
    Mark.BLOCKER: "This flip must not go into production.",
}


def mark_effect(mark: Mark, policy: Policy | None) -> str:
    """Return what a mark does to the verdict under this policy, None where none was given."""
    if mark is Mark.BLOCKER:
        return "The gate fails the version while this mark stands."
    if policy is None:
        return "No policy was given, and the policy of the gate decides whether such a flip still counts."
    if mark.value in policy.reviews.count_apart:
        return "Under this policy such a flip is left out of the flip rates."
    return "Under this policy such a flip counts against the version as before."


def mark_hint(mark: Mark) -> str:
    """Return what a mark means, and what it does under the policy that the explorer was started with."""
    return f"{MEANINGS[mark]} {effect_here(mark)}"


def effect_here(mark: Mark) -> str:
    """Return what a mark does to the verdict under the policy that the explorer was started with."""
    return mark_effect(mark, _policy())


def _policy() -> Policy | None:
    path = selection.policy_file()
    try:
        return pairs.read_policy(pairs.file_table(path)) if path else None
    except PctError:  # the pages with a verdict show it
        return None


def signature() -> str:
    """Draw who signs and return the name: that of the login, else that of a field, "" while it is empty."""
    name = reviewer.logged_in()
    if name:
        st.caption(f"Signed as **{plain(name)}**")
        return name
    # Kept apart from the widget: Streamlit drops its value when the reader leaves the page.
    typed = st.text_input(
        "Your name",
        value=st.session_state.get(reviewer.NAME, ""),
        key="reviewer_field",
        max_chars=reviewer.MAX_NAME,
        placeholder="required to review",
    )
    st.session_state[reviewer.NAME] = typed.strip()
    return typed.strip()


def refuse(sentence: str) -> None:
    """Have `said` show this sentence on the page that is drawn next."""
    st.session_state[SAID] = sentence


def note(key: str, label: str = "Why", placeholder: str = "a few words, required") -> str:
    """Draw a field for a reason in one line, and return its text."""
    return st.text_input(label, key=key, max_chars=reviewer.MAX_REASON, placeholder=placeholder).strip()


def draw_record(pair: Pair, review: Review, sentence: str, *, can_undo: bool, room: float) -> None:
    """Draw a record, and beside it a button that undoes it with a further record.

    Args:
        pair: Pair on screen.
        review: The record.
        sentence: The record as Markdown.
        can_undo: Whether the button is drawn.
        room: Share of the width that the button takes, from 0 to 1. It must be enough for its words.
    """
    left, right = st.columns([1 - room, room], vertical_alignment="center")
    left.markdown(sentence)
    if can_undo:
        right.button(
            "Undo" if len(review.samples) < 2 else f"Undo all {count(len(review.samples))}",
            key=f"undo_{review.id}",
            icon=":material/undo:",
            help="Adds a record that takes this one back. Both stay readable.",
            on_click=_undo,
            args=(pair, review),
        )


def _undo(pair: Pair, review: Review) -> None:
    take_back(pair, review)


def take_back(pair: Pair, review: Review) -> bool:
    """Write a record that takes this one back, and tell whether that went well."""
    return attempt(pair, ReviewKind.UNDO, f"takes back '{review.reason}'", undoes=review.id)


def attempt(pair: Pair, kind: ReviewKind, reason: str, **what: Any) -> bool:
    """Write a record and tell whether that went well. On the page that is drawn next, `said` shows the error."""
    if "reviewer_field" in st.session_state:
        st.session_state[reviewer.NAME] = str(st.session_state["reviewer_field"]).strip()
    missing = [what for what, value in (("your name", reviewer.reviewer()), ("a note", reason)) if not value]
    if missing:
        refuse(f"Nothing was written: fill in {' and '.join(missing)}.")
        return False
    try:
        reviewer.write_review(pair, reviewer.signed_review(pair, kind, reason, **what))
    except PctError as error:
        refuse(str(error))
        return False
    st.session_state.pop(SAID, None)
    return True


def said() -> None:
    """Show the error of the last click, once."""
    if sentence := st.session_state.pop(SAID, None):
        st.error(plain(sentence), icon=":material/error:")


def when(review: Review) -> str:
    """Return the time of a record as people read it: date, minutes and UTC."""
    return f"{review.when[:16].replace('T', ' ')} UTC"
