"""Reads tables, versions and the comparison of the pair on screen, behind cached functions.

Keys are immutable: a file with its modification time, or a model name with a version number. Lists of models and
versions change, so they are cached for seconds only. Failures arrive as PctError, which Streamlit does not cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from pct_mlops.charts import ClassRates
from pct_mlops.comparison import (
    ClassCounts,
    Comparison,
    Estimate,
    FlipCell,
    FlipCounts,
    compare,
    shared_loss,
    unknown_labels_sentence,
)
from pct_mlops.config import Policy
from pct_mlops.errors import PctError, TableError
from pct_mlops.explorer.queries import class_labels
from pct_mlops.predictions import Predictions, ReadOptions
from pct_mlops.reports import class_change_lines
from pct_mlops.workflows.runtime.references import is_file, open_table

if TYPE_CHECKING:
    from pct_mlops.registry import Floor, Registry, Version

REFRESH = 15  # seconds until a newly registered version shows


@dataclass(frozen=True)
class FileTable:
    """A file of predictions, with its modification time in nanoseconds as `stamp`.

    `reading` says how to read the file of another program.
    """

    path: str
    stamp: int
    reading: ReadOptions | None = None


@dataclass(frozen=True)
class VersionTable:
    """The test predictions of a registered version."""

    tracking_uri: str | None
    name: str
    version: int


Table = FileTable | VersionTable


@dataclass(frozen=True)
class Pair:
    """The two tables on screen with their titles.

    Attributes:
        old: Old table.
        new: New table.
        old_title: Title of the old table.
        new_title: Title of the new one.
        images: File or folder of images.
        slices: File of slice columns, which a policy names.
        texts: File with the text or the row of each example.
    """

    old: Table
    new: Table
    old_title: str
    new_title: str
    images: str | None = None
    slices: FileTable | None = None
    texts: FileTable | None = None


@functools.lru_cache(maxsize=256)
def key_text(key: Pair | FileTable | VersionTable) -> str:
    """Return a key as text, made once. Streamlit would take it apart at each of the many lookups of a page."""
    return repr(key)


BY_KEY: dict[str | type[Any], Callable[[Any], Any]] = dict.fromkeys((Pair, FileTable, VersionTable), key_text)


def file_table(path: str | Path, reading: ReadOptions | None = None) -> FileTable:
    """Return a key for a file that changes when the file does, or raise TableError where it cannot be read."""
    try:
        return FileTable(str(path), Path(path).stat().st_mtime_ns, reading)
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror}): give the path of a prediction table.") from error


@st.cache_resource(show_spinner="Opening the registry…")
def registry(tracking_uri: str | None) -> Registry:
    """Open the registry. It is imported here because mlflow takes seconds, and two local files do not need it."""
    from pct_mlops.registry import Registry

    return Registry(tracking_uri)


@st.cache_data(ttl=REFRESH, show_spinner="Listing models…")
def models(tracking_uri: str | None) -> list[str]:
    """Return the names of the registered models."""
    return registry(tracking_uri).models()


@st.cache_resource(ttl=REFRESH, show_spinner="Listing versions…")
def versions(tracking_uri: str | None, name: str) -> list[Version]:
    """Return the versions of a model, the newest first."""
    return registry(tracking_uri).versions(name)


def table_of(tracking_uri: str | None, text: str, reading: ReadOptions | None = None) -> Table:
    """Return the key of a file, or of the version that name@alias or name/3 means now."""
    # Without loading mlflow, which two local files do not need.
    if is_file(text):
        return file_table(text, reading)
    return _resolved(tracking_uri, text)


@st.cache_data(ttl=REFRESH, show_spinner="Opening the registry…")
def _resolved(tracking_uri: str | None, text: str) -> VersionTable:
    version = registry(tracking_uri).resolve(text)
    return VersionTable(tracking_uri, version.name, version.version)


@st.cache_resource(show_spinner="Reading predictions…", max_entries=32, hash_funcs=BY_KEY)
def predictions(table: Table) -> Predictions:
    """Open the table. The file of a version is downloaded once."""
    if isinstance(table, FileTable):
        return open_table(table.path, table.reading)
    source = registry(table.tracking_uri)
    return Predictions.load(source.predictions(source.get(table.name, table.version)))


@st.cache_resource(show_spinner="Joining the two tables…", max_entries=8, hash_funcs=BY_KEY)
def _comparison(old: Table, new: Table, slices: FileTable | None) -> Comparison:
    return compare(predictions(old), predictions(new), slices=Path(slices.path) if slices else None)


# Kept for seconds only: the files that a policy names may change while the policy file does not.
@st.cache_resource(ttl=REFRESH, max_entries=8, show_spinner=False)
def read_policy(file: FileTable) -> Policy:
    """Read a policy with the files that it names, or raise PctError that says what is wrong with it."""
    return Policy.read(file.path)


def policy_slices(path: str | None) -> FileTable | None:
    """Return the file of slice columns that a policy names, or None without one.

    It is None too where the policy cannot be read. The pages with a verdict show that error.
    """
    try:
        slices = read_policy(file_table(path)).slices_path if path else None
        return file_table(slices) if slices else None
    except PctError:
        return None


@st.cache_data(ttl=REFRESH, show_spinner=False, hash_funcs=BY_KEY)
def slices_problem(pair: Pair) -> str | None:
    """Return why the file of slice columns cannot be joined, or None where it is joined or none was given."""
    if pair.slices is None:
        return None
    try:
        _comparison(pair.old, pair.new, pair.slices)
    except PctError as error:
        return str(error)
    return None


def joined_slices(pair: Pair) -> FileTable | None:
    """Return the file of slice columns, or None where it cannot be joined: the rest of the page works without it."""
    return pair.slices if slices_problem(pair) is None else None


def comparison(pair: Pair) -> Comparison:
    """Return the joined pair, which all sessions share."""
    return _comparison(pair.old, pair.new, joined_slices(pair))


def slice_columns(pair: Pair) -> tuple[str, ...]:
    """Return the columns that sort the examples into groups."""
    return comparison(pair).slice_columns


@st.cache_data(max_entries=32, hash_funcs=BY_KEY)
def class_titles(pair: Pair) -> list[str]:
    """Return the title of each class by its index. No two are equal."""
    return class_labels.unique(comparison(pair).new.class_names)


@st.cache_data(max_entries=32, hash_funcs=BY_KEY)
def counts(pair: Pair) -> FlipCounts:
    """Return the 2x2 of the pair."""
    return comparison(pair).counts


@st.cache_data(max_entries=32, hash_funcs=BY_KEY)
def estimates(pair: Pair, metrics: tuple[str, ...]) -> dict[str, Estimate]:
    """Return metric -> its value with bounds."""
    joined = comparison(pair)
    return {metric: joined.estimate(metric) for metric in metrics}


@st.cache_data(max_entries=32)
def class_counts(pair: Pair) -> list[ClassCounts]:
    """Return the 2x2 of every class."""
    return comparison(pair).classes()


@st.cache_data(max_entries=32)
def class_rates(pair: Pair, classes: tuple[ClassCounts, ...]) -> list[ClassRates]:
    """Return NFR, PFR and both accuracies of these classes with bounds, in the order given."""
    joined, titles = comparison(pair), class_titles(pair)
    return [rates_of(joined, row, titles[row.index], class_index=row.index) for row in classes]


def rates_of(joined: Comparison, row: ClassCounts, title: str, **part: Any) -> ClassRates:
    """Return the rates of a part of the examples with bounds. `part` says which part, as for Comparison.estimate."""
    wanted = ("nfr", "pfr", "accuracy_old", "accuracy_new")
    return ClassRates(row.index, title, row.counts.total, *(joined.estimate(metric, **part) for metric in wanted))


@st.cache_data(max_entries=32, hash_funcs=BY_KEY)
def class_change(pair: Pair) -> tuple[str, list[str]]:
    """Return the loss on the classes that the old model knows, and sentences on classes that not both models know.

    Both are empty where both models know the class of every example and no other ones.
    """
    joined = comparison(pair)
    unknown = unknown_labels_sentence(joined)
    return shared_loss(joined), [*class_change_lines(joined), *([unknown] if unknown else [])]


@st.cache_data(max_entries=32)
def flip_cells(pair: Pair) -> list[FlipCell]:
    """Return the numbers of negative flips by target class and wrong new prediction."""
    return comparison(pair).flip_matrix()


def has_versions(pair: Pair) -> bool:
    """Tell whether both sides are registered versions. Only those have reviews and a history."""
    return isinstance(pair.old, VersionTable) and isinstance(pair.new, VersionTable)


def recorded_verdict(pair: Pair) -> str | None:
    """Return the verdict in the tags of the new version, or None unless the gate judged it against this old version."""
    if not (isinstance(pair.new, VersionTable) and isinstance(pair.old, VersionTable)):
        return None
    if pair.new.name != pair.old.name:
        return None
    for version in versions(pair.new.tracking_uri, pair.new.name):
        if version.version == pair.new.version:
            same = version.tags.get("gate.baseline_version") == str(pair.old.version)
            return version.tags.get("gate.verdict") if same else None
    return None


@st.cache_data(ttl=REFRESH, show_spinner=False, hash_funcs=BY_KEY)
def floor_of(pair: Pair) -> Floor | None:
    """Return the floor on the same examples: what retraining alone flips. None where it was not measured."""
    if not isinstance(pair.new, VersionTable):
        return None
    from pct_mlops.registry import read_floor

    # A candidate from a separate model would replace a version of the old model, whose floor was measured.
    name = pair.old.name if isinstance(pair.old, VersionTable) else pair.new.name
    return read_floor(registry(pair.new.tracking_uri), name, predictions(pair.new).info.digest)


def forget_tables() -> None:
    """Clear every cache, so that the page is read again."""
    st.cache_data.clear()
    st.cache_resource.clear()
