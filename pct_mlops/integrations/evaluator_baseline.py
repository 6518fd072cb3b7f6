"""Finds the baseline of an evaluation: a file of predictions, a version with its stored table, or any model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import ConfigError, PctError

if TYPE_CHECKING:
    from pct_mlops.integrations.evaluator_options import PctOptions
    from pct_mlops.predictions import Predictions, TableInfo
    from pct_mlops.workflows.runtime.predictors import Predictor


def stored_predictions(config: PctOptions) -> Predictions | None:
    """Return the predictions of a baseline that is a file, else None."""
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.workflows.runtime.references import is_file, open_source

    if not is_file(config.baseline):
        return None
    return open_source(config.baseline, reading=ReadOptions.make(config.columns, config.classes)).predictions


def names_of(info: TableInfo | None) -> tuple[str, ...] | None:
    """Return the class names of the baseline's table, which are taken for those of the evaluated model."""
    if info is not None and info.known_classes:
        raise ConfigError(
            "The baseline's predictions hold labels that it does not know, so they do not tell the classes of the "
            "evaluated model: set class_names to these, in the order of its scores."
        )
    return info.class_names if info is not None else None


def baseline_classes(num_scores: int, classes: Sequence[str], own: Sequence[str] | None) -> Sequence[str] | None:
    """Return the classes of a baseline that knows others than the evaluated model. None: it knows the same ones."""
    if own is not None and len(own) == num_scores and tuple(own) != tuple(classes):
        return own
    if num_scores == len(classes):
        return None
    raise ConfigError(
        f"The model gives scores of {num_scores} classes, but there are {len(classes)} class names: set class_names to "
        "those of the evaluated model."
    )


def load_baseline(uri: str, config: PctOptions, registry: Any) -> Predictor:
    """Load the model of the baseline. Raise PctError where that would run code and `allow_code` is not set."""
    from pct_mlops.workflows.runtime.predictors import load_predictor

    return load_predictor(
        registry.fetch_model(uri),
        uri,
        allow_code=config.allow_code,
        how_to_allow="set allow_code: True in evaluator_config['pct']",
        instead="give a predictions file as the baseline",
    )


def resolved_baseline(reference: str, registry: Any) -> tuple[str, TableInfo | None]:
    """Return the address of one fixed version, which no alias can move, and what its stored table says of itself."""
    from pct_mlops.workflows.runtime.references import version_predictions

    if not registry.is_reference(reference):
        return reference, None
    store = registry.Registry()
    version = store.resolve(reference)
    try:
        return version.uri, version_predictions(store, version, "test").info
    except PctError:
        # The version was registered by another program, so the caller must give the names.
        return version.uri, None
