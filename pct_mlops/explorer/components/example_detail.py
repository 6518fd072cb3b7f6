"""Draws one example large: its image, both predictions, its history, its neighbours and the marks of reviewers."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pct_mlops.charts import count, printable
from pct_mlops.comparison import FlipRow
from pct_mlops.explorer.components import example_html, example_input, mark_form
from pct_mlops.explorer.components.gallery import Tile, TilePrediction, gallery, html_text, image
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import example_contents, example_facts, example_images
from pct_mlops.explorer.queries.flip_pages import Asked
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.state import selection
from pct_mlops.predictions.example_texts import Content

_LONG_ID = 160  # characters. A longer id scrolls.
KIND_TITLES = {
    "negative": "Negative flip",
    "positive": "Positive flip",
    "both_wrong": "Both wrong",
    "both_right": "Both right",
}


def draw_example(pair: Pair, row: FlipRow, titles: list[str], asked: Asked) -> None:
    """Draw the example below the navigation. `asked` is the selection through which marking it leads."""
    known, problem = example_contents.inputs(pair, [row.sample_id], whole=True)
    content = known.get(row.sample_id)
    # A text needs a wider column than an image.
    left, right = st.columns([1.3, 1.4] if content is not None and content.text else [1, 1.7], gap="large")
    with left:
        draw_input(pair, row, titles, content)
        if problem:
            st.caption(plain(problem))
    with right:
        draw_predictions(pair, row, titles)
        mark_form.mark_example(pair, row.sample_id, asked)
    draw_history(pair, row, titles)
    draw_neighbours(pair, row, titles)


def draw_input(pair: Pair, row: FlipRow, titles: list[str], content: Content | None) -> None:
    """Draw what the models were given: the best image, the text, the row. Below it are the target and the id."""
    png, said = example_images.large(pair, row.sample_id)
    if png is not None or pair.images:
        alt = f"{titles[row.label]} ({row.sample_id})"
        st.html(f'{example_html.STYLE}<div class="pct-big">{image(png, alt)}</div>')
    if png is None and content is None and not said:
        said = example_contents.how_to_show(pair, example_images.NO_IMAGE)
    if content is not None:
        st.html(example_input.whole_input(content))
    st.html(f'<div style="overflow-wrap:anywhere"><b>{html_text(titles[row.label])}</b> is the target</div>')
    # With a button that copies it.
    name = printable(row.sample_id)
    st.code(name, language=None, wrap_lines=True, height=110 if len(name) > _LONG_ID else "content")
    if said:
        st.caption(plain(said))


def draw_predictions(pair: Pair, row: FlipRow, titles: list[str]) -> None:
    """Draw both models side by side.

    Each side shows the five likeliest classes. Without stored logits it shows only the prediction and the target.
    """
    old, new = _titles(pair)
    sides = (
        ("Old", old, pair.old, row.old_prediction, row.old_confidence, row.old_label_confidence),
        ("New", new, pair.new, row.new_prediction, row.new_confidence, row.new_label_confidence),
    )
    if row.old_prediction != row.new_prediction:
        names = (titles[index] for index in (row.old_prediction, row.new_prediction, row.label))
        st.html(example_html.change_line(*names))
    num_complete = 0
    for place, (who, title, table, prediction, sure, on_target) in zip(st.columns(2, gap="medium"), sides, strict=True):
        known = example_facts.likeliest(pair, table, row.sample_id)
        num_complete += known is not None
        shares: list[tuple[int, float | None]] = [*known] if known is not None else []
        if known is None:
            shares = [(prediction, sure)] if prediction == row.label else [(prediction, sure), (row.label, on_target)]
        with place:
            st.markdown(f"**{who}** · {plain(title)}")
            named = [(titles[index], share) for index, share in shares]
            st.html(example_html.distribution(named, titles[row.label], titles[prediction]))
    if num_complete == len(sides):
        st.caption("The five likeliest classes of each model. ✓ marks the target, ✗ a wrong prediction.")
    else:
        whose = "one model, so only its prediction" if num_complete else "either model, so only their predictions"
        st.caption(f"No logits are stored for {whose} and the target are shown.")


def _titles(pair: Pair) -> tuple[str, str]:
    """Return short titles of old and new model: only the version where both are versions of one model."""
    old, new = pair.old, pair.new
    if isinstance(old, VersionTable) and isinstance(new, VersionTable) and old.name == new.name:
        return f"version {old.version}", f"version {new.version}"
    return pair.old_title, pair.new_title


def draw_history(pair: Pair, row: FlipRow, titles: list[str]) -> None:
    """Draw what each version of the model predicted, whether it was right, and its confidence."""
    newest = example_facts.newest(pair)
    if not newest:
        return
    st.subheader("Version by version", anchor=False, help="What each version of the model predicted for this example.")
    if example_facts.num_examples(pair) > example_facts.SMALL:
        selection.restore_switch("past")
        asked = st.toggle(f"Look this example up in {count(len(newest))} versions", key="past")
        selection.remember_switch("past")
        if not asked:
            st.caption("This takes a moment, because the table of each version is large.")
            return
    found = example_facts.example_history(pair, row.sample_id, newest)
    st.html(example_html.past_table(found, titles, example_facts.versions_on_screen(pair)))


def draw_neighbours(pair: Pair, row: FlipRow, titles: list[str]) -> None:
    """Draw the examples whose features of the new model are most similar, with links to them."""
    if not example_facts.has_features(pair):
        st.caption("Similar examples are not shown: no features are stored with the new model's predictions.")
        return
    st.subheader(
        "Similar examples",
        anchor=False,
        help="Nearest by the cosine distance of the new model's features.",
    )
    found = example_facts.neighbours(pair, row.sample_id)
    if not found:
        st.caption("Similar examples are not shown: too many features are stored to search them, or this one has none.")
        return
    ids = [item.sample_id for item in found]
    images, _ = example_images.tiles(pair, ids)
    known, _ = example_contents.inputs(pair, ids)
    st.html(gallery([_tile(item, images, known, titles) for item in found]))


def _tile(
    item: example_facts.Neighbour, images: dict[str, bytes], known: dict[str, Content], titles: Sequence[str]
) -> Tile:
    right = item.prediction == item.label
    return Tile(
        sample_id=item.sample_id,
        target=titles[item.label],
        old=None,
        new=TilePrediction(titles[item.prediction], None, right),
        png=images.get(item.sample_id),
        href="?" + selection.query(example=item.sample_id),
        content=known.get(item.sample_id),
    )
