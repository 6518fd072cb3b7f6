"""Reads labelled examples that a model is to be asked about: tables, texts and arrays of images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import DataError
from pct_mlops.predictions.foreign.read_options import PLURAL_NAMES, USUAL_NAMES

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".tsv", ".parquet", ".jsonl", ".npz")
# What the arrays of images may be called in an .npz file.
ARRAYS = ("images", "inputs", "features", "x", "X", "data")


@dataclass(frozen=True)
class Examples:
    """Labelled examples.

    Attributes:
        sample_ids: The name of each.
        labels: The target of each, as it stands in the file.
        frame: Its columns; None for arrays.
        array: Arrays [N, ...]; None for columns.
    """

    sample_ids: Sequence[str]
    labels: Sequence[Any]
    frame: pd.DataFrame | None = None
    array: Any = None

    def __len__(self) -> int:
        return len(self.sample_ids)


def read_examples(
    path: Path, columns: Mapping[str, str], *, taken: Sequence[str] = (), texts: Sequence[str] = ()
) -> Examples:
    """Read a file of labelled examples.

    Args:
        path: .csv, .tsv, .parquet, .jsonl or .npz.
        columns: What the file calls `sample_id` and `label`. Others are found by their usual names.
        taken: Columns that the model takes as inputs. None of these is a label or an id by its usual name.
        texts: Those of them that hold text, also where it looks like numbers.

    Returns:
        The examples in the order of the file.

    Raises:
        DataError: The file cannot be read, or lacks ids or labels.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataError(f"{path} cannot be read as examples: give a file that ends in {', '.join(ENDINGS)}.")
    if not path.is_file():
        raise DataError(f"There is no file {path}: give --data the file of examples.")
    if ending == ".npz":
        return _read_arrays(path, columns)
    frame = _read_frame(path, {*texts, *_names_of_ids(columns, taken)})
    found = {meaning: _find(path, meaning, list(frame.columns), columns, taken) for meaning in ("sample_id", "label")}
    ids, labels = frame[found["sample_id"]], frame[found["label"]]
    for meaning, values in (("sample_id", ids), ("label", labels)):
        if values.isna().any():
            row = int(values.isna().to_numpy().argmax())
            raise DataError(f"{path} has no {meaning} in row {row + 1}: give every example one.")
    rest = frame.drop(columns=[name for name in found.values() if name not in taken])
    return _checked(path, Examples([str(value) for value in ids], labels.tolist(), frame=rest))


def _names_of_ids(columns: Mapping[str, str], taken: Sequence[str]) -> set[str]:
    return {*USUAL_NAMES["sample_id"], columns.get("sample_id", "sample_id")} - set(taken)


def _read_frame(path: Path, texts: Collection[str]) -> pd.DataFrame:
    """Read columns, and those named in `texts` as they are written: 007 is not 7."""
    import pandas as pd

    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            return pd.read_parquet(path)
        if ending == ".jsonl":
            return pd.read_json(path, lines=True, convert_dates=False, dtype=dict.fromkeys(texts, str))
        separator = "\t" if ending == ".tsv" else ","
        return pd.read_csv(path, sep=separator, encoding="utf-8-sig", dtype=dict.fromkeys(texts, str))
    except (ValueError, OSError, ArithmeticError) as error:
        line = (str(error).strip().splitlines() or ["damaged"])[0]
        raise DataError(f"{path} cannot be read as {ending[1:]} ({line[:200]}): write it again in UTF-8.") from error


def _find(path: Path, meaning: str, names: list[str], columns: Mapping[str, str], taken: Sequence[str]) -> str:
    """Return the column that holds ids or labels."""
    given = columns.get(meaning)
    if given is not None:
        if given not in names:
            raise DataError(f"{path} has no column '{given}' (it has {_some(names)}): correct --columns.")
        return given
    found = [name for name in names if name.lower() in USUAL_NAMES[meaning] and name not in taken]
    if not found and path.suffix.lower() == ".npz":
        found = [name for name in names if name.lower() in PLURAL_NAMES[meaning]]
    if len(found) > 1:
        raise DataError(f"{path} has {_some(found)} for {meaning}: say which, with --columns {meaning}={found[0]}.")
    if found:
        return found[0]
    why = "examples of two models are joined by it" if meaning == "sample_id" else "predictions are held against it"
    usual = " | ".join((*USUAL_NAMES[meaning], *(PLURAL_NAMES[meaning] if path.suffix.lower() == ".npz" else ())))
    raise DataError(
        f"{path} has no column for {meaning} (it has {_some(names)}), and {why}: call it {usual}, or name it with "
        f"--columns {meaning}=NAME."
    )


def _read_arrays(path: Path, columns: Mapping[str, str]) -> Examples:
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} cannot be read as .npz without running code: write plain arrays with np.savez."
        ) from error
    ids = arrays[_find(path, "sample_id", list(arrays), columns, ())]
    labels = arrays[_find(path, "label", list(arrays), columns, ())]
    images = [name for name in ARRAYS if name in arrays]
    if len(images) != 1:
        raise DataError(f"{path} holds {_some(list(arrays))}: call the array of inputs 'images', and no other so.")
    array = arrays[images[0]]
    if array.ndim < 2 or not len(ids) == len(labels) == len(array):
        raise DataError(
            f"{path} holds {len(ids):,} ids, {len(labels):,} labels and inputs of shape {list(array.shape)}: give one "
            "of each for every example."
        )
    return _checked(path, Examples([str(value) for value in ids], labels.tolist(), array=array))


def _checked(path: Path, examples: Examples) -> Examples:
    if not len(examples):
        raise DataError(f"{path} holds no examples: give at least one.")
    return examples


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:6]) + (", ..." if len(names) > 6 else "")
