"""Per-example prediction tables: Parquet on disk, DuckDB to read them, joined by sample_id."""

from pct_mlops.predictions.schema import SCHEMA_VERSION, TableInfo, digest_of
from pct_mlops.predictions.table import Predictions

__all__ = ["SCHEMA_VERSION", "Predictions", "TableInfo", "digest_of"]
