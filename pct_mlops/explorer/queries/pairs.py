"""Everything the views read, behind cached functions. The only place where the app touches the outside world.

Keys are immutable: a file with its modification time, or a model name with a version number. Lists of models and
versions change, so they are kept for seconds only. Failures arrive as PctError; errors are never cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from pct_mlops.charts import ClassRates
from pct_mlops.comparison import ClassCounts, Comparison, Estimate, FlipCell, FlipCounts, compare
from pct_mlops.config import Policy
from pct_mlops.errors import PctError, TableError
from pct_mlops.explorer.queries import class_labels
from pct_mlops.predictions import Predictions, ReadOptions
from pct_mlops.workflows.runtime.references import is_file, open_table

if TYPE_CHECKING:
    from pct_mlops.registry import Floor, Registry, Version

REFRESH = 15  # seconds until a newly registered version shows


@dataclass(frozen=True)
class FileTable:
    """A file of predictions; `stamp` is its modification time in nanoseconds, `reading` how to read a foreign one."""

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
    """The two tables on screen and how to call them; images (a file or a folder) and slices where they are given."""

    old: Table
    new: Table
    old_title: str
    new_title: str
    images: str | None = None
    slices: FileTable | None = None
    texts: FileTable | None = None


def file_table(path: str | Path, reading: ReadOptions | None = None) -> FileTable:
    """Return a key for a file that changes when the file does."""
    try:
        return FileTable(str(path), Path(path).stat().st_mtime_ns, reading)
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror}): give the path of a prediction table.") from error


@st.cache_resource(show_spinner="Opening the registry…")
def registry(tracking_uri: str | None) -> Registry:
    """The connection. Imported here because mlflow takes seconds, and two local files need none of it."""
    from pct_mlops.registry import Registry

    return Registry(tracking_uri)


@st.cache_data(ttl=REFRESH, show_spinner="Listing models…")
def models(tracking_uri: str | None) -> list[str]:
    """Names of the registered models."""
    return registry(tracking_uri).models()


@st.cache_resource(ttl=REFRESH, show_spinner="Listing versions…")
def versions(tracking_uri: str | None, name: str) -> list[Version]:
    """Versions of a model, the newest first."""
    return registry(tracking_uri).versions(name)


def table_of(tracking_uri: str | None, text: str, reading: ReadOptions | None = None) -> Table:
    """Return a file, or the version that name@alias or name/3 means now."""
    # Without loading mlflow, which two local files do not need.
    if is_file(text):
        return file_table(text, reading)
    return _resolved(tracking_uri, text)


@st.cache_data(ttl=REFRESH, show_spinner="Opening the registry…")
def _resolved(tracking_uri: str | None, text: str) -> VersionTable:
    version = registry(tracking_uri).resolve(text)
    return VersionTable(tracking_uri, version.name, version.version)


@st.cache_resource(show_spinner="Reading predictions…", max_entries=32)
def predictions(table: Table) -> Predictions:
    """A handle on the table; a version's file is downloaded once."""
    if isinstance(table, FileTable):
        return open_table(table.path, table.reading)
    source = registry(table.tracking_uri)
    return Predictions.load(source.predictions(source.get(table.name, table.version)))


@st.cache_resource(show_spinner="Joining the two tables…", max_entries=8)
def _comparison(old: Table, new: Table, slices: FileTable | None) -> Comparison:
    return compare(predictions(old), predictions(new), slices=Path(slices.path) if slices else None)


# The files that a policy names may change while its own stays as it is.
@st.cache_resource(ttl=REFRESH, max_entries=8, show_spinner=False)
def read_policy(file: FileTable) -> Policy:
    """A policy with the contents of the files that it names; PctError says what is wrong with it."""
    return Policy.read(file.path)


def policy_slices(path: str | None) -> FileTable | None:
    """The file of slice columns that a policy names; None as well where the policy cannot be read, which others say."""
    try:
        slices = read_policy(file_table(path)).slices_path if path else None
        return file_table(slices) if slices else None
    except PctError:
        return None


@st.cache_data(ttl=REFRESH, show_spinner=False)
def slices_problem(pair: Pair) -> str | None:
    """Why the file of slice columns cannot be joined; None where it is, or none was given."""
    if pair.slices is None:
        return None
    try:
        _comparison(pair.old, pair.new, pair.slices)
    except PctError as error:
        return str(error)
    return None


def joined_slices(pair: Pair) -> FileTable | None:
    """The file of slice columns, where it could be joined: a broken one takes nothing else from the reader."""
    return pair.slices if slices_problem(pair) is None else None


def comparison(pair: Pair) -> Comparison:
    """The joined pair, shared by all sessions."""
    return _comparison(pair.old, pair.new, joined_slices(pair))


def slice_columns(pair: Pair) -> tuple[str, ...]:
    """Columns that sort the examples into groups."""
    return comparison(pair).slice_columns


@st.cache_data(max_entries=32)
def class_titles(pair: Pair) -> list[str]:
    """How to call each class, by index; no two alike."""
    return class_labels.unique(comparison(pair).new.class_names)


@st.cache_data(max_entries=32)
def counts(pair: Pair) -> FlipCounts:
    """The 2x2."""
    return comparison(pair).counts


@st.cache_data(max_entries=32)
def estimates(pair: Pair, metrics: tuple[str, ...]) -> dict[str, Estimate]:
    """Metrics by name with their bounds."""
    joined = comparison(pair)
    return {metric: joined.estimate(metric) for metric in metrics}


@st.cache_data(max_entries=32)
def class_counts(pair: Pair) -> list[ClassCounts]:
    """The 2x2 of every class."""
    return comparison(pair).classes()


@st.cache_data(max_entries=32)
def class_rates(pair: Pair, classes: tuple[ClassCounts, ...]) -> list[ClassRates]:
    """NFR, PFR and both accuracies with bounds, in the order given."""
    joined, titles = comparison(pair), class_titles(pair)
    return [rates_of(joined, row, titles[row.index], class_index=row.index) for row in classes]


def rates_of(joined: Comparison, row: ClassCounts, title: str, **part: Any) -> ClassRates:
    """The rates of a part of the examples, with bounds; `part` says which, as for Comparison.estimate."""
    wanted = ("nfr", "pfr", "accuracy_old", "accuracy_new")
    return ClassRates(row.index, title, row.counts.total, *(joined.estimate(metric, **part) for metric in wanted))


@st.cache_data(max_entries=32)
def flip_cells(pair: Pair) -> list[FlipCell]:
    """Negative flips by target class and wrong new answer."""
    return comparison(pair).flip_matrix()


def has_versions(pair: Pair) -> bool:
    """Whether both sides are registered versions, which reviews and histories belong to."""
    return isinstance(pair.old, VersionTable) and isinstance(pair.new, VersionTable)


def recorded_verdict(pair: Pair) -> str | None:
    """The verdict that the gate wrote on the new version, when it judged against this very old version."""
    if not (isinstance(pair.new, VersionTable) and isinstance(pair.old, VersionTable)):
        return None
    if pair.new.name != pair.old.name:
        return None
    for version in versions(pair.new.tracking_uri, pair.new.name):
        if version.version == pair.new.version:
            same = version.tags.get("gate.baseline_version") == str(pair.old.version)
            return version.tags.get("gate.verdict") if same else None
    return None


@st.cache_data(ttl=REFRESH, show_spinner=False)
def floor_of(pair: Pair) -> Floor | None:
    """What retraining alone flips on the same examples; None where it was not measured."""
    if not isinstance(pair.new, VersionTable):
        return None
    from pct_mlops.registry import read_floor

    # A candidate from a model of its own is to replace a version of the old one's, whose floor was measured.
    name = pair.old.name if isinstance(pair.old, VersionTable) else pair.new.name
    return read_floor(registry(pair.new.tracking_uri), name, predictions(pair.new).info.digest)


def forget_tables() -> None:
    """Drop everything cached, for another try."""
    st.cache_data.clear()
    st.cache_resource.clear()
