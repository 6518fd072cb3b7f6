"""Describes tables that the benchmarks write column by column, without arrays in memory."""

from __future__ import annotations

from collections.abc import Sequence

from pct_mlops.predictions import TableInfo
from pct_mlops.predictions.schema import SCHEMA_VERSION


def table_info(
    version: int,
    class_names: Sequence[str],
    num_examples: int,
    columns: Sequence[str],
    *,
    slices: Sequence[str] = (),
    digest: str = "",
) -> TableInfo:
    """Return the metadata of version 1 (old) or 2 (new) of the model 'bench', on its test split."""
    return TableInfo(
        schema_version=SCHEMA_VERSION,
        model_name="bench",
        model_version=str(version),
        model_uri="",
        dataset="bench",
        split="test",
        class_names=tuple(class_names),
        preprocessing="",
        digest=digest,
        num_examples=num_examples,
        columns=tuple(columns),
        slices=tuple(slices),
    )
