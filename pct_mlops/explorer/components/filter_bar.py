"""Draws the filters of the gallery and keeps them in the address.

While one example is shown large, the widgets are not drawn, and the address alone holds their values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import streamlit as st

from pct_mlops.comparison import CAUSES, FlipFilter
from pct_mlops.comparison.flips import MAX_NEEDLE, MAX_SLICE_VALUE
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import example_contents, flip_causes, flip_pages, known_confidences, pairs, reviews
from pct_mlops.explorer.queries.flip_pages import Asked
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.state import selection
from pct_mlops.explorer.state.url import asked, notice

KINDS = {
    "negative": "negative flips",
    "positive": "positive flips",
    "both_wrong": "both wrong, differently",
    "all": "all changed predictions",
}
# The words of a kind inside a sentence.
NOUNS = KINDS | {"both_wrong": "examples that both got wrong, differently,"}
SORTS = {
    "confidence_lost": "target confidence lost",
    "new_confidence": "new confidence",
    "old_confidence": "old confidence",
    "sample_id": "sample id",
    "flip_risk": "flip risk",
}
TYPES = {"1": "type I: fell by 0.1 or less", "2": "type II: fell by 0.5 or more"}
REVIEWED = {"yes": "reviewed", "no": "not reviewed"}
WHOLE = (0, 100)  # percent
NAMES = ("kind", "target", "answer", "text", "was", "type", "column", "value", "conf", "reviewed", "cause")
MORE = ("was", "type", "column", "value", "conf", "reviewed", "cause")
HINTS = {
    "kind": "Negative flip: the old model was right, the new one is wrong. Positive flip: the reverse.",
    "sort": "Target confidence lost: the old model's probability of the target minus the new model's. Flip risk: "
    "examples that most retrainings of the old recipe get wrong, then those that the old model was least sure of.",
    "cause": "Noise: at least one retraining of the old recipe is wrong here too. Systematic: all retrainings are "
    "right, so the update broke it. 'pct floor' measures this.",
    "type": "How far the probability of the target fell. Type I: hardly. The example lies near a border between "
    "classes. Type II: by 0.5 or more. The new model is sure of another class.",
    "conf": "The probability that the new model gives its prediction, in percent.",
    "text": "A part of the text or of the row. Upper and lower case are alike.",
    "column": "A column that sorts examples into groups, for example the camera.",
}


def restore_filters(pair: Pair, titles: list[str]) -> Asked:
    """Set the widgets to what the address says before they are drawn, and return the selection.

    A notice names each value of the address that does not exist here.
    """
    off = known_confidences.switched_off(pair)
    selection.restore("kind", KINDS, "negative")
    for name in ("target", "answer", "was"):
        selection.restore(name, titles, None)
    selection.restore("type", () if "type" in off else TYPES, None)
    selection.restore("reviewed", REVIEWED, None)
    selection.restore("cause", CAUSES if flip_causes.cause_search(pair) else (), None)
    selection.restore_range("conf", WHOLE)
    if "conf" in off and st.session_state["conf"] != WHOLE:
        notice(f"The link asks for a range of confidences, but {off['conf']}: showing every example.")
        st.session_state["conf"] = WHOLE
    selection.restore("column", pairs.slice_columns(pair), None)
    choices = _choices(pair, st.session_state["column"])
    if choices is None:
        selection.restore_text("value", longest=MAX_SLICE_VALUE)
    else:
        selection.restore("value", choices, None)
    selection.restore_text("text", longest=MAX_NEEDLE)
    sorts = _sorts(off)
    selection.restore("sort", sorts, sorts[0])
    return _asked(pair, titles, choices, _shown(), st.session_state["sort"])


def from_address(pair: Pair, titles: list[str]) -> Asked:
    """Return the selection of the address where no widgets are drawn. Values that do not exist here are ignored."""
    off = known_confidences.switched_off(pair)
    query = {name: value for name, value in st.query_params.to_dict().items() if name not in off}
    column = asked("column", pairs.slice_columns(pair), None)
    if column is None:
        query.pop("column", None)
    sorts = _sorts(off)
    return _asked(pair, titles, _choices(pair, column), query, asked("sort", sorts, None) or sorts[0])


def _sorts(off: Collection[str]) -> list[str]:
    """Return the orders that the confidences allow, the default first."""
    return [name for name in SORTS if name not in off]


def _choices(pair: Pair, column: str | None) -> Mapping[str, str] | None:
    """Return title -> value of the column, or None where there are too many for a list and the reader types one."""
    return flip_pages.slice_values(pair, column) if column else {}


def _asked(
    pair: Pair, titles: list[str], choices: Mapping[str, str] | None, query: Mapping[str, str], sort: str
) -> Asked:
    # Only a filter on reviews depends on the marks. With any other, the cache holds when somebody adds a mark.
    marked = reviews.marked(pair) if query.get("reviewed") in REVIEWED else frozenset()
    chosen = FlipFilter.from_query(query, titles, choices, marked=marked)
    cause = query.get("cause")
    search = flip_causes.cause_search(pair, cause) if cause in CAUSES else None
    return Asked(replace(chosen, text=example_contents.search(pair, query.get("text", "")), cause=search), sort)


def _shown() -> dict[str, str]:
    """Return what the widgets show as parameters of the address, without defaults."""
    state = st.session_state
    low, high = state["conf"]
    shown = {
        "kind": state["kind"] if state["kind"] != "negative" else None,
        "conf": f"{low}-{high}" if (low, high) != WHOLE else None,
        "value": state["value"] if state["column"] else None,
        **{name: state[name] for name in ("target", "answer", "text", "was", "type", "column", "reviewed", "cause")},
    }
    return {name: value for name, value in shown.items() if value}


def draw_filters(pair: Pair, titles: list[str]) -> None:
    """Draw the widgets. Any change goes back to the first page."""
    st.segmented_control(
        "Kind",
        list(KINDS),
        format_func=lambda kind: KINDS[kind].capitalize(),
        key="kind",
        required=True,
        on_change=selection.forget,
        args=("page",),
        help=HINTS["kind"],
    )
    if example_contents.is_searchable(pair):
        text, left, middle, right, last = st.columns([1.1, 1, 1, 1.15, 0.95], vertical_alignment="bottom")
        text.text_input(
            "Text contains",
            key="text",
            max_chars=MAX_NEEDLE,
            placeholder="any",
            on_change=selection.forget,
            args=("page",),
            help=HINTS["text"],
        )
    else:
        left, middle, right, last = st.columns([1, 1, 1.15, 0.95], vertical_alignment="bottom")
    with left:
        _pick("target", "Target class", titles)
    with middle:
        _pick("answer", "New prediction", titles)
    off = known_confidences.switched_off(pair)
    right.selectbox(
        "Sort by",
        _sorts(off),
        format_func=SORTS.__getitem__,
        key="sort",
        on_change=selection.forget,
        args=("page",),
        help=HINTS["sort"],
    )
    active = num_active()
    with last.popover(
        f"More filters ({active})" if active else "More filters", icon=":material/tune:", width="stretch"
    ):
        _draw_more(pair, titles, off)
    if off:
        st.caption(plain(known_confidences.switched_off_sentence(off)))


def _draw_more(pair: Pair, titles: list[str], off: Collection[str]) -> None:
    _pick("was", "Old prediction", titles)
    st.selectbox(
        "Type of negative flip",
        list(TYPES),
        format_func=lambda key: TYPES[key].capitalize(),
        index=None,
        key="type",
        placeholder="any",
        on_change=selection.forget,
        args=("page",),
        help=HINTS["type"],
        disabled="type" in off,
    )
    st.segmented_control(
        "Cause",
        list(CAUSES),
        format_func=str.capitalize,
        key="cause",
        on_change=selection.forget,
        args=("page",),
        help=HINTS["cause"],
        disabled=flip_causes.cause_search(pair) is None,
    )
    if columns := pairs.slice_columns(pair):
        column = _pick("column", "Slice column", list(columns), HINTS["column"])
        if column:
            _pick_value(_choices(pair, column))
    st.slider(
        "New confidence",
        *WHOLE,
        key="conf",
        format="%d%%",
        on_change=selection.forget,
        args=("page",),
        help=HINTS["conf"],
        disabled="conf" in off,
    )
    if pairs.has_versions(pair):
        st.segmented_control(
            "Reviewed",
            list(REVIEWED),
            format_func=lambda key: REVIEWED[key].capitalize(),
            key="reviewed",
            on_change=selection.forget,
            args=("page",),
        )
    st.button("Clear these", icon=":material/filter_alt_off:", on_click=_clear, disabled=not num_active())


def _pick(key: str, label: str, options: list[str], hint: str | None = None) -> str | None:
    return st.selectbox(
        label,
        options,
        index=None,
        key=key,
        placeholder="any",
        on_change=selection.forget,
        args=("page",) if key != "column" else ("page", "value"),
        help=hint,
    )


def _pick_value(choices: Mapping[str, str] | None) -> None:
    if choices is not None:
        _pick("value", "Slice", list(choices))
        return
    st.text_input(
        "Slice",
        key="value",
        max_chars=MAX_SLICE_VALUE,
        placeholder="the whole value",
        on_change=selection.forget,
        args=("page",),
        help="This column has too many values for a list: type one of them exactly.",
    )


def _clear() -> None:
    selection.forget(*MORE, "page")


def clear_all() -> None:
    """Clear every filter but the kind. Streamlit calls this before it draws the page again."""
    selection.forget(*MORE, "target", "answer", "text", "page")


def num_active() -> int:
    """Count the filters behind the button that are set."""
    state = st.session_state
    set_ones = [state["was"], state["type"], state["reviewed"], state["cause"], state["column"] and state["value"]]
    return sum(map(bool, set_ones)) + (state["conf"] != WHOLE)


def remember_filters() -> None:
    """Write all filters and the order to the address, as one step of the browser's history."""
    sort = st.session_state["sort"]
    default = _sorts(known_confidences.switched_off(selection.current()))[0]
    shown = _shown()
    selection.remember(sort=sort if sort != default else None, **{name: shown.get(name) for name in NAMES})


def described(chosen: FlipFilter) -> str:
    """Return the selection in words, for the middle of a sentence."""
    if chosen == FlipFilter(chosen.kind):
        return NOUNS[chosen.kind].rstrip(",")
    return f"{NOUNS[chosen.kind]} with these filters"
