"""Draws the view Trade-off: what each version gains and flips, and what each move of production flipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

import streamlit as st

from pct_mlops.charts import count, pareto
from pct_mlops.explorer.components import clickable_chart
from pct_mlops.explorer.components.figure_cache import drawn
from pct_mlops.explorer.components.history_table import history_table
from pct_mlops.explorer.components.move_chart import move_chart
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import class_labels, pairs, version_rates
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.queries.version_rates import LeftOut
from pct_mlops.explorer.state import selection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pct_mlops.explorer.queries.version_rates import Progress
    from pct_mlops.registry import Move, Version

Read = TypeVar("Read")

MOST_VERSIONS = 10**9
LABELLED = 12  # points; of more, only those on the front always carry their name
AGAINST = {"production": "production", "before": "the version before"}
HINTS = {
    "tradeoff": "Up and to the left is best. The line joins the Pareto front: versions that no other beats in one rate "
    "without losing in the other. Hollow points are beaten. Dotted line: the accuracy of production. Dashed line: what "
    "retraining alone flips, where that was measured. Point at a version for its recipe.",
    "against": "Flips are counted against the version that is replaced: the one in production, or the one that was "
    "registered just before.",
    "history": "Circle: promoted by the gate. Diamond: promoted against the gate's verdict. Triangle: rolled back. "
    "Square: moved by hand, and recorded afterwards. The bars are bounds. Each bound alone holds with 95% confidence. "
    "Below: the negative flips of all moves so far, added up. A rollback flips examples too.",
    "sweep": "A sweep trains one recipe with many losses and several seeds. Points are means. Bars are one standard "
    "deviation each way.",
}


def tradeoff() -> None:
    """Draw the page."""
    pair = selection.current()
    st.title("What did each version cost?", anchor=False)
    if not (isinstance(pair.new, VersionTable) and isinstance(pair.old, VersionTable)):
        st.info(
            "Two files have no history: open a registered model with `pct explore --model NAME` to see all its "
            "versions.",
            icon=":material/history:",
        )
        return
    st.caption(f"All versions of {plain(pair.new.name)}, measured on its test examples")
    found = pairs.versions(pair.new.tracking_uri, pair.new.name)
    live = _production(pair.old)
    sweeps = version_rates.stored_sweeps(pair.new.tracking_uri, pair.old.name)
    draw_versions(pair, pair.new, found, live)
    draw_history(pair.old)
    if sweeps:
        # Two sweeps of one title would look alike in the menu.
        titles = class_labels.unique([version_rates.sweep_title(sweep) for sweep in sweeps])
        draw_sweep(pair.old, [sweep.run_id for sweep in sweeps], titles)


def _production(table: VersionTable) -> Version | None:
    """Return the version in production of the table's model, or None."""
    found = pairs.versions(table.tracking_uri, table.name)
    return next((version for version in found if "production" in version.aliases), None)


def draw_versions(pair: Pair, table: VersionTable, found: list[Version], live: Version | None) -> None:
    """Draw accuracy against NFR of the newest versions."""
    st.subheader("Accuracy against flips", anchor=False, help=HINTS["tradeoff"])
    choices = [key for key in AGAINST if live is not None or key != "production"]
    selection.restore("against", choices, choices[0])
    names = {**AGAINST, "production": f"production (version {live.version})"} if live is not None else AGAINST
    against = st.segmented_control(
        "Measured against",
        choices,
        format_func=names.__getitem__,
        key="against",
        required=True,
        help=HINTS["against"],
    )
    selection.remember(choices[0], against=against)
    reference = live if against == "production" else None
    compared = version_rates.with_baselines(found, reference)
    limit = _limit("versions", len(compared))
    shown = _with_progress(
        lambda say: version_rates.versions_against(table.tracking_uri, compared[:limit], reference, say)
    )
    if shown.points:
        # Where the command line fixed the pair, the page cannot compare other versions.
        is_free = "model" in st.query_params
        picked = clickable_chart.chart(
            drawn(
                pareto,
                shown.points,
                reference=shown.reference,
                floor=floor.mean if reference is not None and (floor := pairs.floor_of(pair)) else None,
                all_labels=len(shown.points) <= LABELLED,
            ),
            key="pareto",
            alt="Accuracy against negative flip rate of each version, with the Pareto front.",
            most=MOST_VERSIONS,
            num_parts=2,
            hint="Click a version to compare it." if is_free else "",
        )
        if picked and is_free:
            draw_link(pair, picked, [point.key for point in shown.points], reference)
    else:
        st.info("No version can be drawn. The reasons are listed below.", icon=":material/scatter_plot:")
    draw_left_out(shown.left_out)
    _more("versions", limit, len(compared))


def draw_link(pair: Pair, picked: Sequence[int], keys: list[str], reference: Version | None) -> None:
    """Draw a link to the comparison of the clicked (old, new) versions, where they are among `keys`."""
    old, new = picked
    if f"{old}-{new}" not in keys:
        return
    assert isinstance(pair.new, VersionTable)
    # The version before is always one of the same model. Production may be that of another one.
    params = {"model": pair.new.name} if reference is None else selection.link_params()
    with st.container(key="onward_compare"):
        st.page_link(
            "views/overview.py",
            label=f"Compare version {new} with version {old}",
            icon=":material/compare_arrows:",
            query_params={**params, "old": str(old), "new": str(new)},
        )


def _with_progress(read: Callable[[Progress], Read]) -> Read:
    """Return the result of `read`, and draw the progress that it reports."""
    place = st.empty()
    result = read(place.progress)
    place.empty()
    return result


def draw_left_out(left_out: list[LeftOut]) -> None:
    """Draw a list of the versions that could not be drawn, with the reasons."""
    if not left_out:
        return
    number = f"{count(len(left_out))} version" + ("" if len(left_out) == 1 else "s")
    with st.expander(f"{number} left out", icon=":material/visibility_off:"):
        for item in left_out:
            st.markdown(f"**Version {plain(item.title)}**: {plain(item.reason)}")


def _limit(key: str, total: int) -> int:
    """Return how many versions or moves are shown, as the address says: a multiple of the batch."""
    selection.restore_number(key, version_rates.batches(total, version_rates.BATCH))
    return st.session_state[key] * version_rates.BATCH


def _more(key: str, limit: int, total: int, note: str = "") -> None:
    batches = st.session_state[key]
    selection.remember("1", **{key: str(batches)})
    if limit >= total:
        return
    st.caption(f"The newest {count(limit)} of {count(total)}.{note}")
    st.button(
        "Compare older ones too", key=f"more_{key}", icon=":material/expand_more:", on_click=_next_batch, args=(key,)
    )


def _next_batch(key: str) -> None:
    st.session_state[key] += 1


def draw_history(table: VersionTable) -> None:
    """Draw what each move of production flipped, who made it and why."""
    st.subheader("Moves of production", anchor=False, help=HINTS["history"])
    found = version_rates.moves(table.tracking_uri, table.name)
    if not found:
        st.info(
            "Production never moved: 'pct gate NAME@candidate --policy FILE --promote' makes the first move.",
            icon=":material/flag:",
        )
        return
    limit = _limit("moves", len(found))
    points = _with_progress(lambda say: version_rates.move_points(table.tracking_uri, table.name, found[-limit:], say))
    if any(point.nfr is not None for point in points):
        st.html(move_chart(points, [_comparison_of(move, table.name) for move in found[-limit:]]))
    else:
        st.caption("No flips are known: no move has replaced a version whose predictions are stored.")
    st.html(history_table(found[-limit:], points))
    _more("moves", limit, len(found), " Flips are added up from the oldest of these.")


def _comparison_of(move: Move, name: str) -> str:
    """Return the address of the comparison of both versions of a move, "" where the page cannot compare others."""
    if "model" not in st.query_params or move.from_version is None or move.to_version is None:
        return ""
    return "./?" + urlencode({"model": name, "old": move.from_version, "new": move.to_version})


def draw_sweep(table: VersionTable, run_ids: list[str], titles: list[str]) -> None:
    """Draw accuracy against NFR of the methods of a sweep."""
    st.subheader("Methods of a sweep", anchor=False, help=HINTS["sweep"])
    selection.restore("sweep", run_ids, run_ids[0])
    run_id = st.selectbox(
        "Sweep", run_ids, format_func=dict(zip(run_ids, titles, strict=True)).__getitem__, key="sweep"
    )
    selection.remember(run_ids[0], sweep=run_id)
    points = version_rates.sweep_points(table.tracking_uri, run_id)
    st.plotly_chart(
        drawn(pareto, points, all_labels=len(points) <= LABELLED),
        key="sweep_pareto",
        alt="Accuracy against negative flip rate of each method of the sweep, with the Pareto front.",
        config={"displayModeBar": False},
    )


tradeoff()
