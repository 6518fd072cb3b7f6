"""Updates stored labels with the predictions of a new model, from references or files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pct_mlops.comparison import Comparison, compare
from pct_mlops.errors import ConfigError
from pct_mlops.predictions import Predictions, ReadOptions, UpdateRule, updated
from pct_mlops.workflows.runtime.references import check_columns, is_file, open_source


@dataclass(frozen=True)
class PredictionUpdate:
    """The written table, and two comparisons with the stored labels.

    `replaced` takes every new prediction, and `updated` takes the update.
    """

    table: Predictions
    replaced: Comparison
    updated: Comparison


def update_predictions(
    stored: str,
    new: str,
    output: Path,
    *,
    stored_val: str | None = None,
    new_val: str | None = None,
    rule: UpdateRule,
    smoothing: float | None = None,
    split: str = "test",
    tracking_uri: str | None = None,
    reading: ReadOptions | None = None,
) -> PredictionUpdate:
    """Write the update of `stored` by `new` to `output`. Nothing is written before everything has been checked.

    A version has val predictions of its own. Those of a file must be named with `stored_val` and `new_val`.
    """
    vals = [_val_of(stored, stored_val, "--stored-val"), _val_of(new, new_val, "--new-val")]
    options = replace(reading or ReadOptions(), are_shared=True)
    old_table, new_table = (_open(reference, split, tracking_uri, options) for reference in (stored, new))
    stored_table, answers = (_open(reference, "val", tracking_uri, options) for reference in vals)
    check_columns([old_table, new_table, stored_table, answers], options)
    table = updated(
        old_table,
        new_table,
        stored_val=stored_table,
        new_val=answers,
        rule=rule,
        smoothing=smoothing,
    )
    result = PredictionUpdate(table, compare(old_table, new_table), compare(old_table, table))
    return replace(result, table=table.save(output))


def _open(reference: str, split: str, tracking_uri: str | None, options: ReadOptions) -> Predictions:
    options = replace(options, split=split)
    return open_source(reference, split=split, tracking_uri=tracking_uri, reading=options).predictions


def _val_of(reference: str, named: str | None, option: str) -> str:
    if named is None and is_file(reference):
        raise ConfigError(
            f"{reference} is a file, so it does not show which errors its model makes: "
            f"give the model's predictions on labelled validation data with {option}."
        )
    return named or reference
