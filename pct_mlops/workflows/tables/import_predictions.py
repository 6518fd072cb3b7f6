"""Turns a file of predictions, whoever wrote it, into a table of this package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pct_mlops.errors import ConfigError
from pct_mlops.predictions import Predictions, ReadOptions
from pct_mlops.workflows.runtime.references import RESULT, open_table


def import_predictions(
    file: Path, options: ReadOptions, *, ids: Path | None = None, model_name: str | None = None, dataset: str = ""
) -> Predictions:
    """Return the table of a file, to be saved. `model_name` is otherwise the file's name without its ending.

    `ids` names a file of one id a line for a .result file, which has none of its own.
    """
    if file.suffix == RESULT:
        from pct_mlops.workflows.runtime.legacy_results import import_result

        return import_result(
            file, classes=options.classes, ids=ids, split=options.split, model_name=model_name, dataset=dataset
        )
    if ids is not None:
        raise ConfigError(
            f"--ids is about .result files, and {file} is none: give {file.name} a column of ids, since examples are "
            "joined by id."
        )
    table = open_table(file, options)
    # A second handle with another info would not do: a temporary table is removed with its first handle.
    table.info = replace(
        table.info,
        model_name=file.stem if model_name is None else model_name,
        dataset=dataset or table.info.dataset,
    )
    return table
