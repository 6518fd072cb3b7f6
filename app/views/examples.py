"""Draws the view Examples: a gallery of flips with images and both predictions, or one example large."""

from __future__ import annotations

import functools

import streamlit as st

from pct_mlops.charts import count
from pct_mlops.comparison import FlipFilter, FlipRow
from pct_mlops.explorer.components import batch_form, example_detail, filter_bar
from pct_mlops.explorer.components.gallery import Tile, TilePrediction, gallery
from pct_mlops.explorer.components.gallery_clicks import opener
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import example_contents, example_facts, example_images, flip_pages, pairs, reviews
from pct_mlops.explorer.queries.flip_pages import Asked
from pct_mlops.explorer.queries.pairs import Pair
from pct_mlops.explorer.state import reviewer, selection

LISTENER = "tiles"
EXPORTS = (
    (
        "Ids as CSV",
        example_facts.export_ids,
        "csv",
        "text/csv",
        "One sample_id a line. A policy can name this file under 'pinned'.",
    ),
    (
        "Table as Parquet",
        example_facts.export_table,
        "parquet",
        "application/octet-stream",
        "Every example found, with both predictions and their confidences.",
    ),
)


def examples() -> None:
    """Draw the page."""
    pair = selection.current()
    titles = pairs.class_titles(pair)
    selection.restore_text("example", longest=1000)
    if opened := st.session_state["example"]:
        draw_one(pair, opened, filter_bar.from_address(pair, titles), titles)
        return
    asked = filter_bar.restore_filters(pair, titles)
    st.title("Which inputs flipped?", anchor=False)
    st.caption(f"{plain(pair.old_title)} → {plain(pair.new_title)}")
    filter_bar.draw_filters(pair, titles)
    filter_bar.remember_filters()
    selection.remember(example=None)
    total = flip_pages.num_flips(pair, asked)
    if total == 0:
        draw_nothing(asked)
        return
    page = pages(total)
    draw_alike(pair, asked, total)
    rows = flip_pages.flips(pair, asked, page)
    draw_gallery(pair, rows, titles, draw_selection(pair, asked, rows, total))
    draw_export(pair, asked, total)


def draw_nothing(asked: Asked) -> None:
    """Say that no example is left, and what to do."""
    is_filtered = asked.filter != FlipFilter(asked.filter.kind)
    what = "choose another kind, or remove filters" if is_filtered else "choose another kind above"
    st.info(f"No {filter_bar.described(asked.filter)}: {what}.", icon=":material/search_off:")
    if is_filtered:
        st.button("Clear all filters", icon=":material/filter_alt_off:", on_click=filter_bar.clear_all)


def pages(total: int) -> int:
    """Draw how many examples are found and the choice of a page, and return the page, counted from 1."""
    num_pages = flip_pages.num_pages(total)
    selection.restore_number("page", num_pages)
    # Columns, because in a horizontal container Streamlit hides the pages between the first and the last.
    left, right = st.columns([1, 3], vertical_alignment="center")
    left.markdown(f"**{count(total)}** found")
    with right.container(horizontal_alignment="right"):
        page = st.pagination(num_pages, key="page") if num_pages > 1 else 1
    selection.remember("1", page=str(page))
    return page


def draw_alike(pair: Pair, asked: Asked, total: int) -> None:
    """Say how many examples that both got wrong are not listed, because their prediction did not change."""
    both = pairs.counts(pair).both_wrong
    if asked.filter == FlipFilter("both_wrong") and both > total:
        st.caption(
            f"Both are wrong on {count(both)} examples = {count(total)} with another wrong prediction, listed here, + "
            f"{count(both - total)} with the same one."
        )


def draw_selection(pair: Pair, asked: Asked, rows: list[FlipRow], total: int) -> frozenset[str] | None:
    """Draw what marks several examples at once, and return the ids that are selected. None: nothing can be marked."""
    if problem := reviewer.why_no_marks(pair):
        st.caption(plain(problem))
        return None
    picked = batch_form.restore_picks(pair, [row.sample_id for row in rows])
    batch_form.draw_batch(pair, asked, total)
    return picked


def draw_gallery(pair: Pair, rows: list[FlipRow], titles: list[str], picked: frozenset[str] | None) -> None:
    """Draw a page of tiles, with checkboxes unless `picked` is None. Only its own images and texts are read."""
    ids = [row.sample_id for row in rows]
    images, problem = example_images.tiles(pair, ids)
    known, unread = example_contents.inputs(pair, ids)
    marks = reviews.state(pair).marks if pairs.has_versions(pair) else {}
    opener(LISTENER, open_clicked, take_ticked, round_=st.session_state.get(batch_form.ROUND, 0))
    st.html(
        gallery(
            [
                Tile(
                    sample_id=row.sample_id,
                    target=titles[row.label],
                    old=TilePrediction(titles[row.old_prediction], row.old_confidence, row.old_prediction == row.label),
                    new=TilePrediction(titles[row.new_prediction], row.new_confidence, row.new_prediction == row.label),
                    png=images.get(row.sample_id),
                    href="?" + selection.query(example=row.sample_id),
                    mark=reviews.title_of(marks.get(row.sample_id)),
                    content=known.get(row.sample_id),
                    is_picked=None if picked is None else row.sample_id in picked,
                )
                for row in rows
            ]
        )
    )
    if not (images or known or problem):
        problem = example_contents.how_to_show(pair, example_images.NO_IMAGES)
    # A registry that fails is the reason for both.
    for sentence in dict.fromkeys(filter(None, (problem, unread))):
        st.caption(plain(sentence))


def open_clicked() -> None:
    """Show the example of the clicked tile large."""
    st.session_state["example"] = str(st.session_state[LISTENER].opened or "")


def take_ticked() -> None:
    """Take over the tiles that were ticked."""
    batch_form.take_ticks(st.session_state[LISTENER].ticked)


def draw_export(pair: Pair, asked: Asked, total: int) -> None:
    """Draw buttons that download the whole selection. The files are made at the click."""
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, export, ending, media, hint in EXPORTS:
            st.download_button(
                label,
                functools.partial(export, pair, asked),
                f"{asked.filter.kind}.{ending}",
                media,
                icon=":material/download:",
                on_click="ignore",
                help=hint,
            )
        if total > example_facts.MAX_EXPORT:
            st.caption(f"The first {count(example_facts.MAX_EXPORT)} in this order.")


def draw_one(pair: Pair, sample_id: str, asked: Asked, titles: list[str]) -> None:
    """Draw one example large, with buttons to the ones before and after it."""
    selection.remember(example=sample_id)
    opener(LISTENER, open_clicked)
    walk(pair, sample_id, asked)
    # The page of the gallery holds it, unless a link leads to an example that the filters leave out.
    total = flip_pages.num_flips(pair, asked)
    page = selection.asked_number("page", flip_pages.num_pages(total))
    row = flip_pages.on_page(pair, asked, page, sample_id) or example_facts.row(pair, sample_id)
    if row is None:
        st.info(
            plain(f"There is no example '{sample_id[:200]}' in this evaluation set: go back to the gallery."),
            icon=":material/search_off:",
        )
        return
    st.title(example_detail.KIND_TITLES[row.kind], anchor=False)
    example_detail.draw_example(pair, row, titles, asked)


def walk(pair: Pair, sample_id: str, asked: Asked) -> None:
    """Draw buttons to the gallery and to the examples before and after in its order, across its pages."""
    total = flip_pages.num_flips(pair, asked)
    page = selection.asked_number("page", flip_pages.num_pages(total))
    before, position, after = flip_pages.around(pair, asked, page, sample_id)
    with st.container(horizontal=True, vertical_alignment="center", key="walk"):
        st.button(
            "Gallery", icon=":material/grid_view:", shortcut="Esc", on_click=selection.open_example, args=(None, page)
        )
        for label, icon, key, place in (
            ("Previous", ":material/chevron_left:", "Left", before),
            ("Next", ":material/chevron_right:", "Right", after),
        ):
            st.button(
                label,
                icon=icon,
                shortcut=key,
                disabled=place is None,
                on_click=selection.open_example,
                args=(place.sample_id, place.page) if place else (None, page),
            )
        if position is not None:
            st.caption(f"{count(position)} of {count(total)} {filter_bar.described(asked.filter)}")
        elif total:
            st.caption(f"This example is not among the {filter_bar.described(asked.filter)} of the gallery's page.")


examples()
