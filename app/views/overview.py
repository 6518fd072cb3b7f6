"""Overview: the verdict, the 2x2 of old and new answers, and the rates that sum it up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from app import selection, store, verdict
from app.markup import plain
from app.store import Pair
from pct_mlops.charts import count, flip_areas, interval, percent, points
from pct_mlops.config import PctError

if TYPE_CHECKING:
    from pct_mlops.gate import Check

HINTS = {
    "accuracy": "Share of examples that the model answers right.",
    "nfr": "Negative flip rate: share of all examples that the old model got right and the new one gets wrong.",
    "pfr": "Positive flip rate: share of all examples that the old model got wrong and the new one gets right.",
    "floor": "Models that differ in their random seed only flip predictions too: no replacement can be asked for less.",
    "bounds": "Each bound alone holds with 95% confidence.",
}


def overview() -> None:
    """Draw the page."""
    pair = selection.current()
    counts = store.counts(pair)
    st.title("Did it get better everywhere?", anchor=False)
    st.caption(f"{plain(pair.old_title)} → {plain(pair.new_title)} on {count(counts.total)} test examples")
    checks = draw_verdict(pair)
    left, right = st.columns([1.15, 1], gap="large")
    with left:
        st.subheader(
            "Old answers against new ones",
            anchor=False,
            help="Area is the number of examples. Left: the old model was right. Top: the new model is right.",
        )
        st.plotly_chart(
            flip_areas(counts, dark=selection.is_dark()),
            key="areas",
            alt="Both right, negative flips, positive flips and both wrong, as areas.",
            config={"displayModeBar": False},
        )
    with right:
        st.subheader("In numbers", anchor=False, help=HINTS["bounds"])
        draw_metrics(pair)
    with st.container(horizontal=True, key="onward"):
        go_on("examples.py", f"See the {count(counts.negative_flips)} negative flips", ":material/photo_library:")
        go_on("classes.py", "Which classes lose", ":material/category:")
    draw_checks(checks)


def go_on(view: str, label: str, icon: str) -> None:
    """A link to another view of the same pair."""
    st.page_link(f"views/{view}", label=label, icon=icon, query_params=selection.link_params())


def draw_metrics(pair: Pair) -> None:
    """Accuracy, its change, NFR and PFR, each with its bounds."""
    found = store.estimates(pair, ("accuracy_old", "accuracy_new", "accuracy_change", "nfr", "pfr"))
    change, nfr, pfr = found["accuracy_change"], found["nfr"], found["pfr"]
    st.metric(
        "Accuracy, old → new",
        f"{percent(found['accuracy_old'].value)} → {percent(found['accuracy_new'].value)}",
        f"{points(change.value)}  ({interval(change.lower, change.upper)})",
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
    if sentence := store.floor(pair):
        st.caption(f"For comparison: {plain(sentence)}.", help=HINTS["floor"])


def draw_verdict(pair: Pair) -> Sequence[Check]:
    """The gate's decision under the given policy, and the one on record when it judged this very pair."""
    recorded = store.recorded_verdict(pair)
    try:
        decision = store.decision(pair, selection.policy())
    except PctError as error:
        st.error(plain(str(error)), icon=":material/error:")
        decision = None
    if decision is None:
        if recorded:
            verdict.banner(
                recorded, "as the gate recorded when it judged these two versions.", "No policy was given here."
            )
        elif not selection.policy():
            st.info(
                "No verdict: no policy was given. Start the explorer with `--policy FILE` to see one.",
                icon=":material/policy:",
            )
        return ()
    note = f" The gate recorded {recorded} for these two versions." if recorded else ""
    verdict.banner(str(decision.verdict), decision.sentence, f"Judged now under {selection.policy()}.{note}")
    return decision.checks


def draw_checks(checks: Sequence[Check]) -> None:
    """What the verdict rests on, the worst first."""
    if not checks:
        return
    st.subheader("What the verdict rests on", anchor=False, help="Each rule of the policy; class rules once per class.")
    st.html(verdict.rules_table(checks))
    if more := verdict.left_out(checks):
        st.caption(f"{count(more)} more checks, none worse than those shown.")


overview()
