"""Everything the views read, behind cached functions. The only place where the app touches the outside world.

Keys are immutable: a file with its modification time, or a model name with a version number. Lists of models and
versions change, so they are kept for seconds only. Failures arrive as PctError; errors are never cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import streamlit as st

from app import labels
from pct_mlops.charts import ClassRates
from pct_mlops.comparison import ClassCounts, Comparison, Estimate, FlipCell, FlipCounts, FlipRow, compare
from pct_mlops.config import PctError, Policy
from pct_mlops.gate import Decision, decide
from pct_mlops.predictions import Predictions

if TYPE_CHECKING:
    from pct_mlops.registry import Registry, Version

PER_PAGE = 24
REFRESH = 15  # seconds until a newly registered version shows


@dataclass(frozen=True)
class FileTable:
    """A Parquet file of predictions; `stamp` is its modification time in nanoseconds."""

    path: str
    stamp: int


@dataclass(frozen=True)
class VersionTable:
    """The test predictions of a registered version."""

    tracking_uri: str | None
    name: str
    version: int


Table = FileTable | VersionTable


@dataclass(frozen=True)
class Pair:
    """The two tables on screen, how to call them, and a Parquet file of images when one was given."""

    old: Table
    new: Table
    old_title: str
    new_title: str
    images: str | None = None


@dataclass(frozen=True)
class Filter:
    """Which flips: `kind` as in Comparison.flips, classes by index, None for any."""

    kind: str = "negative"
    target: int | None = None
    answer: int | None = None


def file_table(path: str | Path) -> FileTable:
    """A key for a file that changes when the file does."""
    try:
        return FileTable(str(path), Path(path).stat().st_mtime_ns)
    except OSError as error:
        raise PctError(f"{path} cannot be read ({error.strerror}): give the path of a prediction table.") from error


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


def table(tracking_uri: str | None, text: str) -> Table:
    """A file, or the version that name@alias or name/3 means now."""
    # Without loading mlflow, which two local files do not need.
    if Path(text).exists() or Path(text).suffix == ".parquet":
        return file_table(text)
    version = registry(tracking_uri).resolve(text)
    return VersionTable(tracking_uri, version.name, version.version)


@st.cache_resource(show_spinner="Reading predictions…", max_entries=32)
def predictions(table: Table) -> Predictions:
    """A handle on the table; a version's file is downloaded once."""
    if isinstance(table, FileTable):
        return Predictions.load(table.path)
    source = registry(table.tracking_uri)
    return Predictions.load(source.predictions(source.get(table.name, table.version)))


@st.cache_resource(show_spinner="Joining the two tables…", max_entries=8)
def _comparison(old: Table, new: Table) -> Comparison:
    return compare(predictions(old), predictions(new))


@st.cache_data
def class_titles(pair: Pair) -> list[str]:
    """How to call each class, by index; no two alike."""
    return labels.unique(predictions(pair.new).info.class_names)


@st.cache_data
def counts(pair: Pair) -> FlipCounts:
    """The 2x2."""
    return _comparison(pair.old, pair.new).counts


@st.cache_data
def estimates(pair: Pair, metrics: tuple[str, ...]) -> dict[str, Estimate]:
    """Metrics by name with their bounds."""
    comparison = _comparison(pair.old, pair.new)
    return {metric: comparison.estimate(metric) for metric in metrics}


@st.cache_data
def class_counts(pair: Pair) -> list[ClassCounts]:
    """The 2x2 of every class."""
    return _comparison(pair.old, pair.new).classes()


@st.cache_data
def class_rates(pair: Pair, classes: tuple[ClassCounts, ...]) -> list[ClassRates]:
    """NFR and PFR with bounds, in the order given."""
    comparison = _comparison(pair.old, pair.new)
    titles = class_titles(pair)
    return [
        ClassRates(
            index=row.index,
            name=titles[row.index],
            support=row.counts.total,
            nfr=comparison.estimate("nfr", class_index=row.index),
            pfr=comparison.estimate("pfr", class_index=row.index),
        )
        for row in classes
    ]


@st.cache_data
def flip_cells(pair: Pair) -> list[FlipCell]:
    """Negative flips by target class and wrong new answer."""
    return _comparison(pair.old, pair.new).flip_matrix()


@st.cache_data(max_entries=500)
def num_flips(pair: Pair, chosen: Filter) -> int:
    """How many examples a filter leaves."""
    comparison = _comparison(pair.old, pair.new)
    return comparison.num_flips(chosen.kind, target=chosen.target, new_prediction=chosen.answer)


def num_pages(total: int) -> int:
    """Pages that so many examples fill."""
    return -(-total // PER_PAGE)


@st.cache_data(max_entries=200)
def flips(pair: Pair, chosen: Filter, sort: str, page: int) -> list[FlipRow]:
    """One page of examples, counted from 1."""
    return _comparison(pair.old, pair.new).flips(
        chosen.kind,
        target=chosen.target,
        new_prediction=chosen.answer,
        sort=sort,
        limit=PER_PAGE,
        offset=PER_PAGE * (page - 1),
    )


@st.cache_data(max_entries=50, show_spinner="Reading images…")
def images(pair: Pair, sample_ids: tuple[str, ...]) -> dict[str, bytes]:
    """PNG bytes of these examples; an example without a stored image is left out."""
    path = _images_file(pair)
    if path is None or not sample_ids:
        return {}
    places = ",".join("?" * len(sample_ids))
    query = f"SELECT sample_id, png FROM read_parquet(?) WHERE sample_id IN ({places}) AND png IS NOT NULL"
    try:
        with duckdb.connect() as connection:
            return dict(connection.execute(query, [str(path), *sample_ids]).fetchall())
    except duckdb.Error as error:
        raise PctError(f"The images in {path} cannot be read: give a Parquet file of sample_id and png.") from error


def _images_file(pair: Pair) -> Path | None:
    if pair.images:
        return Path(pair.images)
    for table in (pair.new, pair.old):
        if isinstance(table, VersionTable):
            found = registry(table.tracking_uri).images(table.name, predictions(table).info.digest)
            if found is not None:
                return found
    return None


@st.cache_data
def _decision(pair: Pair, policy: FileTable) -> Decision:
    return decide(Policy.read(policy.path), _comparison(pair.old, pair.new))


def decision(pair: Pair, policy: str | None) -> Decision | None:
    """What the gate says about this pair under a policy file; None without one."""
    return _decision(pair, file_table(policy)) if policy else None


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


@st.cache_data(ttl=REFRESH)
def floor(pair: Pair) -> str | None:
    """What retraining alone flips on the same examples, in words; None where it was not measured."""
    if not isinstance(pair.new, VersionTable):
        return None
    from pct_mlops.registry import read_floor

    found = read_floor(registry(pair.new.tracking_uri), pair.new.name, predictions(pair.new).info.digest)
    return found.sentence if found else None


def forget() -> None:
    """Drop everything cached, for another try."""
    st.cache_data.clear()
    st.cache_resource.clear()
