"""Checks what evaluator_config["pct"] holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pct_mlops.config import unknown
from pct_mlops.errors import ConfigError


@dataclass(frozen=True)
class PctOptions:
    """The options in evaluator_config["pct"].

    Attributes:
        baseline: models:/name@alias, any model that mlflow.pyfunc loads, or a predictions file of the same ids.
        class_names: [C], of the evaluated model. Default: those of the baseline's stored predictions, else 0 to C - 1.
        columns: What a baseline file of another program calls its columns, for example {"label": "gold"}.
        classes: Class names in such a file, in the order of its class numbers. Default: those of the file.
        sample_ids: A column of the data, or a list. Default: the data's index, or the position.
        scores: The kind of values that predict returns for each class: logits or probabilities. Default: what those of
            each of the two models look like.
        confidence: The confidence of the bounds.
        batch_size: The number of examples in one call of predict.
        metric_prefix: Text before the name of each metric.
        allow_code: Load a baseline also where that runs code that came with it.
        attach: Store the evaluated model's predictions with the model, as its table of `split`. True, or the version to
            store them with.
        split: The name of the stored table.
        replace: Take the place of a table that is there, which is kept under another name.
    """

    baseline: str
    class_names: Sequence[str] | None = None
    sample_ids: str | Sequence[Any] | None = None
    scores: str | None = None
    confidence: float = 0.95
    batch_size: int = 256
    metric_prefix: str = ""
    allow_code: bool = False
    attach: bool | str = False
    split: str = "test"
    replace: bool = False
    columns: Mapping[str, str] | None = None
    classes: Sequence[str] | None = None

    @classmethod
    def read(cls, given: dict[str, Any]) -> PctOptions:
        """Read and check the options. Raise ConfigError for an unknown key or a wrong value."""
        names = [item.name for item in fields(cls)]
        for name in given:
            if name not in names:
                raise unknown("key of evaluator_config['pct']", name, names)
        config = cls(**given)
        if config.scores not in (None, "logits", "probabilities"):
            raise ConfigError(f"scores should be logits or probabilities, and it is '{config.scores}'.")
        if not isinstance(config.batch_size, int) or config.batch_size < 1:
            raise ConfigError(f"batch_size should be a whole number from 1 up, and it is {config.batch_size}.")
        if not isinstance(config.confidence, float) or not 0.5 < config.confidence < 1:
            raise ConfigError(f"confidence should be a number between 0.5 and 1, and it is {config.confidence}.")
        for name in ("allow_code", "replace"):
            if not isinstance(getattr(config, name), bool):
                raise ConfigError(f"{name} should be True or False, and it is {getattr(config, name)!r}.")
        config._check_reading()
        if not isinstance(config.attach, bool | str) or config.attach == "":
            raise ConfigError(f"attach should be True or a version such as 'pets/3', and it is {config.attach!r}.")
        return config

    def _check_reading(self) -> None:
        """Raise ConfigError where `columns` or `classes` are of the wrong type."""
        columns, classes = self.columns, self.classes
        pairs = columns.items() if isinstance(columns, Mapping) else ()
        if columns is not None and (not pairs or not all(isinstance(text, str) for pair in pairs for text in pair)):
            raise ConfigError(f"columns should be pairs such as {{'label': 'gold'}}, and it is {columns!r}.")
        if classes is not None and (isinstance(classes, str) or not isinstance(classes, Sequence)):
            raise ConfigError(f"classes should be a list of class names, and it is {classes!r}.")
