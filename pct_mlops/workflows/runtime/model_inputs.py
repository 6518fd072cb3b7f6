"""Turns examples into what a model's signature asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import DataError
from pct_mlops.registry.served_model import InputColumn, ModelInputs

if TYPE_CHECKING:
    import pandas as pd

    from pct_mlops.workflows.runtime.example_data import Examples


def fitted(examples: Examples, inputs: ModelInputs, title: str, *, is_own: bool = False) -> Any:
    """Return the examples as the model takes them.

    Args:
        examples: Columns or arrays.
        inputs: Of the model's signature.
        title: Name of the model in sentences.
        is_own: The model takes images in [0, 1], so whole numbers up to 255 are divided.

    Returns:
        A frame with the columns of the signature in their types, or an array of its shape and type.

    Raises:
        DataError: A column is missing, or has another type or shape.
    """
    if inputs.shape is None:
        if examples.frame is None:
            raise DataError(f"{title} takes columns, and the data are arrays: give a CSV, JSON lines or Parquet file.")
        return _frame(examples.frame, inputs.columns, title)
    array = examples.array if examples.frame is None else _matrix(examples.frame, title)
    return _array(array, inputs, title, is_own=is_own)


def input_names(inputs: ModelInputs, *, texts: bool = False) -> list[str]:
    """Return the columns that a model takes by name, or those of them that hold text."""
    return [column.name for column in inputs.columns if column.name and (column.is_text or not texts)]


def _frame(frame: pd.DataFrame, columns: Sequence[InputColumn], title: str) -> pd.DataFrame:
    import pandas as pd

    if not all(column.name for column in columns):
        return _only_column(frame, columns[0], title)
    missing = [column.name for column in columns if column.is_required and column.name not in frame.columns]
    if missing:
        has = ", ".join(map(str, frame.columns[:8]))
        raise DataError(f"{title} takes the column '{missing[0]}', which the data lack (they have {has}): add it.")
    there = [column for column in columns if column.name in frame.columns]
    return pd.DataFrame({column.name: _typed(frame[column.name], column, title) for column in there})


def _only_column(frame: pd.DataFrame, column: InputColumn, title: str) -> pd.DataFrame:
    """Return the one column of a model that takes texts without a name."""
    import pandas as pd

    names = [name for name in ("text", "texts", "inputs") if name in frame.columns] or list(frame.columns)
    if len(names) != 1:
        raise DataError(
            f"{title} takes one column without a name, and the data have {', '.join(map(str, names[:8]))}: call the "
            "right one 'text'."
        )
    return pd.DataFrame({names[0]: _typed(frame[names[0]], column, title)})


def _typed(values: pd.Series[Any], column: InputColumn, title: str) -> Any:
    if column.kind is None:
        return values.map(str, na_action="ignore") if column.is_text else values
    try:
        return values.astype(column.kind)
    except (ValueError, TypeError, OverflowError) as error:
        line = str(error).splitlines()[0][:120]
        raise DataError(
            f"{title} takes {column.kind} in the column '{column.name}', and {line}: correct it."
        ) from error


def _matrix(frame: pd.DataFrame, title: str) -> Any:
    import numpy as np

    try:
        return frame.to_numpy(np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{title} takes an array, and a column of the data is no number: keep the id, the label and numbers alone."
        ) from error


def _array(array: Any, inputs: ModelInputs, title: str, *, is_own: bool) -> Any:
    import numpy as np

    shape = inputs.shape or ()
    if is_own:
        array = _pixels(array, shape, title)
    given = array.shape[1:]
    if not (len(shape) == len(given) and all(size in (-1, has) for size, has in zip(shape, given, strict=True))):
        if -1 in shape or np.prod(shape) != np.prod(given):
            raise DataError(
                f"{title} takes arrays of shape {list(shape)}, and an example has {list(given)}: give it that shape."
            )
        array = array.reshape(len(array), *shape)
    if array.dtype == np.uint8 and np.dtype(inputs.kind).kind == "f":
        raise DataError(
            f"{title} takes {np.dtype(inputs.kind).name}, and the images are uint8: store them as the model was "
            "trained on them, for example divided by 255."
        )
    return np.ascontiguousarray(array, inputs.kind)


def _pixels(array: Any, shape: tuple[int, ...], title: str) -> Any:
    """Return images as float32 [N, C_in, H, W] in [0, 1]. Channels may come last, or be left out where there is one."""
    import numpy as np

    if array.ndim == 3:
        array = array[:, None]
    if array.ndim == 4 and array.shape[1:] != shape and (array.shape[3], *array.shape[1:3]) == shape:
        array = array.transpose(0, 3, 1, 2)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise DataError(f"{title} takes images as uint8, or as numbers from 0 to 1: store them so.")
    return array
