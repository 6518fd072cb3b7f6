"""Reads facts on one example, cached, and what differs between the two versions. Exports a selection."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import streamlit as st

from pct_mlops.comparison import FlipRow
from pct_mlops.config import PctError
from pct_mlops.config.base import read_yaml
from pct_mlops.config.difference import Difference, differences
from pct_mlops.explorer.queries import flip_pages, pairs
from pct_mlops.explorer.queries.flip_pages import Asked
from pct_mlops.explorer.queries.pairs import BY_KEY, REFRESH, Pair, Table, VersionTable
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.single import (
    ExamplePrediction,
    Neighbour,
    every_prediction,
    nearest,
    prediction_in,
    prediction_of,
    top_classes,
)

HISTORY = 12  # most versions of an example's history: the table of each must be read
SMALL = 100_000  # examples; in larger tables the history is looked up only on request
MAX_EXPORT = 500_000  # most examples of a file
OTHER_SET = "no prediction on this evaluation set"
_BATCH = 10_000
# The types are named, because a batch without examples has no values to take them from.
EXPORTED = pa.schema(
    [
        *((name, pa.string()) for name in ("sample_id", "label", "old_prediction", "new_prediction")),
        *((f"{side}_confidence", pa.float64()) for side in ("old", "new")),
        *((f"{side}_label_confidence", pa.float64()) for side in ("old", "new")),
        ("kind", pa.string()),
    ]
)
_INFO = ("dataset", "split", "preprocessing", "num_examples", "digest")


@dataclass(frozen=True)
class Past:
    """The prediction of one version for an example as `answer`, or the reason why there is none as `problem`."""

    version: int
    aliases: tuple[str, ...]
    answer: ExamplePrediction | None
    problem: str = ""


@st.cache_data(max_entries=500, show_spinner=False, hash_funcs=BY_KEY)
def row(pair: Pair, sample_id: str) -> FlipRow | None:
    """Return the example, whether its prediction changed or not, or None when no example has this id."""
    return pairs.comparison(pair).example(sample_id)


@st.cache_data(max_entries=500, show_spinner=False, hash_funcs=BY_KEY)
def likeliest(pair: Pair, table: Table, sample_id: str) -> list[tuple[int, float]] | None:
    """Return (class, probability) of the five likeliest classes, or None where no logits are stored."""
    predictions = pairs.predictions(table)
    names = pairs.comparison(pair).new.class_names
    # A file may have the classes in an order of its own.
    place = {name: index for index, name in enumerate(names)}
    own = predictions.info.class_names
    found = top_classes(predictions, sample_id)
    return found and [(index if own == names else place[own[index]], share) for index, share in found]


@st.cache_data(max_entries=200, show_spinner="Looking for similar examples…", hash_funcs=BY_KEY)
def neighbours(pair: Pair, sample_id: str) -> list[Neighbour] | None:
    """Return the examples with the most similar features of the new model, or None with none or too many stored."""
    return nearest(pairs.predictions(pair.new), sample_id)


def has_features(pair: Pair) -> bool:
    """Tell whether the new model's features are stored."""
    return "features" in pairs.predictions(pair.new).info.columns


def num_examples(pair: Pair) -> int:
    """Return the number of examples of the evaluation set."""
    return pairs.predictions(pair.new).info.num_examples


# A failure is cached too, but for seconds: a version that cannot be read is not read again at every click.
@st.cache_data(
    ttl=REFRESH, max_entries=200, show_spinner="Looking the example up in the other versions…", hash_funcs=BY_KEY
)
def example_history(pair: Pair, sample_id: str, newest: tuple[int, ...]) -> list[Past]:
    """Return the predictions of these versions of the new model for the example, in the order given."""
    assert isinstance(pair.new, VersionTable)
    uri, name = pair.new.tracking_uri, pair.new.name
    aliases = {version.version: version.aliases for version in pairs.versions(uri, name)}
    found = []
    for number in newest:
        try:
            said, problem = _past(VersionTable(uri, name, number), pair.new, sample_id), OTHER_SET
        except PctError as error:
            said, problem = None, str(error)
        found.append(Past(number, aliases.get(number, ()), said, "" if said else problem))
    return found


@st.cache_data(max_entries=5000, show_spinner=False, hash_funcs=BY_KEY)
def _past(table: VersionTable, like: VersionTable, sample_id: str) -> ExamplePrediction | None:
    predictions = pairs.predictions(table)
    if predictions.info.digest != pairs.predictions(like).info.digest:
        return None
    if predictions.info.num_examples > SMALL:
        return prediction_of(predictions, sample_id)
    return prediction_in(_every_prediction(table), sample_id)


# The arrow keys ask for one example after the other, in the tables of up to HISTORY versions each time.
@st.cache_resource(max_entries=2 * HISTORY, show_spinner=False, hash_funcs=BY_KEY)
def _every_prediction(table: VersionTable) -> pa.Table:
    return every_prediction(pairs.predictions(table))


def versions_on_screen(pair: Pair) -> set[int]:
    """Return the versions on screen that belong to the model of the new table: one or both."""
    sides = [table for table in (pair.old, pair.new) if isinstance(table, VersionTable)]
    return {table.version for table in sides if table.name == sides[-1].name}


def newest(pair: Pair) -> tuple[int, ...]:
    """Return the versions that the history shows, the newest first, with those on screen among them."""
    if not isinstance(pair.new, VersionTable):
        return ()
    name, on_screen = pair.new.name, versions_on_screen(pair)
    numbers = [version.version for version in pairs.versions(pair.new.tracking_uri, name)]
    rest = [number for number in numbers if number not in on_screen][: HISTORY - len(on_screen)]
    return tuple(sorted({*rest, *on_screen}, reverse=True))


@st.cache_data(max_entries=50, show_spinner=False)
def changes(pair: Pair) -> tuple[list[Difference], bool]:
    """Return what differs in recipe and data between the two, and whether both sides have a recipe to compare."""
    old, new = (_recipe(table) for table in (pair.old, pair.new))
    data = differences(*(_data(table) for table in (pair.old, pair.new)))
    if old is None or new is None:
        return data, False
    return differences(old, new) + data, True


def _recipe(table: Table) -> dict[str, Any] | None:
    if not isinstance(table, VersionTable):
        return None
    registry = pairs.registry(table.tracking_uri)
    path = registry.download(registry.get(table.name, table.version), "recipe.yaml")
    # Anyone who registers a version writes its recipe, so it is read with limits on its size.
    return read_yaml(path) if path else None


def _data(table: Table) -> dict[str, object]:
    """Return what is known of the test set, the teacher, and the validation set that selected the epoch."""
    info = pairs.predictions(table).info
    found: dict[str, object] = {f"evaluation.{name}": getattr(info, name) for name in _INFO}
    if isinstance(table, VersionTable):
        registry = pairs.registry(table.tracking_uri)
        version = registry.get(table.name, table.version)
        found |= {
            f"training.{key.removeprefix('pct.')}": version.tags[key]
            for key in ("pct.teacher",)
            if version.tags.get(key)
        }
        path = registry.download(version, "predictions/val.parquet")
        val = Predictions.load(path).info if path else None
        found |= {f"validation.{name}": getattr(val, name) for name in ("num_examples", "digest") if val}
    return {key: str(value)[:12] if key.endswith("digest") else value for key, value in found.items()}


def export_ids(pair: Pair, asked: Asked) -> bytes:
    """Return the ids of the selection as CSV with a header, which a policy can name as its `pinned` file."""
    buffer = io.BytesIO()
    for number, batch in enumerate(_batches(pair, asked)):
        options = pyarrow.csv.WriteOptions(include_header=number == 0)
        pyarrow.csv.write_csv(batch.select(["sample_id"]), buffer, options)
    return buffer.getvalue()


def export_table(pair: Pair, asked: Asked) -> bytes:
    """Return the selection as Parquet: every column of a flip, with classes by name."""
    buffer, writer = io.BytesIO(), None
    for batch in _batches(pair, asked):
        writer = writer or pq.ParquetWriter(buffer, batch.schema, compression="zstd")
        writer.write_table(batch)
    if writer:
        writer.close()
    return buffer.getvalue()


def _batches(pair: Pair, asked: Asked) -> Iterator[pa.Table]:
    names = pairs.comparison(pair).new.class_names
    for start in range(0, MAX_EXPORT, _BATCH):
        rows = flip_pages.some_flips(pair, asked, limit=_BATCH, offset=start)
        values = {name: [getattr(item, name) for item in rows] for name in EXPORTED.names}
        for name in ("label", "old_prediction", "new_prediction"):
            values[name] = [names[index] for index in values[name]]
        yield pa.table(values, schema=EXPORTED)
        if len(rows) < _BATCH:
            return
