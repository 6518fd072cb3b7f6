"""Builds a prediction table in memory from arrays of any library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pct_mlops.errors import TableError
from pct_mlops.predictions.array_classes import WHAT, ClassIndices, ClassNames, class_indices
from pct_mlops.predictions.arrays import SLAB, checked_ids, checked_vectors, plain_array, to_arrow
from pct_mlops.predictions.arrow_numbers import numbers
from pct_mlops.predictions.foreign.class_indices import log_unknown_labels
from pct_mlops.predictions.schema import (
    SCHEMA_VERSION,
    TableInfo,
    arrow_schema,
    check_slices,
)
from pct_mlops.predictions.scores import ScoreReader


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
    known_classes: Sequence[str] | None,
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
    names = ClassNames.of(class_names, known_classes)
    info, table = build_table(
        sample_ids, given, names, slices, keep_logits=keep_logits, one_hot_logits=len(arrays) != 1
    )
    words: dict[str, Any] = {name: str(about.get(name, "")) for name in _ABOUT}
    info = replace(info, **words)
    if info.known_classes:
        _warn_of_unknown(info, table)
    return info, table


def build_table(
    sample_ids: Sequence[Any],
    given: Given,
    names: ClassNames,
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
    classes = class_indices(arrays, names, arrays[kind].shape[1] if kind else None, ids)
    columns: dict[str, Any] = {"label": classes.label}
    if kind is not None:
        reader = ScoreReader(kind, len(classes.known or classes.names), WHAT)
        columns |= _read_scores(reader, arrays[kind], classes, ids)
        is_one_hot = one_hot_logits and bool(np.isin(arrays[kind], (0, 1)).all())
        stated = reader.stated if is_one_hot else reader.finish()
    else:
        columns["prediction"], stated = classes.prediction, False
        if given.scores is not None:
            columns["confidence"] = _checked_scores(arrays["scores"], ids)
    if given.features is not None:
        columns["features"] = checked_vectors("features", arrays["features"], ids)
    slice_names = check_slices(slices, "the table")
    schema = arrow_schema(
        len(classes.names),
        columns["features"].shape[1] if "features" in columns else 0,
        slice_names,
        logits=keep_logits and "logits" in columns and not classes.known,  # none for a class that the model lacks
        confidence="confidence" in columns,
        label_confidence="label_confidence" in columns,
    )
    columns |= {name: list(slices[name]) for name in slice_names}
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
        slices=slice_names,
        classes_from_data=classes.from_data,
        predictions_stated=stated,
        known_classes=classes.known,
    )
    return info, table


def _warn_of_unknown(info: TableInfo, table: pa.Table) -> None:
    labels = numbers(table["label"].combine_chunks())
    found, counts = np.unique(labels[labels >= len(info.known_classes)], return_counts=True)
    log_unknown_labels(info.title, [info.class_names[label] for label in found], int(counts.sum()))


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


def _read_scores(
    reader: ScoreReader, values: npt.NDArray[Any], classes: ClassIndices, ids: pa.Array
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
