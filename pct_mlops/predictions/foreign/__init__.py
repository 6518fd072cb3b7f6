"""Reads predictions that other programs wrote, and turns them into tables of this package.

options     what a person may say: columns, class names, split
sources     files and frames -> a DuckDB table or view `raw`, whatever their format
columns     which column of `raw` holds what
classes     the class names, and the class of each label and prediction
convert     checks `raw` and writes it as a Parquet table of ours
"""

from pct_mlops.predictions.foreign.convert import convert_file, convert_frame
from pct_mlops.predictions.foreign.options import ReadOptions
from pct_mlops.predictions.foreign.sources import ENDINGS, is_foreign

__all__ = ["ENDINGS", "ReadOptions", "convert_file", "convert_frame", "is_foreign"]
