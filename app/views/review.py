"""Draws the view Review: the records of all reviewers, and a form for the reader's own. The gate reads them too."""

from __future__ import annotations

import streamlit as st

from pct_mlops.charts import count
from pct_mlops.comparison import FlipFilter
from pct_mlops.config import PctError
from pct_mlops.config.numbers import number_of
from pct_mlops.explorer.components import review_form, verdict_panel
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import flip_pages, pairs, reviews
from pct_mlops.explorer.queries.flip_pages import Asked
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.state import reviewer, selection
from pct_mlops.gate.reviews import Mark, Review, ReviewKind

SHOWN, ALL = 20, "records"  # records that are shown at first, and the key of the switch to all of them
ICONS = {
    ReviewKind.ACCEPT: ":material/check_circle:",
    ReviewKind.REJECT: ":material/cancel:",
    ReviewKind.MARK: ":material/label:",
    ReviewKind.UNDO: ":material/undo:",
}
DEEDS = {ReviewKind.ACCEPT: "accepted", ReviewKind.REJECT: "rejected", ReviewKind.UNDO: "took a record back"}
HINTS = {
    "decide": "A rejection keeps the gate from passing this version. An acceptance counts where the policy asks for "
    "one. Both hold for this old version only, and can be undone.",
    "marks": "To mark examples, open one in the view Examples, or tick several there.",
    "records": "Records are never changed or removed. An undo is a further record, which takes an earlier one back.",
}


def review() -> None:
    """Draw the page."""
    pair = selection.current()
    st.title("May it go into production?", anchor=False)
    st.caption(f"{plain(pair.old_title)} → {plain(pair.new_title)}")
    if not pairs.has_versions(pair):
        st.info(plain(reviewer.why_closed(pair) or ""), icon=":material/rate_review:")
        return
    # Read here first, so that an error is shown once for the whole page.
    reviews.records(pair)
    verdict_panel.draw_verdict(pair)
    live(pair)
    draw_form(pair)
    draw_records(pair)


@st.fragment(run_every=2 * reviews.REFRESH)
def live(pair: Pair) -> None:
    """Draw the decision and the marks that stand, again every few seconds, because others may review too."""
    try:
        draw_decision(pair)
        draw_marks(pair)
    except PctError as error:
        # When only this part is drawn again, the frame of the page does not catch its errors.
        st.error(plain(str(error)), icon=":material/error:")


def draw_decision(pair: Pair) -> None:
    """Draw the decision that stands for this pair."""
    decision = reviews.state(pair).decision
    if decision is None:
        st.info("Nobody has accepted or rejected the new version against this old one yet.", icon=":material/pending:")
        return
    box = st.success if decision.kind is ReviewKind.ACCEPT else st.error
    until = f", until {decision.expires[:10]}" if decision.expires else ""
    box(
        f"**{DEEDS[decision.kind].capitalize()}** by {plain(decision.by)}, {plain(review_form.when(decision))}"
        f"{plain(until)}: {plain(decision.reason)}",
        icon=ICONS[decision.kind],
    )


def draw_marks(pair: Pair) -> None:
    """Draw how many examples carry each mark, with links to them."""
    state = reviews.state(pair)
    st.subheader("Marked examples", anchor=False, help=HINTS["marks"])
    for place, (mark, label) in zip(st.columns(len(Mark)), reviews.MARKS.items(), strict=True):
        place.metric(label.capitalize(), count(len(state.samples(mark))), help=review_form.mark_hint(mark), border=True)
    marked = reviews.marked(pair)
    left = FlipFilter(not_sample_ids=marked)
    num_left = flip_pages.num_flips(pair, Asked(left))
    with st.container(horizontal=True, key="onward_marks"):
        if state.marks:
            go_on("See the marked ones", ":material/photo_library:", wanted=FlipFilter("all", sample_ids=marked))
        go_on(f"{number_of(num_left, 'negative flip')} without a mark", ":material/visibility:", wanted=left)


def go_on(label: str, icon: str, *, wanted: FlipFilter) -> None:
    """Draw a link to examples of the same pair."""
    st.page_link("views/examples.py", label=label, icon=icon, query_params=selection.link_params(**wanted.to_query(())))


def draw_form(pair: Pair) -> None:
    """Draw the form that accepts or rejects, with a name and a reason."""
    st.subheader("Your decision", anchor=False, help=HINTS["decide"])
    if problem := reviewer.why_closed(pair):
        st.caption(plain(problem))
        review_form.said()
        return
    left, right = st.columns([1, 2])
    with left:
        review_form.signature()
    with right:
        review_form.note("decision_note")
    with st.container(horizontal=True):
        for kind, label in ((ReviewKind.ACCEPT, "Accept"), (ReviewKind.REJECT, "Reject")):
            st.button(label, key=f"decide_{kind}", icon=ICONS[kind], on_click=decide, args=(pair, kind))
    # Beside the buttons, where the reader looks. It also shows the error of an undo in the records just below.
    review_form.said()


def decide(pair: Pair, kind: ReviewKind) -> None:
    """Write the reader's decision."""
    if review_form.attempt(pair, kind, str(st.session_state.get("decision_note", "")).strip()):
        st.session_state["decision_note"] = ""


def draw_records(pair: Pair) -> None:
    """Draw all records, the newest first."""
    found = reviews.records(pair)
    st.subheader("All records", anchor=False, help=HINTS["records"])
    if not found:
        st.caption("There are none yet.")
        return
    selection.restore_switch(ALL)
    selection.remember_switch(ALL)
    shown = found if st.session_state[ALL] else found[:SHOWN]
    can_undo = reviews.can_undo(pair) if reviewer.why_closed(pair) is None else frozenset()
    for record in shown:
        review_form.draw_record(pair, record, sentence(record), can_undo=record.id in can_undo, room=0.18)
    if len(shown) < len(found):
        st.button(f"Show all {count(len(found))}", on_click=st.session_state.update, args=({ALL: True},))


def sentence(record: Review) -> str:
    """Return a record as Markdown."""
    deed = DEEDS.get(record.kind, "")
    if record.kind is ReviewKind.MARK and record.mark is not None:
        what = record.samples[0] if len(record.samples) == 1 else f"{count(len(record.samples))} examples"
        deed = f"marked {plain(what)} as {reviews.MARKS[record.mark]}"
    elif record.baseline is not None and record.kind is not ReviewKind.UNDO:
        deed += f" against version {record.baseline}"
    reason = "" if record.kind is ReviewKind.UNDO else f": {plain(record.reason)}"
    return f"{ICONS[record.kind]} **{plain(record.by)}** {deed}{reason}  \n:small[{plain(review_form.when(record))}]"


review()
