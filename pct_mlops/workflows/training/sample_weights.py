"""Reads a weight for each training example from a table that a person made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pct_mlops.config import ObjectiveConfig
from pct_mlops.errors import DataError


def read_weights(path: Path, sample_ids: Sequence[str]) -> list[float]:
    """Read a CSV or Parquet table of sample_id and weight. Return the weights in the order of `sample_ids`.

    Rows of other examples are ignored, so that one table serves several splits.

    Raises:
        PctError: The table cannot be read, lacks an example or names it twice, or holds a weight that is not >= 0.
    """
    import duckdb

    from pct_mlops.losses import align_weights
    from pct_mlops.predictions import sql

    if not path.is_file():
        raise DataError(f"There is no table of weights {path}: give a CSV or Parquet file of sample_id and weight.")
    reader = "read_parquet(?)" if path.suffix == ".parquet" else "read_csv(?, header = true, all_varchar = true)"
    query = f"SELECT sample_id::VARCHAR, weight::VARCHAR FROM {reader}"
    try:
        with sql.connect() as connection:
            rows = connection.execute(query, [str(path)]).fetchall()
    except duckdb.Error as error:
        first = str(error).strip().split("\n", 1)[0]
        raise DataError(f"{path} cannot be read as a table of sample_id and weight ({first}): correct it.") from error
    table = {key: _number(text) for key, text in rows}
    bad = next((key for key, value in table.items() if not 0 <= value < math.inf), None)
    if bad is not None or len(table) != len(rows):
        what = f"{bad} has no finite weight >= 0" if bad is not None else "a sample_id comes twice"
        raise DataError(f"In the table of weights {path} {what}: correct it.")
    return align_weights(table, sample_ids)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def tables_of(config: ObjectiveConfig) -> list[Path]:
    """Return the paths of the weight tables that an objective names."""
    focus = config.focus or {}
    named = focus.get("table") if focus.get("name") == "likelihood" else None
    return [Path(str(path)) for path in (named, config.ce_weights) if path is not None]


def with_tables_read(config: ObjectiveConfig, sample_ids: Sequence[str]) -> tuple[ObjectiveConfig, list[float] | None]:
    """Return the objective with the weights of focus `likelihood` in place of their table, and cross-entropy's weights.

    The latter are None where the objective names no table for them.
    """
    focus: dict[str, Any] | None = config.focus
    if focus and focus.get("name") == "likelihood" and "table" in focus:
        kept = {key: value for key, value in focus.items() if key != "table"}
        focus = {**kept, "weights": read_weights(Path(str(focus["table"])), sample_ids)}
    ce = None if config.ce_weights is None else read_weights(config.ce_weights, sample_ids)
    return config.model_copy(update={"focus": focus}), ce
