"""Reads inputs of examples that are no images: texts and rows, from --texts, from the registry or from the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from pct_mlops.comparison import TextSearch, example_rows
from pct_mlops.comparison.flips import MAX_NEEDLE
from pct_mlops.errors import PctError
from pct_mlops.explorer.queries import example_images, pairs
from pct_mlops.explorer.queries.pairs import BY_KEY, REFRESH, FileTable, Pair, VersionTable
from pct_mlops.predictions.example_texts import TEXT_NAMES, Content, ExampleTexts, open_texts

TILE_TEXT, WHOLE_TEXT = 600, 20_000  # characters that are read of a text for the gallery, and of one alone
TILE_COLUMNS = 6


def inputs(pair: Pair, sample_ids: Sequence[str], *, whole: bool = False) -> tuple[dict[str, Content], str]:
    """Return id -> text and row for the examples of which one is known, and a sentence on what is wrong, or "".

    With `whole` the whole row is read, and far more of the text.
    """
    ids = tuple(sample_ids)
    try:
        texts = source(pair)
        found, problem = (_read(texts, ids, whole), "") if texts is not None and ids else ({}, "")
    except PctError as error:
        texts, found, problem = None, {}, str(error)
    known = {sample_id: _with_slices(found.get(sample_id), row) for sample_id, row in _slice_rows(pair, ids).items()}
    known = {sample_id: content for sample_id, content in known.items() if content.text or content.row}
    if texts is not None and ids and not found:
        which = "this example" if whole else "the examples on this page"
        problem = f"{texts.title} has nothing on {which}: it needs the ids of the predictions."
    return known, problem


def how_to_show(pair: Pair, missing: str) -> str:
    """Return what to do where no input is known. `missing` says so of images, without a full stop at its end."""
    if isinstance(pair.new, VersionTable) or pair.images:
        rows = "'pct explore --texts FILE' shows texts, or the rows of a table."
        return f"{missing}. {example_images.what_to_do(pair)} {rows}"
    return (
        f"{missing}, and no texts: give 'pct explore' --images PATH, or --texts FILE for texts or the rows of a table."
    )


def source(pair: Pair) -> ExampleTexts | None:
    """Return the texts of --texts, else those of the registry, None without any. PctError says why they fail."""
    if pair.texts is not None:
        return _opened(pair.texts)
    for table in (pair.new, pair.old):
        if isinstance(table, VersionTable):
            found = _attached(table.tracking_uri, table.name, pairs.predictions(table).info.digest)
            if found is not None:
                return found
    return None


def search(pair: Pair, needle: str) -> TextSearch | None:
    """Return a search for a part of the text, None where there are no texts or nothing is asked for."""
    needle = needle.strip()[:MAX_NEEDLE]
    return replace(empty, needle=needle) if needle and (empty := _search(pair)) else None


def is_searchable(pair: Pair) -> bool:
    """Tell whether there are texts or rows to search."""
    return _search(pair) is not None


def _search(pair: Pair) -> TextSearch | None:
    try:
        texts = source(pair)
    except PctError:
        return None  # `inputs` says why
    if texts is not None:
        return TextSearch("", texts)
    column = _text_column(pairs.slice_columns(pair))
    return TextSearch("", column=column) if column else None


@st.cache_resource(max_entries=4, show_spinner="Reading texts…")
def _opened(file: FileTable) -> ExampleTexts:
    return open_texts(file.path, file.reading)


# As a resource it is downloaded once. Somebody may attach texts later, hence the ttl.
@st.cache_resource(ttl=REFRESH, show_spinner="Reading texts…")
def _attached(tracking_uri: str | None, name: str, digest: str) -> ExampleTexts | None:
    path = pairs.registry(tracking_uri).texts(name, digest)
    return replace(open_texts(path), title=f"The file of texts of model {name}") if path else None


@st.cache_data(max_entries=100, max_size="64MB", show_spinner="Reading texts…")
def _read(texts: ExampleTexts, sample_ids: tuple[str, ...], whole: bool) -> dict[str, Content]:
    if whole:
        return texts.read(sample_ids, max_text=WHOLE_TEXT)
    return texts.read(sample_ids, max_text=TILE_TEXT, max_columns=TILE_COLUMNS)


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs=BY_KEY)
def _slice_rows(pair: Pair, sample_ids: tuple[str, ...]) -> dict[str, tuple[tuple[str, str], ...]]:
    return example_rows(pairs.comparison(pair), sample_ids)


def _text_column(names: Sequence[str]) -> str | None:
    return next((name for text in TEXT_NAMES for name in names if name.lower() == text), None)


def _with_slices(content: Content | None, row: tuple[tuple[str, str], ...]) -> Content:
    """Add the slice columns of the tables. One that is called like a text is the text where there is no other."""
    content = content or Content()
    column = None if content.text else _text_column([name for name, _ in row])
    if column is not None:
        text = dict(row)[column]
        content = replace(content, text=text[:WHOLE_TEXT], length=len(text))
    there = {name.lower() for name, _ in content.row}
    more = tuple((name, value) for name, value in row if name != column and name.lower() not in there)
    return replace(content, row=content.row + more, num_columns=content.num_columns + len(more))
