"""Reads result files of the original code: {pred [N], gt [N], outputs [N, C], features [N, D] or absent}.

torch.save wrote them. They are read only by torch's restricted unpickler, which builds tensors, numpy arrays and plain
containers. It refuses everything else, so a file cannot run code.
"""

from __future__ import annotations

import os
import tempfile
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pct_mlops.config.texts import read_text
from pct_mlops.errors import TableError
from pct_mlops.predictions import Predictions, ReadOptions
from pct_mlops.workflows.runtime.model_outputs import kind_of_scores

MAX_LINES_BYTES = 1024**3  # 10^7 ids of the length of a path


class Result(NamedTuple):
    """Labels int64 [N], outputs float32 [N, C] and perhaps features float32 [N, D]."""

    labels: NDArray[np.int64]
    outputs: NDArray[np.float32]
    features: NDArray[np.float32] | None


def import_result(
    path: Path,
    *,
    classes: Sequence[str] | None = None,
    ids: Path | None = None,
    split: str = "test",
    model_name: str | None = None,
    dataset: str = "",
) -> Predictions:
    """Read a result file into a table that stays in memory until it is saved.

    Args:
        path: The result file.
        classes: The class names in order. The default names are "0", "1" and so on.
        ids: A text file with one sample_id a line. The default ids are `split/000000` and so on.
        split: The split that the examples are of.
        model_name: The name of the model. By default it is the file's name without its ending.
        dataset: The name of the data set.

    Raises:
        TableError: The file is damaged or contradicts itself, or the names or ids do not fit it.
    """
    result = read_result(path)
    num_examples, num_classes = result.outputs.shape
    names = [str(i) for i in range(num_classes)] if classes is None else list(classes)
    if len(names) != num_classes:
        raise TableError(f"{path} has {num_classes} classes, and {len(names)} class names are given: give one a class.")
    sample_ids = (
        _lines(ids, num_examples, "sample_ids") if ids else [f"{split}/{row:06d}" for row in range(num_examples)]
    )
    scores: dict[str, Any] = {kind_of_scores(result.outputs): result.outputs}
    return Predictions.from_arrays(
        result.labels,
        sample_ids=sample_ids,
        **scores,
        class_names=names,
        model_name=path.stem if model_name is None else model_name,
        dataset=dataset,
        split=split,
        features=result.features,
    )


def open_result(path: Path, options: ReadOptions) -> Predictions:
    """Import a result file into a temporary table file, so that it can be joined like any other table.

    The file is removed when the returned handle is no longer used.
    """
    folder = tempfile.TemporaryDirectory(prefix="pct-mlops-")
    table = import_result(path, split=options.split, classes=options.classes).save(
        Path(folder.name) / f"{path.stem}.parquet"
    )
    weakref.finalize(table, folder.cleanup)
    return table


def read_result(path: Path) -> Result:
    """Read a result file and check what it holds.

    Raises:
        TableError: Lengths differ, a label is out of range, an output is not finite, or `pred` is not where the
            outputs are largest.
    """
    data = _load(path)
    if not isinstance(data, dict) or not {"pred", "gt", "outputs"} <= data.keys():
        raise TableError(f"{path} is no result file: it should hold pred, gt and outputs.")
    outputs = _floats(path, "outputs", data["outputs"])
    num_examples, num_classes = outputs.shape
    if not num_examples or not num_classes:
        raise TableError(f"{path} holds no examples: evaluate the model again.")
    labels, answers = (_indices(path, name, data[name], num_examples, num_classes) for name in ("gt", "pred"))
    rows = np.arange(num_examples)
    # Among equal outputs, pred may be any of them. The table takes the first, as argmax does.
    differs = outputs[rows, answers] < outputs.max(axis=1)
    if differs.any():
        row = int(differs.argmax())
        raise TableError(
            f"{path}: pred is not where outputs are largest in {int(differs.sum())} rows (first: row {row}, pred "
            f"{answers[row]}): outputs and pred are of different models or orders, so evaluate the model again."
        )
    features = data.get("features")
    if features is None or np.size(_plain(features)) == 0:
        return Result(labels, outputs, None)
    values = _floats(path, "features", features)
    if len(values) != num_examples:
        raise TableError(f"{path} has {num_examples} rows of outputs and {len(values)} of features: evaluate again.")
    return Result(labels, outputs, values)


def _load(path: Path) -> Any:
    import pickle

    import torch

    if os.path.isdir(path):
        raise TableError(f"{path} is a folder: give the path of one result file.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise TableError(f"{path} is a pipe or device: give the path of one result file.")
    try:
        with torch.serialization.safe_globals(_numpy_parts()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other pickle protocols: the errors below say what cannot be read
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TableError(f"There is no result file {path}: give the path of a file that torch.save wrote.") from None
    except pickle.UnpicklingError as error:
        raise TableError(
            f"{path} holds more than tensors and arrays, or is no file of torch.save, and nothing in it was run: "
            "save {pred, gt, outputs} again with torch.save."
        ) from error
    except PermissionError as error:
        raise TableError(f"{path} cannot be read ({error.strerror}): give a file that you may read.") from error
    except Exception as error:
        # A damaged archive can fail in any part of the reader, with any kind of error.
        raise TableError(f"{path} is damaged, or no file of torch.save: copy it again.") from error


def _numpy_parts() -> list[Any]:
    """Return what pickled numpy arrays of numbers are rebuilt from, under the names of numpy 1 and 2.

    None of it runs code.
    """
    rebuild, scalar = np._core.multiarray._reconstruct, np._core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = [type(np.dtype(name)) for name in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")]
    renamed = [
        (part, f"numpy.{core}.multiarray.{part.__name__}") for part in (rebuild, scalar) for core in ("core", "_core")
    ]
    return [np.ndarray, np.dtype, *kinds, *renamed, bytes]  # bytes: of an empty array


def _plain(value: Any) -> NDArray[Any]:
    """Convert a tensor, an array or a list of either to an array.

    Errors of numpy and torch pass through, so that the caller can name the file.
    """
    if isinstance(value, (list, tuple)):
        value = [_plain(item) for item in value]
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    return np.asarray(value)


def _array(path: Path, name: str, value: Any) -> NDArray[Any]:
    try:
        array = _plain(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TableError(f"{path}: {name} is no array of numbers: evaluate the model again.") from error
    if array.dtype.kind not in "biuf":
        raise TableError(f"{path}: {name} is no array of numbers: evaluate the model again.")
    return array


def _floats(path: Path, name: str, value: Any) -> NDArray[np.float32]:
    array = _array(path, name, value)
    if array.ndim != 2:
        raise TableError(
            f"{path}: {name} has shape {list(array.shape)} instead of [examples, width]: evaluate the model again."
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise TableError(f"{path}: {name} of row {int(finite.argmin())} are not finite (NaN or infinite): train again.")
    return array


def _indices(path: Path, name: str, value: Any, num_examples: int, num_classes: int) -> NDArray[np.int64]:
    array = _array(path, name, value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (num_examples,):
        raise TableError(
            f"{path} has {num_examples} rows of outputs, but {name} has shape {list(array.shape)}: "
            "evaluate the model again."
        )
    whole = array.astype(np.int64) if np.isfinite(array).all() else None
    if whole is None or (whole != array).any() or whole.min() < 0 or whole.max() >= num_classes:
        raise TableError(
            f"{path}: {name} should be whole numbers from 0 to {num_classes - 1}: evaluate the model again."
        )
    return whole


def _lines(path: Path, number: int, what: str) -> Sequence[str]:
    lines = read_text(path, wanted=f"a file of {what}, one a line", max_bytes=MAX_LINES_BYTES).splitlines()
    if len(lines) != number:
        raise TableError(f"{path} has {len(lines)} lines, and {number} {what} are needed: write one a line.")
    return lines
