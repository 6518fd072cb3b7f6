"""Turns what a model said into a table of predictions: labels, probabilities or logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import ConfigError, DataError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.scores import are_probabilities

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.workflows.runtime.example_data import Examples

KINDS = ("logits", "probabilities")


@dataclass(frozen=True)
class Said:
    """A model's predictions on all examples: labels [N], or scores [N, C] with the class names that it knows."""

    labels: Sequence[Any] | None = None
    scores: NDArray[np.floating[Any]] | None = None
    classes: tuple[str, ...] | None = None


def join_outputs(parts: Sequence[Any], classes: tuple[str, ...] | None, title: str) -> Said:
    """Join what a model said of the parts of the data.

    Args:
        parts: Frames or arrays in the order of the examples: labels [n], or scores [n, C].
        classes: Names in the order of the scores, as far as the model says.
        title: Name of the model in sentences.

    Returns:
        Labels, or scores.

    Raises:
        DataError: It is neither.
    """
    import numpy as np

    if hasattr(parts[0], "columns"):
        names = tuple(str(name) for name in parts[0].columns)
        parts = [part.to_numpy() for part in parts]
        if len(names) == 1:
            parts = [part[:, 0] for part in parts]
        elif classes is None and any(not name.isdigit() for name in names):
            classes = names
    values = np.concatenate([np.asarray(part) for part in parts])
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2 and values.dtype.kind in "fiu":
        if classes is not None and len(classes) != values.shape[1]:
            classes = None
        return Said(scores=values.astype(np.float64), classes=classes)
    if values.ndim == 1 and (values.dtype.kind in "OUSiub" or _are_whole(values)):
        return Said(labels=[_text(value) for value in values.tolist()], classes=classes)
    raise DataError(
        f"{title} gave values of shape {list(values.shape)} and type {values.dtype}, which are neither labels nor "
        "scores of every class: attach its predictions with 'pct attach' instead."
    )


def table_of_outputs(
    said: Said, examples: Examples, *, classes: Sequence[str] | None, kind: str | None, title: str, **about: str
) -> Predictions:
    """Build the table of a model's predictions.

    Args:
        said: By the model.
        examples: That it was asked about.
        classes: Names in the order of the scores, where somebody gave them. None means those that the model knows.
        kind: "logits" or "probabilities". None means probabilities where every row lies in [0, 1] and sums to 1.
        title: Name of the model in sentences.
        about: Fields of the table's info.

    Returns:
        The table, in memory.

    Raises:
        PctError: The class names are not known, or the scores are not of this kind.
    """
    labels = [_text(value) for value in examples.labels]
    common = {"sample_ids": examples.sample_ids, **about}
    names = tuple(classes) if classes is not None else said.classes
    if said.scores is None:
        if kind is not None:
            raise ConfigError(f"{title} gives labels and no scores: leave --scores out.")
        _check_names(labels, said, names, title)
        return Predictions.from_arrays(labels=labels, predictions=said.labels, class_names=names, **common)  # type: ignore[arg-type]
    names = names or _numbers(labels, said.scores.shape[1], title)
    if len(names) != said.scores.shape[1]:
        raise ConfigError(
            f"{title} gives scores of {said.scores.shape[1]} classes, and {len(names)} names were given: correct "
            "--classes."
        )
    _check_names(labels, said, names, title)
    kind = kind or kind_of_scores(said.scores)
    return Predictions.from_arrays(labels=labels, class_names=names, **{kind: said.scores}, **common)  # type: ignore[arg-type]


def _check_names(labels: Sequence[str], said: Said, names: Sequence[str] | None, title: str) -> None:
    """Raise ConfigError for a label that is a class of the model and has no place among the `names` that were given."""
    # A number may be a class number, which these names stand for.
    lost = sorted(label for label in set(labels) & set(said.classes or ()) - set(names or ()) if not label.isdigit())
    if lost:
        raise ConfigError(
            f"{title} knows the class '{lost[0]}', which --classes does not name: leave --classes out, or name all "
            "classes in the order of its scores."
        )


def _numbers(labels: Sequence[str], number: int, title: str) -> tuple[str, ...]:
    """Return "0" to "C-1" where the labels are numbers. Raise PctError where they are names, whose order is unknown."""
    if all(label.isdigit() and int(label) < number for label in labels):
        return tuple(str(index) for index in range(number))
    raise ConfigError(
        f"{title} gives scores of {number} classes and does not say which is which: name them in this order with "
        "--classes."
    )


def kind_of_scores(scores: NDArray[np.floating[Any]]) -> str:
    """Return "probabilities" where every row of scores [N, C] lies in [0, 1] and sums to 1, else "logits"."""
    return "probabilities" if scores.shape[1] > 1 and bool(are_probabilities(scores).all()) else "logits"


def _are_whole(values: Any) -> bool:
    import numpy as np

    return values.dtype.kind == "f" and bool(np.isfinite(values).all() and (values == np.floor(values)).all())


def _text(value: Any) -> str:
    """Return a class as text: 3.0 is class 3."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode() if isinstance(value, bytes) else str(value)
