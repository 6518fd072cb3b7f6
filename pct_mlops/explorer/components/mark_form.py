"""Draws the buttons that mark one example, and the mark that stands."""

from __future__ import annotations

import streamlit as st

from pct_mlops.explorer.components import review_form
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import reviews
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.state import reviewer
from pct_mlops.gate.reviews import Mark, Review, ReviewKind


def mark_example(pair: Pair, sample_id: str) -> None:
    """Draw the buttons that mark the example, or why nobody can, and the mark that stands."""
    standing = reviews.state(pair).marks.get(sample_id)
    if problem := reviewer.why_closed(pair):
        st.caption(plain(problem))
        review_form.said()
    else:
        _draw_form(pair, sample_id, standing)
    # Below the buttons: they must not move under the pointer when another reviewer's mark arrives.
    if standing is not None and standing.mark is not None:
        _draw_mark(pair, standing)


def _draw_form(pair: Pair, sample_id: str, standing: Review | None) -> None:
    left, right = st.columns([1, 2])
    with left:
        name = review_form.signature()
    with right:
        reason = review_form.note("mark_note", "Note")
    with st.container(horizontal=True):
        for mark, label in reviews.MARKS.items():
            st.button(
                label.capitalize(),
                key=f"mark_{mark}",
                icon=review_form.ICONS[mark],
                help=review_form.mark_hint(mark),
                disabled=standing is not None and standing.mark is mark,
                on_click=_mark,
                args=(pair, sample_id, mark),
            )
    review_form.said()
    for mark, label in reviews.MARKS.items():
        st.caption(f"**{label.capitalize()}**: {plain(review_form.mark_hint(mark))}")
    if not (name and reason):
        st.caption("A mark needs your name and a note, so that others can ask you about it.")


def _draw_mark(pair: Pair, review: Review) -> None:
    assert review.mark is not None
    mark = reviews.MARKS[review.mark].capitalize()
    said = f"**{mark}** by {plain(review.by)}, {plain(review_form.when(review))}: {plain(review.reason)}"
    said += f"  \n:small[{plain(review_form.effect_here(review.mark))}]"
    review_form.draw_record(
        pair, review, f"{review_form.ICONS[review.mark]} {said}", can_undo=reviewer.why_closed(pair) is None, room=0.33
    )


def _mark(pair: Pair, sample_id: str, mark: Mark) -> None:
    reason = str(st.session_state.get("mark_note", "")).strip()
    if review_form.attempt(pair, ReviewKind.MARK, reason, mark=mark, samples=(sample_id,)):
        st.session_state["mark_note"] = ""
