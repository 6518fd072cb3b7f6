"""Per-example prediction tables: Parquet on disk, DuckDB to read them, joined by sample_id."""

from pct_mlops.predictions.digest import digest_of
from pct_mlops.predictions.foreign.read_options import ReadOptions
from pct_mlops.predictions.schema import SCHEMA_VERSION, TableInfo
from pct_mlops.predictions.table import Predictions
from pct_mlops.predictions.update import STRATEGIES, UpdateRule, default_smoothing, updated

__all__ = [
    "SCHEMA_VERSION",
    "STRATEGIES",
    "Predictions",
    "ReadOptions",
    "TableInfo",
    "UpdateRule",
    "default_smoothing",
    "digest_of",
    "updated",
]
