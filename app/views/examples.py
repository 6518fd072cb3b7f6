"""Examples: a gallery of flips, each with its image and both models' answers."""

from __future__ import annotations

import streamlit as st

from app import selection, store
from app.markup import plain
from app.store import Filter, Pair
from app.tiles import Answer, Tile, gallery
from pct_mlops.charts import count

KINDS = {
    "negative": "negative flips",
    "positive": "positive flips",
    "both_wrong": "both wrong, differently",
    "all": "all changed answers",
}
SORTS = {
    "confidence_lost": "target confidence lost",
    "new_confidence": "new confidence",
    "old_confidence": "old confidence",
    "sample_id": "sample id",
}


def examples() -> None:
    """Draw the page."""
    pair = selection.current()
    titles = store.class_titles(pair)
    st.title("Which inputs flipped?", anchor=False)
    st.caption(f"{plain(pair.old_title)} → {plain(pair.new_title)}")
    chosen, sort = controls(titles)
    total = store.num_flips(pair, chosen)
    if total == 0:
        st.info(
            f"No {KINDS[chosen.kind]} with these filters: choose another kind or class.",
            icon=":material/filter_alt_off:",
        )
        return
    page = pages(total)
    draw_gallery(pair, chosen, sort, page, titles)


def controls(titles: list[str]) -> tuple[Filter, str]:
    """Kind, target class, wrong answer and order, all in the address."""
    selection.restore("kind", KINDS, "negative")
    kind = st.segmented_control(
        "Kind",
        list(KINDS),
        format_func=lambda kind: KINDS[kind].capitalize(),
        key="kind",
        required=True,
        on_change=selection.forget,
        args=("page",),
        help="Negative flip: the old model was right, the new one is wrong. Positive flip: the reverse.",
    )
    selection.remember("negative", kind=kind)
    left, middle, right = st.columns(3)
    with left:
        target = pick_class("target", "Target class", titles)
    with middle:
        answer = pick_class("answer", "New answer", titles)
    selection.restore("sort", SORTS, "confidence_lost")
    sort = right.selectbox(
        "Sort by",
        list(SORTS),
        format_func=SORTS.__getitem__,
        key="sort",
        on_change=selection.forget,
        args=("page",),
        help="Target confidence lost: how much probability of the target the new model gave up.",
    )
    selection.remember("confidence_lost", sort=sort)
    return Filter(kind or "negative", target, answer), sort


def pick_class(key: str, label: str, titles: list[str]) -> int | None:
    """The index of the chosen class, or None for any."""
    selection.restore(key, titles, None)
    title = st.selectbox(
        label, titles, index=None, key=key, placeholder="any", on_change=selection.forget, args=("page",)
    )
    selection.remember(**{key: title})
    return None if title is None else titles.index(title)


def pages(total: int) -> int:
    """The page on screen, counted from 1."""
    num_pages = store.num_pages(total)
    options = {str(number): number for number in range(1, num_pages + 1)}
    selection.restore_number("page", options)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"**{count(total)}** found")
        page = st.pagination(num_pages, key="page") if num_pages > 1 else 1
    selection.remember("1", page=str(page))
    return page


def draw_gallery(pair: Pair, chosen: Filter, sort: str, page: int, titles: list[str]) -> None:
    """One page of tiles; only its own images are read."""
    rows = store.flips(pair, chosen, sort, page)
    pictures = store.images(pair, tuple(row.sample_id for row in rows))
    st.html(
        gallery(
            [
                Tile(
                    sample_id=row.sample_id,
                    target=titles[row.label],
                    old=Answer(titles[row.old_prediction], row.old_confidence, row.old_prediction == row.label),
                    new=Answer(titles[row.new_prediction], row.new_confidence, row.new_prediction == row.label),
                    png=pictures.get(row.sample_id),
                )
                for row in rows
            ]
        )
    )
    if not pictures:
        st.caption("No images are stored with this evaluation set; the rest of each tile is complete.")


examples()
