"""Draws the view Overview: the verdict, the 2x2 of old and new predictions, and the rates that sum it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.charts import count, interval, percent, points
from pct_mlops.comparison import FlipFilter
from pct_mlops.config.numbers import number_of
from pct_mlops.errors import PctError
from pct_mlops.explorer.components import area_chart, example_html, verdict_banner, verdict_panel
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import example_facts, flip_causes, flip_pages, known_confidences, pairs
from pct_mlops.explorer.queries.flip_pages import Asked
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.state import selection

if TYPE_CHECKING:
    from pct_mlops.gate import Decision

HINTS = {
    "accuracy": "Share of examples whose prediction is the target.",
    "nfr": "Negative flip rate: share of all examples that the old model got right and the new one gets wrong.",
    "pfr": "Positive flip rate: share of all examples that the old model got wrong and the new one gets right.",
    "floor": "The floor is the NFR between retrainings of one recipe that differ only in their random seed.",
    "noise": "Noise: at least one retraining of the old recipe is wrong here too. Systematic: all are right. "
    "Retraining leaves some systematic flips as well, which the last number says.",
    "bounds": "Each bound alone holds with 95% confidence.",
    "areas": "Area is the number of examples. Left: the old model was right. Top: the new model is right. "
    "Click an area to see its examples, except where both are right. Of those where both are wrong, the examples whose "
    "prediction changed are listed.",
    "checks": f"Each rule of the policy, those on all examples first. A rule on classes is one row with its worst "
    f"class. {verdict_banner.KEY}",
    "changes": "Keys of the two recipes that differ, and what the tables say of the data they were scored on.",
}


def overview() -> None:
    """Draw the page."""
    pair = selection.current()
    counts = pairs.counts(pair)
    st.title("Did it get better everywhere?", anchor=False)
    st.caption(f"{plain(pair.old_title)} → {plain(pair.new_title)} on {count(counts.total)} test examples")
    draw_class_change(pair)
    decision = verdict_panel.draw_verdict(pair)
    left, right = st.columns([1.15, 1], gap="large")
    with left:
        draw_areas(pair)
    with right:
        st.subheader("In numbers", anchor=False, help=HINTS["bounds"])
        draw_metrics(pair)
    with st.container(horizontal=True, key="onward"):
        go_on("examples.py", number_of(counts.negative_flips, "negative flip"), ":material/photo_library:")
        go_on("examples.py", number_of(counts.positive_flips, "positive flip"), ":material/thumb_up:", kind="positive")
        go_on("classes.py", "Which classes lose", ":material/category:")
        if pairs.has_versions(pair):
            go_on("review.py", "Review", ":material/rate_review:")
    if decision:
        draw_checks(pair, decision)
    draw_changes(pair)


def draw_class_change(pair: Pair) -> None:
    """Draw what changed between the classes of the two. A loss that the overall accuracy hides comes first."""
    loss, sentences = pairs.class_change(pair)
    if loss:
        st.warning(plain(loss), icon=":material/trending_down:")
    for sentence in sentences:
        st.caption(plain(sentence))


def draw_areas(pair: Pair) -> None:
    """Draw the 2x2 as areas that lead to their examples. The gallery lists no examples that both models got right."""
    st.subheader("Old predictions against new ones", anchor=False, help=HINTS["areas"])
    counts, num_changed = pairs.counts(pair), flip_pages.num_flips(pair, Asked(FlipFilter("both_wrong")))
    numbers = {
        "negative": counts.negative_flips,
        "positive": counts.positive_flips,
        "both_wrong": num_changed,
    }
    found = (kind for kind, number in numbers.items() if number)
    links = {kind: selection.address("examples", **FlipFilter(kind).to_query(())) for kind in found}
    st.html(area_chart.area_chart(counts, num_changed, links))


def go_on(view: str, label: str, icon: str, **extra: str) -> None:
    """Draw a link to another view of the same pair."""
    st.page_link(f"views/{view}", label=label, icon=icon, query_params=selection.link_params(**extra))


def draw_metrics(pair: Pair) -> None:
    """Draw the accuracies, and the change of accuracy, NFR and PFR with their bounds."""
    found = pairs.estimates(pair, ("accuracy_old", "accuracy_new", "accuracy_change", "nfr", "pfr"))
    change, nfr, pfr = found["accuracy_change"], found["nfr"], found["pfr"]
    st.metric(
        "Accuracy, old → new",
        f"{percent(found['accuracy_old'].value)} → {percent(found['accuracy_new'].value)}",
        f"{points(change.value)}  ({points(change.lower)} to {points(change.upper)})",
        delta_color="off",
        delta_arrow="off",
        help=HINTS["accuracy"] + " Below: the change with its bounds.",
        border=True,
    )
    for column, name, rate in zip(st.columns(2), ("NFR", "PFR"), (nfr, pfr), strict=True):
        column.metric(
            name,
            percent(rate.value),
            interval(rate.lower, rate.upper),
            delta_color="off",
            delta_arrow="off",
            help=f"{HINTS[name.lower()]} Below: its bounds. {HINTS['bounds']}",
            border=True,
        )
    if floor := pairs.floor_of(pair):
        st.caption(f"For comparison: {plain(floor.sentence)}.", help=HINTS["floor"])
    causes = flip_causes.cause_words(pair)
    for sentence in causes.sentences:
        st.caption(plain(sentence), help=HINTS["noise"])
    if causes.hint:
        st.caption(plain(causes.hint))
    if lacking := known_confidences.unavailable_words(pair):
        st.caption(plain(lacking))


def draw_checks(pair: Pair, decision: Decision) -> None:
    """Draw the rules that the decision rests on, those on all examples first, and its notes."""
    if not decision.checks:
        return
    st.subheader("What the verdict rests on", anchor=False, help=HINTS["checks"])
    st.html(verdict_banner.rules_table(decision.checks, known_confidences.unavailable(pair)))
    if more := verdict_banner.left_out(decision.checks):
        st.caption(f"{count(more)} more rules.")
    st.caption(verdict_banner.KEY)
    # What is not available stands beside the numbers already.
    for sentence in decision.notes:
        if sentence != known_confidences.unavailable_words(pair):
            st.caption(plain(sentence))


def draw_changes(pair: Pair) -> None:
    """Draw what differs in recipe and data between the two."""
    st.subheader("What changed between the two", anchor=False, help=HINTS["changes"])
    try:
        found, has_recipes = example_facts.changes(pair)
    except PctError as error:
        # A warning and no error of the page: the rest of it is complete.
        st.warning(plain(str(error)), icon=":material/difference:")
        return
    if found:
        st.html(example_html.difference_table(found))
    if not has_recipes:
        same = "" if found else ", and the tables say the same of their data"
        st.caption(f"Recipes are not compared: not both sides carry one{same}.")
    elif not found:
        st.caption("Recipe and data are the same: only what the recipe leaves open, such as the machine, can differ.")


overview()
