"""Draws the selection of several examples in the gallery, and marks all of them with one record and one note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import streamlit as st

from pct_mlops.charts import count
from pct_mlops.errors import PctError
from pct_mlops.explorer.components import filter_bar, mark_form, review_form
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import flip_lists, reviews
from pct_mlops.explorer.queries.flip_pages import Asked
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.gate.reviews import Mark, Review, ReviewKind

NOTE = "batch_note"
MOST_AT_ONCE = 2_000  # examples of one record; the registry keeps their ids in tags
PICKED = "picked_examples"  # their ids, in the order in which they were picked
ROUND = "picking_round"  # goes up when the selection changes here, so that earlier ticks of the browser are ignored
_LIST = "picked_from"
_SHOWN = "ids_on_page"
_MARK = "mark_to_confirm"


def restore_picks(pair: Pair, shown: Sequence[str]) -> frozenset[str]:
    """Return the ids of the selected examples. Those of another pair or of other filters are forgotten.

    `shown` are the ids on the page, which are the only ones that the reader can tick.
    """
    origin = (pair.old, pair.new, [st.query_params.get(name) for name in filter_bar.NAMES])
    if st.session_state.get(_LIST) != origin:
        st.session_state[_LIST] = origin
        _pick(())
    st.session_state[_SHOWN] = tuple(shown)
    return frozenset(st.session_state[PICKED])


def take_ticks(ticks: Any) -> None:
    """Take over the tiles that the reader ticked or unticked. What the browser sends is not trusted.

    `ticks` has the number of the round, and id -> whether it is ticked for each change of that round.
    """
    if not isinstance(ticks, Mapping) or ticks.get("round") != st.session_state.get(ROUND):
        return
    st.session_state[PICKED] = after_ticks(
        st.session_state.get(PICKED, ()), ticks.get("ticks"), st.session_state.get(_SHOWN, ())
    )
    st.session_state.pop(_MARK, None)


def after_ticks(picked: Sequence[str], ticks: Any, shown: Collection[str]) -> tuple[str, ...]:
    """Return the selection after these ticks. Only examples in `shown` change."""
    found = dict.fromkeys(picked)
    for sample_id, is_ticked in ticks.items() if isinstance(ticks, Mapping) else ():
        if sample_id in shown and is_ticked is True:
            found[sample_id] = None
        elif sample_id in shown:
            found.pop(sample_id, None)
    return tuple(found)


def draw_batch(pair: Pair, asked: Asked, total: int) -> None:
    """Draw the buttons that select examples, and the form that marks them once some are selected."""
    picked: tuple[str, ...] = st.session_state[PICKED]
    with st.container(key="batch", border=bool(picked)):
        _draw_choice(pair, asked, total, picked)
        if picked:
            _draw_form(pair, picked)
        review_form.said()
    mark_form.draw_undo(pair, asked)


def _draw_choice(pair: Pair, asked: Asked, total: int, picked: Sequence[str]) -> None:
    shown = st.session_state[_SHOWN]
    with st.container(horizontal=True, vertical_alignment="center", key="batch_choice"):
        if picked:
            st.markdown(f"**{count(len(picked))} selected**", width="content")
        else:
            st.caption("Tick tiles to mark several at once, or select", width="content")
        st.button("This page", icon=":material/select_all:", key="pick_page", on_click=_pick_more, args=(shown,))
        too_many = total > MOST_AT_ONCE
        hint = f"At most {count(MOST_AT_ONCE)} get one mark at once: add filters, or use 'pct review' with --samples."
        st.button(
            f"All {count(total)} found",
            icon=":material/library_add_check:",
            key="pick_all",
            on_click=_pick_all,
            args=(pair, asked),
            disabled=too_many,
            help=hint if too_many else "Every example that these filters find, on all pages.",
        )
        if picked:
            st.button("Clear", icon=":material/close:", key="pick_none", type="tertiary", on_click=_pick, args=((),))


def _draw_form(pair: Pair, picked: Sequence[str]) -> None:
    left, right = st.columns([1, 2])
    with left:
        name = review_form.signature()
    with right:
        reason = review_form.note(NOTE, "One note for all of them")
    too_many = len(picked) > MOST_AT_ONCE
    wanted = st.session_state.get(_MARK)
    if wanted is not None and name and reason and not too_many:
        _draw_confirmation(pair, picked, wanted)
        return
    with st.container(horizontal=True, key="batch_buttons"):
        for mark, label in reviews.MARKS.items():
            st.button(
                label.capitalize(),
                key=f"batch_{mark}",
                icon=review_form.ICONS[mark],
                help=review_form.mark_hint(mark),
                disabled=not name or too_many,
                on_click=_ask,
                args=(mark,),
            )
    if too_many:
        st.caption(f"At most {count(MOST_AT_ONCE)} examples get one mark at once: select fewer.")
    elif not name:
        st.caption(review_form.UNSIGNED)
    else:
        st.caption("Nothing is written before you confirm.")


def _draw_confirmation(pair: Pair, picked: Sequence[str], mark: Mark) -> None:
    """Ask before all of them are marked, with their number and the marks that this one would replace."""
    standing = _marks_of(pair, picked)
    said = f"Mark **{_examples(len(picked))}** as **{reviews.MARKS[mark]}**, all with the note above?"
    if standing:
        kinds = Counter(reviews.title_of(review) for review in standing.values())
        found = ", ".join(f"{count(num)} {title}" for title, num in sorted(kinds.items()))
        said += f" {count(len(standing))} of them carry a mark already ({found}), which this one replaces."
    st.markdown(f"{said}  \n:small[{plain(review_form.effect_here(mark))}]")
    with st.container(horizontal=True, key="batch_confirm"):
        st.button(
            f"Mark {_examples(len(picked))}",
            key="batch_write",
            type="primary",
            icon=review_form.ICONS[mark],
            on_click=_write,
            args=(pair, tuple(picked), mark, {sample: review.id for sample, review in standing.items()}),
        )
        st.button("Cancel", key="batch_cancel", on_click=_ask, args=(None,))


def _examples(num: int) -> str:
    return "1 example" if num == 1 else f"{count(num)} examples"


def _marks_of(pair: Pair, picked: Sequence[str]) -> dict[str, Review]:
    marks = reviews.state(pair).marks
    return {sample: marks[sample] for sample in picked if sample in marks}


def _pick(ids: Sequence[str]) -> None:
    """Replace the selection. Streamlit calls this before it draws the page again."""
    st.session_state[PICKED] = tuple(ids)
    st.session_state[ROUND] = st.session_state.get(ROUND, 0) + 1
    st.session_state.pop(_MARK, None)


def _pick_more(ids: Sequence[str]) -> None:
    _pick(tuple(dict.fromkeys([*st.session_state[PICKED], *ids])))


def _pick_all(pair: Pair, asked: Asked) -> None:
    try:
        _pick(flip_lists.ordered_ids(pair, asked))
    except PctError as error:
        review_form.refuse(str(error))


def _ask(mark: Mark | None) -> None:
    """Ask for a confirmation of this mark, or stop asking."""
    st.session_state[_MARK] = mark
    if mark is not None and not str(st.session_state.get(NOTE, "")).strip():
        st.session_state[_MARK] = None
        review_form.refuse("Nothing was written: fill in a note.")


def _write(pair: Pair, picked: tuple[str, ...], mark: Mark, seen: Mapping[str, str]) -> None:
    """Mark all of them with one record. `seen` is example -> id of its mark, as the confirmation counted them."""
    try:
        reviews.forget_records()
        now = {sample: review.id for sample, review in _marks_of(pair, picked).items()}
        if now != seen:
            # Nobody replaces marks that they have not seen. One may be a blocker.
            review_form.refuse("Nothing was written: others marked some of them meanwhile. Look, and confirm again.")
            return
        reason = str(st.session_state.get(NOTE, "")).strip()
        if review_form.attempt(pair, ReviewKind.MARK, reason, mark=mark, samples=picked):
            st.session_state[NOTE] = ""
            _pick(())
    except PctError as error:
        review_form.refuse(str(error))
