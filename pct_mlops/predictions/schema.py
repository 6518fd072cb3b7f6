"""The prediction table on disk: its columns, its file metadata and its digest."""

from __future__ import annotations

import json
import re
import stat
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pct_mlops.errors import TableError

SCHEMA_VERSION = 1
FIXED_COLUMNS = {
    "sample_id": pa.string(),
    "label": pa.int32(),
    "prediction": pa.int32(),
}
# Columns that only models with scores have.
CONFIDENCE_COLUMNS = {"confidence": pa.float32(), "label_confidence": pa.float32()}
VECTOR_COLUMNS = ("logits", "features")
# A slice column may not be called like a column of the table itself or of two joined tables.
RESERVED = (
    frozenset(FIXED_COLUMNS)
    | set(CONFIDENCE_COLUMNS)
    | set(VECTOR_COLUMNS)
    | {
        f"{side}_{name}"
        for side in ("old", "new")
        for name in ("prediction", "confidence", "label_confidence", "right")
    }
)
_KEY = "pct."
_DIGEST = re.compile("[0-9a-f]{64}")
# Unicode's categories of control characters, which would run in a terminal, and of half of a surrogate pair.
_UNREADABLE = ("Cc", "Cs")
_FLAGS = ("classes_from_data", "predictions_stated", "confidences_stated")  # written where they hold
_TEXT_KEYS = ("model_name", "model_version", "model_uri", "dataset", "split", "preprocessing", "digest")
_OPTIONAL_KEYS = ("weights",)  # came after the first tables, which are readable without
_KNOWN = "known_classes"  # written where the model knows fewer classes than the labels name


@dataclass(frozen=True)
class TableInfo:
    """The description that a table carries of itself.

    Attributes:
        schema_version: of the file's layout.
        model_name: of the registered model, or any name.
        model_version: its version.
        model_uri: where it lies, for example models:/pets/3.
        dataset: name of the data set.
        split: which part of it, for example test.
        class_names: in the order of the class indices.
        preprocessing: id of what was done to the inputs.
        digest: sha256 over the (sample_id, label) pairs and the class names. Tables of equal digests are comparable.
        num_examples: number of examples, one a row.
        columns: all columns, in file order.
        slices: columns that examples can be sliced by.
        num_members: how many models' mean logits it holds.
        path: of the file. It is empty before the table is saved.
        classes_from_data: whether the class names are those that occur. Another table of these classes may hold more.
        predictions_stated: whether predictions are what the model said and not where its logits are largest.
        confidences_stated: whether confidences are what a file said and not the softmax of its logits.
        weights: sha256 of the weights or model files that made the predictions; empty where that is not known.
        known_classes: names of the classes that the model can predict; empty where these are all `class_names`.

    Example:
        >>> from pct_mlops import Predictions
        >>> Predictions.from_arrays(["a"], [0], [[2.0, 0.0]], class_names=("cat", "dog"), model_name="pets").info.title
        'pets'
    """

    schema_version: int
    model_name: str
    model_version: str
    model_uri: str
    dataset: str
    split: str
    class_names: tuple[str, ...]
    preprocessing: str
    digest: str
    num_examples: int
    columns: tuple[str, ...]
    slices: tuple[str, ...] = ()
    num_members: int = 1
    path: str = ""
    classes_from_data: bool = False
    predictions_stated: bool = False
    confidences_stated: bool = False
    weights: str = ""
    known_classes: tuple[str, ...] = ()

    @property
    def model_classes(self) -> tuple[str, ...]:
        """Names of the classes that the model can predict, as far as the table states them."""
        return self.known_classes or self.class_names

    @property
    def title(self) -> str:
        """The shortest name that a person recognises: model and version, else uri, else file."""
        if self.model_name:
            return f"{self.model_name}/{self.model_version}" if self.model_version else self.model_name
        return self.model_uri or self.path or "unnamed model"


def to_metadata(info: TableInfo) -> dict[str, str]:
    """Return the key-value metadata of a table's file."""
    return {
        **{_KEY + key: getattr(info, key) for key in _TEXT_KEYS},
        _KEY + "schema_version": str(info.schema_version),
        _KEY + "class_names": json.dumps(info.class_names),
        _KEY + "num_examples": str(info.num_examples),
        _KEY + "num_members": str(info.num_members),
        **{_KEY + key: "true" for key in _FLAGS if getattr(info, key)},
        **{_KEY + key: getattr(info, key) for key in _OPTIONAL_KEYS if getattr(info, key)},
        **({_KEY + _KNOWN: json.dumps(info.known_classes)} if info.known_classes else {}),
    }


def arrow_schema(
    num_classes: int,
    num_features: int,
    slices: Sequence[str],
    *,
    logits: bool,
    confidence: bool = True,
    label_confidence: bool = True,
) -> pa.Schema:
    """Return the columns in file order. `num_features` 0 leaves features out."""
    known = {"confidence": confidence, "label_confidence": label_confidence}
    kinds = FIXED_COLUMNS | {name: kind for name, kind in CONFIDENCE_COLUMNS.items() if known[name]}
    fields = [pa.field(name, kind, nullable=False) for name, kind in kinds.items()]
    if logits:
        fields.append(pa.field("logits", pa.list_(pa.float32(), num_classes)))
    if num_features:
        fields.append(pa.field("features", pa.list_(pa.float32(), num_features)))
    return pa.schema(fields + [pa.field(name, pa.string()) for name in slices])


def check_slices(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Return slice names as they are. Raise PctError for a reserved, empty or repeated one (A and a are alike)."""
    names = tuple(names)
    lowered = [name.lower() for name in names]
    for name, low in zip(names, lowered, strict=True):
        if not name or low in RESERVED or lowered.count(low) > 1:
            raise TableError(f"{where}: slice column {name!r} is empty, repeated or reserved: give it another name.")
    return names


def read_info(path: Path) -> TableInfo:
    """Read the description in a file's footer, and no rows. PctError names the file and what is wrong with it."""
    schema, num_rows = read_footer(path)
    raw = {
        key.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for key, value in (schema.metadata or {}).items()
    }
    meta = {key[len(_KEY) :]: value for key, value in raw.items() if key.startswith(_KEY)}
    version = _whole(meta.get("schema_version"))
    if version is None:
        raise TableError(f"{path} carries no prediction metadata: write it with `pct score` or Predictions.save.")
    if version != SCHEMA_VERSION:
        raise TableError(
            f"{path} has table version {version}, and this program reads version {SCHEMA_VERSION}: "
            f"{'update pct-mlops' if version > SCHEMA_VERSION else 'score the model again'}."
        )
    missing = [key for key in (*_TEXT_KEYS, "class_names", "num_examples") if key not in meta]
    if missing:
        raise TableError(f"{path} lacks the metadata {', '.join(missing)}: write the table again.")
    class_names, known = _class_names(meta["class_names"]), _known_classes(meta)
    if class_names is None or known is None or not _DIGEST.fullmatch(meta["digest"]):
        raise TableError(f"{path} has damaged metadata (class names or digest): write the table again.")
    if num_rows == 0:
        raise TableError(f"{path} has no rows: score the model on at least one example.")
    if _whole(meta["num_examples"]) != num_rows:
        raise TableError(f"{path} holds {num_rows} rows but says {meta['num_examples'][:20]}: write the table again.")
    slices = _check_columns(path, schema, len(class_names))
    return TableInfo(
        schema_version=version,
        class_names=class_names,
        num_examples=num_rows,
        columns=tuple(schema.names),
        slices=slices,
        num_members=_whole(meta.get("num_members")) or 1,
        path=str(path),
        classes_from_data=meta.get("classes_from_data") == "true",
        predictions_stated=meta.get("predictions_stated") == "true",
        confidences_stated=meta.get("confidences_stated") == "true",
        known_classes=known,
        **{key: _shown(meta[key]) for key in _TEXT_KEYS},
        **{key: _shown(meta.get(key, "")) for key in _OPTIONAL_KEYS},
    )


def read_footer(path: Path) -> tuple[pa.Schema, int]:
    """Read the columns and the number of rows of a Parquet file. PctError names the file and what is wrong with it."""
    try:
        if path.is_dir():
            raise TableError(f"{path} is a folder: give the path of one .parquet file.")
        # Opening a pipe would wait for somebody to write into it.
        if not stat.S_ISREG(path.stat().st_mode):
            raise TableError(f"{path} is a pipe or device: give the path of one .parquet file.")
        with path.open("rb") as file:
            head = file.read(4)
    except FileNotFoundError:
        raise TableError(f"There is no prediction table {path}: give the path of a .parquet file.") from None
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise TableError(f"{path} cannot be read: {why}.") from error
    if not head:
        raise TableError(f"{path} is empty: write the table again.")
    if head == b"PARE":
        raise TableError(f"{path} is encrypted: write the table again, without encryption.")
    if head != b"PAR1":
        raise TableError(f"{path} is not a Parquet file: give a table written by `pct score`.")
    try:
        meta = pq.read_metadata(path)
        return meta.schema.to_arrow_schema(), meta.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TableError(f"{path} is cut short or damaged: write the table again.") from error


def _check_columns(path: Path, schema: pa.Schema, num_classes: int) -> tuple[str, ...]:
    """Return the slice columns. Raise PctError for a missing column or one of another type."""
    missing = [name for name in FIXED_COLUMNS if name not in schema.names]
    if missing:
        raise TableError(f"{path} lacks the column {', '.join(missing)}: write the table again.")
    if len(set(schema.names)) < len(schema.names):
        raise TableError(f"{path} has two columns of one name: write the table again.")
    slices = []
    for field in schema:
        text = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        expected = (FIXED_COLUMNS | CONFIDENCE_COLUMNS).get(field.name)
        if expected is not None:
            right = text if expected == pa.string() else field.type == expected
        elif field.name in VECTOR_COLUMNS:
            right = getattr(field.type, "value_type", None) == pa.float32()
            if field.name == "logits" and pa.types.is_fixed_size_list(field.type):
                right = right and field.type.list_size == num_classes
        else:
            right = text
            slices.append(field.name)
        if not right:
            raise TableError(f"{path}: column {field.name!r} has type {field.type}: write the table again.")
    return check_slices(slices, str(path))


def _class_names(text: str) -> tuple[str, ...] | None:
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names) if all(map(_is_text, names)) else None


def _known_classes(meta: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the classes that the metadata says the model knows. Return () for all, and None for what is damaged."""
    if _KNOWN not in meta:
        return ()
    known, names = _class_names(meta[_KNOWN]), _class_names(meta["class_names"]) or ()
    return known if known is not None and set(known) < set(names) and len(set(known)) == len(known) else None


def check_class_names(names: Sequence[str], where: str = "", *, written: bool) -> None:
    """Raise PctError for a name that is not UTF-8, or that is to be `written` and could not be read again.

    `where` is the table or file that holds the names. It is empty for names that a caller gave.
    """
    for name in names:
        if not _is_text(name, _UNREADABLE if written else ("Cs",)):
            raise TableError(
                f"{f'{where}: the' if where else 'The'} class name {name!r} holds a control character or half of a "
                "surrogate pair: give it another name."
            )


def _is_text(name: str, without: Sequence[str] = _UNREADABLE) -> bool:
    return not any(unicodedata.category(char) in without for char in name)


def _whole(text: str | None) -> int | None:
    # Python refuses to read numbers of thousands of digits; no table has 10^18 of anything.
    return int(text) if text is not None and len(text) <= 18 and text.isascii() and text.isdigit() else None


def _shown(text: str) -> str:
    """Replace control characters, which would run in the terminal where the name is shown."""
    return "".join("\ufffd" if unicodedata.category(char) == "Cc" else char for char in text)
