"""One example, large: its image, what both models thought, its past, its neighbours, and what reviewers say of it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pct_mlops.charts import count
from pct_mlops.comparison import FlipRow
from pct_mlops.explorer.components import example_html, review_form
from pct_mlops.explorer.components.gallery import Tile, TileAnswer, gallery, html_text, image
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import example_facts, example_images, example_texts, pairs
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.state import selection

KIND_TITLES = {
    "negative": "Negative flip",
    "positive": "Positive flip",
    "both_wrong": "Both wrong",
    "both_right": "Both right",
}


def draw_example(pair: Pair, row: FlipRow, titles: list[str]) -> None:
    """The example under the navigation."""
    left, right = st.columns([1, 1.7], gap="large")
    with left:
        draw_image(pair, row, titles)
    with right:
        draw_answers(pair, row, titles)
        if pairs.has_versions(pair):
            st.subheader(
                "What do you say?", anchor=False, help="Marks are kept with the new version; the gate reads them."
            )
            review_form.mark_example(pair, row.sample_id)
    draw_history(pair, row, titles)
    draw_neighbours(pair, row, titles)


def draw_image(pair: Pair, row: FlipRow, titles: list[str]) -> None:
    """Draw the text of the example, and the best image there is as large as the column."""
    png, said = example_images.large(pair, row.sample_id)
    text = example_texts.text_of(pair, row.sample_id)
    alt = f"{titles[row.label]} ({row.sample_id})"
    if text is not None:
        st.html(example_html.example_text(text))
        # Who looks at texts misses no image.
        said = said if png is not None else ""
    if text is None or png is not None:
        st.html(f'{example_html.STYLE}<div class="pct-big">{image(png, alt)}</div>')
    st.html(
        f'<div style="overflow-wrap:anywhere"><b>{html_text(titles[row.label])}</b> is the target<br>'
        f'<span style="opacity:.75;font-size:.85rem">{html_text(row.sample_id)}</span></div>'
    )
    if said:
        st.caption(plain(said))


def draw_answers(pair: Pair, row: FlipRow, titles: list[str]) -> None:
    """Both models side by side: the likeliest classes where logits are stored, else the answer alone."""
    old, new = _titles(pair)
    sides = (
        ("Old", old, pair.old, row.old_prediction, row.old_confidence, row.old_label_confidence),
        ("New", new, pair.new, row.new_prediction, row.new_confidence, row.new_label_confidence),
    )
    num_complete = 0
    for place, (who, title, table, answer, sure, on_target) in zip(st.columns(2, gap="medium"), sides, strict=True):
        known = example_facts.likeliest(pair, table, row.sample_id)
        num_complete += known is not None
        shares: list[tuple[int, float | None]] = [*known] if known is not None else []
        if known is None:
            shares = [(answer, sure)] if answer == row.label else [(answer, sure), (row.label, on_target)]
        with place:
            st.markdown(f"**{who}** · {plain(title)}")
            named = [(titles[index], share) for index, share in shares]
            st.html(example_html.distribution(named, titles[row.label], titles[answer]))
    if num_complete == len(sides):
        st.caption("The five classes that each model finds likeliest. ✓ marks the target, ✗ a wrong answer.")
    else:
        whose = "one of the two, so only its" if num_complete else "either of the two, so only their"
        st.caption(f"No logits are stored for {whose} answer and the target are shown.")


def _titles(pair: Pair) -> tuple[str, str]:
    """How to call the two where there is little room: of one model, by their versions."""
    old, new = pair.old, pair.new
    if isinstance(old, VersionTable) and isinstance(new, VersionTable) and old.name == new.name:
        return f"version {old.version}", f"version {new.version}"
    return pair.old_title, pair.new_title


def draw_history(pair: Pair, row: FlipRow, titles: list[str]) -> None:
    """Right or wrong and how sure, over the versions of the model."""
    newest = example_facts.newest(pair)
    if not newest:
        return
    st.subheader("Over the versions", anchor=False, help="What each version of the model answered to this example.")
    if example_facts.num_examples(pair) > example_facts.SMALL:
        selection.restore_switch("past")
        asked = st.toggle(f"Look it up in {count(len(newest))} versions", key="past")
        selection.remember_switch("past")
        if not asked:
            st.caption("Each version's table is large, so this takes a moment.")
            return
    found = example_facts.example_history(pair, row.sample_id, newest)
    st.html(example_html.past_table(found, titles, example_facts.versions_on_screen(pair)))


def draw_neighbours(pair: Pair, row: FlipRow, titles: list[str]) -> None:
    """The most similar examples by the new model's features."""
    if not example_facts.has_features(pair):
        st.caption("Similar examples are not shown: no features are stored with the new model's predictions.")
        return
    st.subheader("Similar examples", anchor=False, help="The nearest by the new model's features (cosine distance).")
    found = example_facts.neighbours(pair, row.sample_id)
    if not found:
        st.caption("Too many features are stored to look through them here, or this example has none.")
        return
    images, _ = example_images.tiles(pair, [item.sample_id for item in found])
    st.html(gallery([_tile(item, images, titles) for item in found]))


def _tile(item: example_facts.Neighbour, images: dict[str, bytes], titles: Sequence[str]) -> Tile:
    right = item.prediction == item.label
    return Tile(
        sample_id=item.sample_id,
        target=titles[item.label],
        old=None,
        new=TileAnswer(titles[item.prediction], None, right),
        png=images.get(item.sample_id),
        href="?" + selection.query(example=item.sample_id),
    )
