"""Settles the class names of arrays in memory, and the class index of each label and prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pct_mlops.config import unknown
from pct_mlops.errors import TableError
from pct_mlops.predictions.arrays import checked_labels
from pct_mlops.predictions.foreign.class_indices import Classes, NoClassError, settle_classes
from pct_mlops.predictions.foreign.read_options import checked_names
from pct_mlops.predictions.schema import check_class_names

WHAT = "The table"
Split = tuple[npt.NDArray[Any], npt.NDArray[np.intp]]


class ClassNames(NamedTuple):
    """Class names by class number, and those of the scores in their order. None: not given."""

    by_number: tuple[str, ...] | None
    known: tuple[str, ...] | None

    @classmethod
    def of(cls, class_names: Sequence[str] | None, known_classes: Sequence[str] | None) -> ClassNames:
        """Check names as the caller gave them. Raise PctError for a known class that is none of the class names."""
        names, known = (None if given is None else tuple(map(str, given)) for given in (class_names, known_classes))
        for given in (names, known):
            check_class_names(given or (), written=False)
        if known is not None:
            known, names = checked_names(known, "known_classes"), names and checked_names(names, "class_names")
            other = [name for name in known if names is not None and name not in names]
            if other:
                raise unknown("class in known_classes", other[0], list(names or ()))
        return cls(names, known)

    @property
    def num_known(self) -> int | None:
        """Number of classes that the model can predict, None where that is not given."""
        given = self.by_number if self.known is None else self.known
        return None if given is None else len(given)


class ClassIndices(NamedTuple):
    """Class names, and the class index of every label and, where they were given, every prediction.

    `known` are the first of the names, which the model can predict. It is empty where it can predict all of them.
    """

    names: tuple[str, ...]
    label: npt.NDArray[np.int32]
    prediction: npt.NDArray[np.int32] | None
    from_data: bool = False
    known: tuple[str, ...] = ()


def class_indices(
    arrays: Mapping[str, npt.NDArray[Any]], names: ClassNames, num_scores: int | None, ids: pa.Array
) -> ClassIndices:
    """Return class indices. Whole numbers are indices, and anything else is looked up among the class names."""
    if names.num_known is not None and num_scores is not None and num_scores != names.num_known:
        kind = "logits" if "logits" in arrays else "probabilities"
        which = "class names: name those that have scores in known_classes" if names.known is None else "known_classes"
        raise TableError(f"{kind} have {num_scores} classes, but there are {names.num_known} {which}.")
    columns = {"label": arrays["labels"]}
    if "predictions" in arrays:
        columns["prediction"] = arrays["predictions"]
    if names.by_number is not None and "True" not in names.by_number:
        columns = {name: value.astype(int) if value.dtype.kind == "b" else value for name, value in columns.items()}
    texts = {name: value for name, value in columns.items() if value.dtype.kind not in "iuf"}
    if names.by_number is None or texts:
        settled, values = _settled(columns, names, num_scores, ids)
        return ClassIndices(
            settled.names,
            _looked_up(values["label"], settled.indices["label"]),
            _looked_up(values["prediction"], settled.indices["prediction"]) if "prediction" in values else None,
            settled.from_data,
            settled.known,
        )
    found = {name: checked_labels(name.capitalize(), value, len(names.by_number)) for name, value in columns.items()}
    if names.known not in (None, names.by_number):
        return _in_model_order(found, names.by_number, names.known, ids)
    return ClassIndices(names.by_number, found["label"], found.get("prediction"))


def _in_model_order(
    found: Mapping[str, npt.NDArray[np.int32]], by_number: Sequence[str], known: tuple[str, ...], ids: pa.Array
) -> ClassIndices:
    """Return class indices in the order of the model's classes, with those that it does not know behind them."""
    together = tuple(dict.fromkeys((*known, *by_number)))
    place_of = {name: place for place, name in enumerate(together)}
    places = np.array([place_of[name] for name in by_number], np.int32)
    label, prediction = places[found["label"]], places[found["prediction"]] if "prediction" in found else None
    if (label >= len(known)).all():
        raise TableError(f"{WHAT} has no label that the model knows: correct known_classes, which are {_some(known)}.")
    if prediction is not None and (prediction >= len(known)).any():
        row = int(np.argmax(prediction >= len(known)))
        raise TableError(
            f"The prediction '{together[prediction[row]]}' of '{ids[row].as_py()}' is no class of {_some(known)}: list "
            "all classes that the model can predict in known_classes."
        )
    return ClassIndices(together, label, prediction, known=known if len(known) < len(together) else ())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _settled(
    columns: Mapping[str, npt.NDArray[Any]], names: ClassNames, num_scores: int | None, ids: pa.Array
) -> tuple[Classes, dict[str, Split]]:
    """Return the classes of labels and predictions, and the different values of either with where each one stands."""
    for name, value in columns.items():
        if value.dtype.kind == "f":
            checked_labels(name.capitalize(), value, 1)
        if value.ndim != 1:
            raise TableError(
                f"The {name}s have shape {list(value.shape)}, and each example has one: for several labels an example, "
                "build a table for each label."
            )
    values: dict[str, Split] = {}
    for name, value in columns.items():
        empty = [place for place, item in enumerate(value) if item is None] if value.dtype.kind == "O" else []
        if empty:
            raise TableError(f"The {name} of '{ids[empty[0]].as_py()}' is missing: give one, or leave the example out.")
        values[name] = np.unique(value.astype(str), return_inverse=True)
    try:
        texts = {name: list(map(str, unique)) for name, (unique, _) in values.items()}
        return settle_classes(WHAT, texts, names.by_number, num_scores, names.known), values
    except NoClassError as error:
        unique, places = values[error.column]
        name = ids[int(np.argmax(unique[places] == error.value))].as_py()
        end = error.sentence_end("list all classes in class_names")
        raise TableError(f"The {error.column} '{error.value}' of '{name}' {end}") from None


def _looked_up(split: Split, indices: Mapping[str, int]) -> npt.NDArray[np.int32]:
    unique, places = split
    return np.array([indices[str(value)] for value in unique], np.int32)[places]
