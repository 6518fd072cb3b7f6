"""Stores the predictions of a model from the program that trained it, before or after the model is registered."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import ConfigError, RegistryNotFoundError
from pct_mlops.predictions import ReadOptions
from pct_mlops.workflows.tables.attach import Attached, attach, checked_table, store_table

if TYPE_CHECKING:
    from pct_mlops.registry import ModelFiles, Registry

_RUN = re.compile(r"^(?:runs:/)?([0-9a-f]{32})/?\Z")
_MODEL = re.compile(r"^(?:models:/)?(m-[0-9a-f]+)/?\Z")
_HINT = "give a run, what log_model returned, or a version such as 'pets/3'"


def log_predictions(
    target: Any,
    predictions: Any,
    split: str = "test",
    *,
    replace: bool = False,
    tracking_uri: str | None = None,
) -> Attached:
    """Store a prediction table with the model of a run, or with a registered version.

    Versions that are made of the model later carry the table, too.

    Args:
        target: An MLflow run in which one model was logged, what `log_model` returned, a version (MLflow's or ours), or
            the id or address of one of them.
        predictions: A table, the path of a predictions file of any format, or a frame of pandas, polars or Arrow.
        split: Which part of the data the predictions are about.
        replace: Put the table in the place of one that is there. The former one is kept under another name.
        tracking_uri: Of the registry. None means the one that MLflow uses now.

    Returns:
        What was stored, with the digest of the examples in `table.info.digest`.

    Raises:
        PctError: There is no such model, the table is damaged, or another table is there already.

    Example:
        >>> from pct_mlops import Predictions, log_predictions
        >>> logits, names = [[2.0, 0.0], [0.0, 2.0]], ("cat", "dog")
        >>> table = Predictions.from_arrays(["a", "b"], [0, 1], logits, class_names=names, split="test")
        >>> log_predictions("0" * 32, table, tracking_uri="sqlite:///nowhere.db")
        Traceback (most recent call last):
            ...
        pct_mlops.errors.RegistryUnavailableError: There is no registry at sqlite:///nowhere.db: ...
    """
    address = _address(target)
    run, model = _RUN.match(address), _MODEL.match(address)
    if not (run or model):
        return attach(address, predictions, split, replace=replace, tracking_uri=tracking_uri)
    from pct_mlops.registry import Registry, check_logged_model, not_recorded, record_with_model

    table = checked_table(predictions, ReadOptions(split=split))
    registry = Registry(tracking_uri)
    files = _only_model(registry, run[1]) if run else _model(registry, model[1] if model else "")
    words = {"model_name": "", "model_version": "", "model_uri": files.title}
    logged = check_logged_model(registry, files, split)
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        stored = store_table(files, table, split, replace=replace, aside=Path(folder), **words)
    left = record_with_model(registry, files, split, logged)
    notes = (not_recorded(left),) if left else ()
    return dataclasses.replace(stored, notes=(*stored.notes, *notes))


def _address(target: Any) -> str:
    """Return the id or address of what was given: text, or an object of MLflow's or ours that names one."""
    if isinstance(target, str):
        return target
    info = getattr(target, "info", None)
    if isinstance(run_id := getattr(info, "run_id", None), str):
        return run_id
    if hasattr(target, "version") and hasattr(target, "name"):
        return f"models:/{target.name}/{target.version}"
    if isinstance(model_id := getattr(target, "model_id", None), str):
        return model_id
    raise ConfigError(f"Predictions cannot be logged to an object of type {type(target).__name__}: {_HINT}.")


def _only_model(registry: Registry, run_id: str) -> ModelFiles:
    from pct_mlops.registry import logged_models

    found = logged_models(registry, run_id)
    if len(found) != 1:
        many = f"{len(found)} models were" if found else "no model was"
        raise ConfigError(
            f"In run {run_id} {many} logged, and one is needed: log a model there, or give what log_model returned."
        )
    return found[0]


def _model(registry: Registry, model_id: str) -> ModelFiles:
    from pct_mlops.registry import logged_model

    found = logged_model(registry, model_id)
    if found is None:
        raise RegistryNotFoundError(f"There is no logged model {model_id}: {_HINT}.")
    return found
