"""Reads the texts of examples that are stored with a model."""

from __future__ import annotations

import glob
from pathlib import Path

import duckdb
import streamlit as st

from pct_mlops.errors import DataError, PctError
from pct_mlops.explorer.queries.pairs import REFRESH, Pair, VersionTable, predictions, registry
from pct_mlops.predictions import sql

LONGEST = 20_000  # characters of a text that are shown


def text_of(pair: Pair, sample_id: str) -> str | None:
    """Return the text of an example, None where none is stored or it cannot be read."""
    for table in (pair.new, pair.old):
        if not isinstance(table, VersionTable):
            continue
        try:
            path = _texts(table.tracking_uri, table.name, predictions(table).info.digest)
            found = _read(path, sample_id) if path else None
        except PctError:
            continue
        if found is not None:
            return found
    return None


@st.cache_data(max_entries=500, max_size="64MB", show_spinner=False)
def _read(path: Path, sample_id: str) -> str | None:
    query = "SELECT text FROM read_parquet(?) WHERE sample_id = ? LIMIT 1"
    try:
        with sql.connect() as connection:
            row = connection.execute(query, [glob.escape(str(path)), sample_id]).fetchone()
    except duckdb.Error as error:
        raise DataError(f"The texts in {path} cannot be read: attach them again.") from error
    if row is None:
        return None
    text = str(row[0])
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


# One download, however many open their first page at once; a later version may add them.
@st.cache_resource(ttl=REFRESH, show_spinner="Reading texts…")
def _texts(tracking_uri: str | None, name: str, digest: str) -> Path | None:
    return registry(tracking_uri).texts(name, digest)
