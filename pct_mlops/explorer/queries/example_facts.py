"""Cached calls about one example and about the two versions themselves; see store for the rest."""

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
from pct_mlops.explorer.queries.pairs import REFRESH, Pair, Table, VersionTable
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.single import ExamplePrediction, Neighbour, answer, nearest, top_classes

HISTORY = 12  # versions, the newest first: each costs a look into its table
SMALL = 100_000  # examples; the history of larger tables is looked up only when asked for
MAX_EXPORT = 500_000  # examples
OTHER_SET = "no prediction on this evaluation set"
_BATCH = 10_000
# Named, and not taken from the values: the last batch may hold none.
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
    """What one version said of an example; without an `answer`, `problem` says why there is none."""

    version: int
    aliases: tuple[str, ...]
    answer: ExamplePrediction | None
    problem: str = ""


@st.cache_data(max_entries=500, show_spinner=False)
def row(pair: Pair, sample_id: str) -> FlipRow | None:
    """The example, whether its answer changed or not; None when there is none of this id."""
    return pairs.comparison(pair).example(sample_id)


@st.cache_data(max_entries=500, show_spinner=False)
def likeliest(pair: Pair, table: Table, sample_id: str) -> list[tuple[int, float]] | None:
    """Return the five likeliest classes of a table's model; None where no logits are stored."""
    predictions = pairs.predictions(table)
    names = pairs.comparison(pair).new.class_names
    # A file may have the classes in an order of its own.
    place = {name: index for index, name in enumerate(names)}
    own = predictions.info.class_names
    found = top_classes(predictions, sample_id)
    return found and [(index if own == names else place[own[index]], share) for index, share in found]


@st.cache_data(max_entries=200, show_spinner="Looking for similar examples…")
def neighbours(pair: Pair, sample_id: str) -> list[Neighbour] | None:
    """The most similar examples by the new model's features; None where none are stored, or too many."""
    return nearest(pairs.predictions(pair.new), sample_id)


def has_features(pair: Pair) -> bool:
    """Whether the new model's features are stored."""
    return "features" in pairs.predictions(pair.new).info.columns


def num_examples(pair: Pair) -> int:
    """Of the evaluation set."""
    return pairs.predictions(pair.new).info.num_examples


# A version that cannot be read is not asked for again at every click, and not given up for good.
@st.cache_data(ttl=REFRESH, max_entries=200, show_spinner="Looking the example up in the other versions…")
def example_history(pair: Pair, sample_id: str, newest: tuple[int, ...]) -> list[Past]:
    """What these versions of the new table's model said of the example, in the order given."""
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


@st.cache_data(max_entries=5000, show_spinner=False)
def _past(table: VersionTable, like: VersionTable, sample_id: str) -> ExamplePrediction | None:
    predictions = pairs.predictions(table)
    same = predictions.info.digest == pairs.predictions(like).info.digest
    return answer(predictions, sample_id) if same else None


def versions_on_screen(pair: Pair) -> set[int]:
    """Of the new table's model: one or both sides."""
    sides = [table for table in (pair.old, pair.new) if isinstance(table, VersionTable)]
    return {table.version for table in sides if table.name == sides[-1].name}


def newest(pair: Pair) -> tuple[int, ...]:
    """Versions whose history is shown, the newest first, with the two on screen among them."""
    if not isinstance(pair.new, VersionTable):
        return ()
    name, on_screen = pair.new.name, versions_on_screen(pair)
    numbers = [version.version for version in pairs.versions(pair.new.tracking_uri, name)]
    rest = [number for number in numbers if number not in on_screen][: HISTORY - len(on_screen)]
    return tuple(sorted({*rest, *on_screen}, reverse=True))


@st.cache_data(max_entries=50, show_spinner=False)
def changes(pair: Pair) -> tuple[list[Difference], bool]:
    """What differs in recipe and data between the two, and whether both sides carry a recipe to compare."""
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
    # Whoever registers a version writes its recipe: read within bounds.
    return read_yaml(path) if path else None


def _data(table: Table) -> dict[str, object]:
    """What the tables say of their data: the test set, and the set that selected the epoch."""
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
    """The selection's ids as CSV with a header, as a policy's `pinned` file reads them."""
    buffer = io.BytesIO()
    for number, batch in enumerate(_batches(pair, asked)):
        options = pyarrow.csv.WriteOptions(include_header=number == 0)
        pyarrow.csv.write_csv(batch.select(["sample_id"]), buffer, options)
    return buffer.getvalue()


def export_table(pair: Pair, asked: Asked) -> bytes:
    """The selection as Parquet: every column of a flip, classes by name."""
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
