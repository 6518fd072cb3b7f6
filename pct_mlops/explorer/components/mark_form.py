"""Draws the buttons and keys that mark one example after the other, and the mark that stands.

A mark leads to the next example of the gallery's list that has none, so that a list is reviewed with one key each.
"""

from __future__ import annotations

import hashlib

import streamlit as st

from pct_mlops.charts import count
from pct_mlops.errors import PctError
from pct_mlops.explorer.components import filter_bar, review_form
from pct_mlops.explorer.components.escaping import middle
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import flip_lists, pairs, reviews
from pct_mlops.explorer.queries.flip_pages import Asked
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.state import reviewer, selection
from pct_mlops.gate.reviews import Mark, Review, ReviewKind

NOTE = "mark_note"
KEYS = {mark: str(number) for number, mark in enumerate(reviews.MARKS, start=1)}
UNDO_KEY = "u"
_KEPT = "kept_mark_note"  # Streamlit drops the value of a field that is not drawn, as in the gallery
_SHORT_ID = 40  # characters


def mark_example(pair: Pair, sample_id: str, asked: Asked) -> None:
    """Draw the buttons that mark the example, or why nobody can, and the mark that stands.

    Args:
        pair: Pair on screen.
        sample_id: The example.
        asked: Selection of the gallery. A mark leads to its next example without one.
    """
    problem = reviewer.why_no_marks(pair)
    if not pairs.has_versions(pair):
        st.caption(plain(problem or ""))
        return
    hint = "Marks are kept with the new version. The gate reads them."
    st.subheader("Mark this example", anchor=False, help=hint)
    standing = reviews.state(pair).marks.get(sample_id)
    if problem:
        st.caption(plain(problem))
        review_form.said()
    else:
        _draw_form(pair, sample_id, asked, standing)
    # Below the buttons: they must not move under the pointer when another reviewer's mark arrives.
    if standing is not None and standing.mark is not None:
        _draw_mark(pair, standing)
    if problem is None:
        for mark, label in reviews.MARKS.items():
            st.caption(f"**{label.capitalize()}**: {plain(review_form.mark_hint(mark))}")


def button_key(action: str, sample_id: str) -> str:
    """Return Streamlit's key of a button on one example.

    Each example has its own, so that a key that is pressed twice cannot mark the next example before it is shown.
    """
    return f"{action}_{hashlib.sha256(sample_id.encode(errors='surrogatepass')).hexdigest()[:16]}"


def _draw_form(pair: Pair, sample_id: str, asked: Asked, standing: Review | None) -> None:
    _draw_progress(pair, asked)
    left, right = st.columns([1, 2])
    with left:
        name = review_form.signature()
    st.session_state.setdefault(NOTE, st.session_state.get(_KEPT, ""))
    with right:
        reason = review_form.note(NOTE, "Note")
    st.session_state[_KEPT] = reason
    with st.container(horizontal=True, vertical_alignment="center", key="sticky_note"):
        if not name:
            st.caption(review_form.UNSIGNED)
        elif reason:
            st.caption(
                "This note will be written with the next mark, too. It stays until you clear it.", width="content"
            )
        else:
            st.caption("A mark needs a note. It stays for the marks that follow, until you clear it.", width="content")
        if reason:
            st.button("Clear note", icon=":material/close:", type="tertiary", on_click=_clear_note)
    with st.container(horizontal=True, key="mark_buttons"):
        for mark, label in reviews.MARKS.items():
            st.button(
                label.capitalize(),
                key=button_key(f"mark_{mark}", sample_id),
                icon=review_form.ICONS[mark],
                shortcut=KEYS[mark],
                help=review_form.mark_hint(mark),
                disabled=not name or (standing is not None and standing.mark is mark),
                on_click=_mark,
                args=(pair, sample_id, asked, mark, standing.id if standing is not None else ""),
            )
    review_form.said()
    draw_undo(pair, asked)


def _draw_progress(pair: Pair, asked: Asked) -> None:
    """Draw how many examples of the list carry a mark."""
    ids = flip_lists.triage_ids(pair, asked)
    if not ids:
        return
    done = flip_lists.num_marked(ids, reviews.marked(pair))
    what = filter_bar.described(flip_lists.without_reviews(asked).filter)
    whole = "the first " if len(ids) == flip_lists.MAX_LISTED else ""
    said = f"**{count(done)} of {whole}{count(len(ids))}** {what} marked"
    if asked.filter.sample_ids is not None:
        said = f"**{count(done)}** marked {what}: the list of the marked ones"
    elif done == len(ids):
        said += ": the list is done"
    st.progress(done / len(ids), text=said)


def draw_undo(pair: Pair, asked: Asked) -> None:
    """Draw the reader's last mark with a button that takes it back, or nothing while the reader has none."""
    last = reviews.last_mark_of(pair, reviewer.reviewer())
    if last is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="last_mark"):
        num = len(last.samples)
        st.button(
            "Undo last" if num == 1 else f"Undo all {count(num)}",
            key=f"undo_last_{last.id}",
            icon=":material/undo:",
            # Without a key for many: one key must not take a long selection back by accident.
            shortcut=UNDO_KEY if num == 1 else None,
            help="Adds a record that takes your last mark back. Both stay readable.",
            on_click=_undo_last,
            args=(pair, asked, last),
        )
        st.caption(f"Your last mark: {plain(marked_as(last))}, {plain(review_form.when(last))}")


def marked_as(review: Review) -> str:
    """Return what a record marked, and how: "blocker on test/7", or "blocker on 35 examples"."""
    num = len(review.samples)
    return f"{reviews.title_of(review)} on {middle(review.samples[0], _SHORT_ID) if num == 1 else f'{num:,} examples'}"


def _draw_mark(pair: Pair, review: Review) -> None:
    assert review.mark is not None
    mark = reviews.MARKS[review.mark].capitalize()
    said = f"**{mark}** by {plain(review.by)}, {plain(review_form.when(review))}: {plain(review.reason)}"
    said += f"  \n:small[{plain(review_form.effect_here(review.mark))}]"
    review_form.draw_record(
        pair,
        review,
        f"{review_form.ICONS[review.mark]} {said}",
        can_undo=reviewer.why_closed(pair) is None and bool(reviewer.reviewer()),
        room=0.33,
    )


def _clear_note() -> None:
    st.session_state[NOTE] = st.session_state[_KEPT] = ""


def _mark(pair: Pair, sample_id: str, asked: Asked, mark: Mark, seen: str) -> None:
    """Write the mark and open the next example without one. `seen` is the id of the mark that the reader saw."""
    try:
        reviews.forget_records()
        standing = reviews.state(pair).marks.get(sample_id)
        if standing is not None and (standing.by, standing.mark) == (reviewer.reviewer(), mark):
            return  # a key that was pressed twice
        if standing is not None and standing.id != seen:
            # Nobody replaces a mark that they have not seen. It may be a blocker.
            review_form.refuse(
                f"Nothing was written: {standing.by} has just marked this example. Look, and mark again."
            )
            return
        reason = str(st.session_state.get(NOTE, "")).strip()
        if review_form.attempt(pair, ReviewKind.MARK, reason, mark=mark, samples=(sample_id,)):
            _open(pair, asked, _following(pair, asked, sample_id))
    except PctError as error:
        review_form.refuse(str(error))


def _following(pair: Pair, asked: Asked, sample_id: str) -> str | None:
    return flip_lists.next_unmarked(flip_lists.triage_ids(pair, asked), sample_id, reviews.marked(pair))


def _open(pair: Pair, asked: Asked, sample_id: str | None) -> None:
    """Open the example at its page of the gallery. Stay where it is not in the list."""
    place = None if sample_id is None else flip_lists.place_of(pair, asked, sample_id, reviews.marked(pair))
    if place is not None:
        selection.open_example(place.sample_id, place.page)


def _undo_last(pair: Pair, asked: Asked, last: Review) -> None:
    """Take the mark back. Where one example is shown large, show the one that is without its mark again."""
    try:
        reviews.forget_records()
        # A key that is pressed twice, or a colleague with the same login, may have taken it back already.
        was_taken_back = last.id in reviews.can_undo(pair) and review_form.take_back(pair, last)
        if was_taken_back and len(last.samples) == 1 and st.session_state.get("example"):
            _open(pair, asked, last.samples[0])
    except PctError as error:
        review_form.refuse(str(error))
