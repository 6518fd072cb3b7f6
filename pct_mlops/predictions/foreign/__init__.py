"""Reads predictions that other programs wrote, and turns them into tables of this package.

- `read_options` holds what a person may say: columns, class names and split.
- `open_raw` opens a file or a frame of any format as a DuckDB relation `raw`. `delimited` does it for CSV.
- `columns` finds which column of `raw` holds what.
- `class_indices` settles the class names, and the class of each label and prediction.
- `convert` checks `raw` and writes it as a Parquet table of this package.
"""

from pct_mlops.predictions.foreign.convert import convert_file, convert_frame
from pct_mlops.predictions.foreign.open_raw import ENDINGS, is_foreign
from pct_mlops.predictions.foreign.read_options import ReadOptions

__all__ = ["ENDINGS", "ReadOptions", "convert_file", "convert_frame", "is_foreign"]
