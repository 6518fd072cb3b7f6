"""Builds a prediction table in memory from arrays of any library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pct_mlops.errors import TableError
from pct_mlops.predictions.arrays import SLAB, checked_ids, checked_labels, checked_vectors, plain_array, to_arrow
from pct_mlops.predictions.foreign.class_indices import Classes, NoClassError, settle_classes
from pct_mlops.predictions.schema import (
    SCHEMA_VERSION,
    TableInfo,
    arrow_schema,
    check_class_names,
    check_slices,
)
from pct_mlops.predictions.scores import ScoreReader

WHAT = "The table"


class Given(NamedTuple):
    """The arrays of a table as the caller gave them, None for those that were not given."""

    labels: Any
    predictions: Any = None
    probabilities: Any = None
    logits: Any = None
    scores: Any = None
    features: Any = None

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was given as numpy arrays, by name."""
        return {name: plain_array(name, value) for name, value in self._asdict().items() if value is not None}


_ABOUT = ("model_name", "model_version", "model_uri", "dataset", "split", "preprocessing")


def build_from_call(
    arrays: Sequence[Any],
    given: Given,
    sample_ids: Sequence[Any] | None,
    class_names: Sequence[str] | None,
    *,
    slices: Mapping[str, Sequence[str | None]],
    keep_logits: bool,
    about: Mapping[str, Any],
) -> tuple[TableInfo, pa.Table]:
    """Return a table without a digest from the arguments of `Predictions.from_arrays`, which says what they are."""
    wrong = [name for name in about if name not in _ABOUT]
    if wrong or len(arrays) > 3:
        raise TypeError(f"from_arrays does not take {wrong[0] if wrong else f'{len(arrays)} arrays without a name'}.")
    if len(arrays) == 1:
        given = given._replace(labels=arrays[0])
    elif arrays:
        sample_ids, given = arrays[0], given._replace(**dict(zip(("labels", "logits"), arrays[1:], strict=False)))
    if given.labels is None:
        raise TableError("There are no labels: give the class of each example.")
    if sample_ids is None:
        raise TableError("There are no sample_ids: name every example, since tables are joined by id, never by order.")
    # Calls in the old order were allowed to make up logits for models of which only predictions are known.
    made = build_table(sample_ids, given, class_names, slices, keep_logits=keep_logits, one_hot_logits=len(arrays) != 1)
    named: dict[str, Any] = {name: str(about.get(name, "")) for name in _ABOUT}
    return replace(made[0], **named), made[1]


def build_table(
    sample_ids: Sequence[Any],
    given: Given,
    class_names: Sequence[str] | None,
    slices: Mapping[str, Sequence[str | None]],
    *,
    keep_logits: bool,
    one_hot_logits: bool,
) -> tuple[TableInfo, pa.Table]:
    """Return a table without a digest and without names of model and data. Raise PctError for what does not fit.

    With `one_hot_logits`, logits that hold only 0 and 1 are not refused as probabilities.
    """
    arrays = given.arrays()
    ids = _check_lengths(sample_ids, {**arrays, **slices})
    kind = _kind_of(given)
    if kind is not None:
        arrays[kind] = checked_vectors(kind, arrays[kind], ids, keep=kind == "probabilities")
    classes = _classes(arrays, class_names, arrays[kind].shape[1] if kind else None, ids)
    columns: dict[str, Any] = {"label": classes.label}
    if kind is not None:
        reader = ScoreReader(kind, len(classes.names), WHAT)
        columns |= _read_scores(reader, arrays[kind], classes, ids)
        is_one_hot = one_hot_logits and bool(np.isin(arrays[kind], (0, 1)).all())
        stated = reader.stated if is_one_hot else reader.finish()
    else:
        columns["prediction"], stated = classes.prediction, False
        if given.scores is not None:
            columns["confidence"] = _checked_scores(arrays["scores"], ids)
    if given.features is not None:
        columns["features"] = checked_vectors("features", arrays["features"], ids)
    names = check_slices(slices, "the table")
    schema = arrow_schema(
        len(classes.names),
        columns["features"].shape[1] if "features" in columns else 0,
        names,
        logits=keep_logits and "logits" in columns,
        confidence="confidence" in columns,
        label_confidence="label_confidence" in columns,
    )
    columns |= {name: list(slices[name]) for name in names}
    table = pa.table([ids] + [to_arrow(columns[f.name], f.type) for f in list(schema)[1:]], schema=schema)
    info = TableInfo(
        schema_version=SCHEMA_VERSION,
        model_name="",
        model_version="",
        model_uri="",
        dataset="",
        split="",
        class_names=classes.names,
        preprocessing="",
        digest="",
        num_examples=table.num_rows,
        columns=tuple(schema.names),
        slices=names,
        classes_from_data=classes.from_data,
        predictions_stated=stated,
    )
    return info, table


class _Indices(NamedTuple):
    """Class names, and the class index of every label and, where they were given, every prediction."""

    names: tuple[str, ...]
    label: npt.NDArray[np.int32]
    prediction: npt.NDArray[np.int32] | None
    from_data: bool


def _check_lengths(sample_ids: Sequence[Any], arrays: Mapping[str, Any]) -> pa.Array:
    for name, value in arrays.items():
        shown = "label" if name == "labels" else name
        if len(value) != len(sample_ids):
            raise TableError(f"There are {len(sample_ids)} sample_ids but {len(value)} rows of {shown}: give one each.")
    return checked_ids(sample_ids)


def _kind_of(given: Given) -> str | None:
    """Return which scores of every class were given. Raise PctError for two kinds, or for no prediction at all."""
    kinds = [name for name in ("probabilities", "logits", "scores") if getattr(given, name) is not None]
    if len(kinds) > 1:
        raise TableError(f"Both {kinds[0]} and {kinds[1]} are given: give one of them.")
    if given.predictions is None and kinds in ([], ["scores"]):
        raise TableError(
            "There are no predictions: give predictions (with scores as their confidences), or probabilities or logits "
            "of every class."
        )
    return kinds[0] if kinds and kinds != ["scores"] else None


def _classes(
    arrays: Mapping[str, npt.NDArray[Any]], class_names: Sequence[str] | None, num_scores: int | None, ids: pa.Array
) -> _Indices:
    """Return class indices. Whole numbers are indices, and anything else is looked up among the class names."""
    names = None if class_names is None else tuple(map(str, class_names))
    if names is not None:
        check_class_names(names, written=False)
        if num_scores is not None and (not names or num_scores != len(names)):
            kind = "logits" if "logits" in arrays else "probabilities"
            raise TableError(f"{kind} have {num_scores} classes, but there are {len(names)} class names.")
    columns = {"label": arrays["labels"]}
    if "predictions" in arrays:
        columns["prediction"] = arrays["predictions"]
    if names is not None and "True" not in names:
        columns = {name: value.astype(int) if value.dtype.kind == "b" else value for name, value in columns.items()}
    texts = {name: value for name, value in columns.items() if value.dtype.kind not in "iuf"}
    if names is None or texts:
        settled, values = _settled(columns, names, num_scores, ids)
        return _Indices(
            settled.names,
            _looked_up(values["label"], settled.indices["label"]),
            _looked_up(values["prediction"], settled.indices["prediction"]) if "prediction" in values else None,
            settled.from_data,
        )
    found = {name: checked_labels(name.capitalize(), value, len(names)) for name, value in columns.items()}
    return _Indices(names, found["label"], found.get("prediction"), False)


Split = tuple[npt.NDArray[Any], npt.NDArray[np.intp]]


def _settled(
    columns: Mapping[str, npt.NDArray[Any]], names: Sequence[str] | None, num_scores: int | None, ids: pa.Array
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
        return settle_classes(WHAT, texts, names, num_scores), values
    except NoClassError as error:
        unique, places = values[error.column]
        name = ids[int(np.argmax(unique[places] == error.value))].as_py()
        raise TableError(
            f"The {error.column} '{error.value}' of '{name}' is no class of {', '.join(error.names[:5])}: "
            "list all classes in class_names, one for rejected examples too."
        ) from None


def _looked_up(split: Split, indices: Mapping[str, int]) -> npt.NDArray[np.int32]:
    unique, places = split
    return np.array([indices[str(value)] for value in unique], np.int32)[places]


def _read_scores(
    reader: ScoreReader, values: npt.NDArray[Any], classes: _Indices, ids: pa.Array
) -> dict[str, npt.NDArray[Any]]:
    """Read scores in slabs, so that float64 copies stay small."""
    step, parts = max(SLAB // values.shape[1], 1), []
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        said = None if classes.prediction is None else classes.prediction[part]
        parts.append(reader.of_arrays(values[part], classes.label[part], said, ids[part]))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _checked_scores(scores: npt.NDArray[Any], ids: pa.Array) -> npt.NDArray[np.float32]:
    if scores.ndim != 1:
        raise TableError(
            f"scores have shape {list(scores.shape)}, and are one number an example, the confidence in its prediction: "
            "give the scores of every class as probabilities or logits."
        )
    wrong = ~((scores >= -1e-6) & (scores <= 1 + 1e-6))
    if wrong.any():
        raise TableError(f"The score of '{ids[int(np.argmax(wrong))].as_py()}' is outside 0 to 1: give a probability.")
    return scores.clip(0, 1).astype(np.float32)
