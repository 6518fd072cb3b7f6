"""Brings prediction tables that others made to versions of any flavour, so that gate and explorer can read them."""

from __future__ import annotations

import dataclasses
import filecmp
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import ConfigError, DataError, PctError, TableError
from pct_mlops.predictions import Predictions, ReadOptions
from pct_mlops.predictions.alignment import shared_class_order, with_classes
from pct_mlops.predictions.foreign import convert_frame
from pct_mlops.predictions.with_info import save_with_info
from pct_mlops.workflows.runtime.references import is_file, open_table
from pct_mlops.workflows.runtime.stored_tables import FOLDER, keep_former, stored_table
from pct_mlops.workflows.runtime.weights_digest import version_digest
from pct_mlops.workflows.tables.example_files import prepared_texts, prepared_thumbnails

if TYPE_CHECKING:
    from pct_mlops.predictions import TableInfo
    from pct_mlops.registry import ModelFiles, Registry, Version


@dataclass(frozen=True)
class Attached:
    """A table that was stored with a model.

    Attributes:
        model: Address of the version or logged model, for example `models:/pets/3`.
        path: Of the table within the model's files.
        table: The table as it was stored.
        former: Where the table that was replaced is kept; empty when there was none.
        notes: Sentences on what else was done, and on what the gate will say.
        next_step: The command that comes next; empty when no version is known yet.
    """

    model: str
    path: str
    table: Predictions
    former: str = ""
    notes: tuple[str, ...] = ()
    next_step: str = ""


def attach(
    version: Version | str,
    predictions: Any,
    split: str = "test",
    *,
    columns: Mapping[str, str] | None = None,
    class_names: Sequence[str] | None = None,
    thumbnails: str | Path | None = None,
    texts: str | Path | None = None,
    replace: bool = False,
    tracking_uri: str | None = None,
) -> Attached:
    """Store a prediction table with a registered version of any flavour.

    The table goes into the version's own artifacts as `predictions/SPLIT.parquet`, under the version's name. From then
    on gate, promote, review, compare and explore treat the version like one that was trained here.

    Args:
        version: A `Version`, `name/3`, `name@alias` or `models:/name/3`.
        predictions: A table, the path of a predictions file of any format, or a frame of pandas, polars or Arrow.
        split: Which part of the data the predictions are about.
        columns: What a file or frame of another program calls its columns, for example `{"label": "gold"}`.
        class_names: Of such a file or frame, in the order of its class numbers. None means those that it names.
        thumbnails: Parquet file with the columns `sample_id` and `png`, which the explorer shows.
        texts: File of texts or rows (.csv, .tsv, .jsonl, .parquet) with a column of ids, which the explorer shows.
        replace: Put the table in the place of one that is there. The former one is kept under another name.
        tracking_uri: Of the registry. None means MLFLOW_TRACKING_URI.

    Returns:
        What was stored, with the digest of the examples in `table.info.digest`.

    Raises:
        PctError: The version or the file is not there, the table is damaged, or another table is there already.

    Example:
        >>> from pct_mlops import Predictions, attach
        >>> logits, names = [[2.0, 0.0], [0.0, 2.0]], ("cat", "dog")
        >>> table = Predictions.from_arrays(["a", "b"], [0, 1], logits, class_names=names, split="test")
        >>> attach("pets/3", table, tracking_uri="sqlite:///nowhere.db")
        Traceback (most recent call last):
            ...
        pct_mlops.errors.RegistryUnavailableError: There is no registry at sqlite:///nowhere.db: ...
    """
    from pct_mlops.registry import Registry

    table = checked_table(predictions, ReadOptions.make(columns, class_names, split))
    registry = Registry(tracking_uri)
    found = registry.resolve(version) if isinstance(version, str) else version
    given = {"thumbnails": thumbnails, "texts": texts}
    return _attach(registry, found, table, split, given, replace=replace)


def _attach(
    registry: Registry, found: Version, table: Predictions, split: str, given: Mapping[str, Any], *, replace: bool
) -> Attached:
    """Store a checked table and what is `given` to show beside it."""
    from pct_mlops.registry import check_model, not_recorded, record_evidence, record_weights

    files = registry.files(found)
    before = _table_of_production(registry, found, split)
    table = _in_the_order_of(before, table)
    words = {"model_name": found.name, "model_version": str(found.version), "model_uri": found.uri}
    digest, model = _made_by(table.info, registry, found), check_model(registry, found, split)
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        aside = Path(folder)
        shown = _prepared(table, aside, given["thumbnails"], given["texts"])
        stored = store_table(files, table, split, replace=replace, aside=aside, **words)
        notes = [
            *stored.notes,
            _tie(stored.table.info, digest),
            *_show_examples(registry, found, table.info, shown, replace=replace),
        ]
    left = record_evidence(registry, found, split, model)
    record_weights(registry, found, digest)
    notes += [*([not_recorded(left)] if left else []), _beside_production(before, stored.table.info)]
    step = f"pct gate {found.name}/{found.version} --policy policy.yaml" if split == "test" else ""
    return dataclasses.replace(stored, notes=tuple(notes), next_step=step)


def checked_table(predictions: Any, options: ReadOptions) -> Predictions:
    """Return the table that was given after checking every row. Raise PctError when it is about another split."""
    split = options.split
    if not split or "/" in split or split.startswith("."):
        raise ConfigError(f"'{split}' is no name of a split: write for example --split test.")
    table = _opened(predictions, options)
    table.verify()
    if table.info.split not in ("", split):
        raise ConfigError(
            f"{table.what} holds predictions on '{table.info.split}', and '{split}' was asked for: give "
            f"--split {table.info.split}, or a table about {split}."
        )
    return table


def store_table(
    files: ModelFiles, table: Predictions, split: str, *, replace: bool, aside: Path, **words: str
) -> Attached:
    """Write the table into a model's files under these `words`, and keep one that is there under another name.

    Raise PctError when there is one and it is not to be replaced.
    """
    path = f"{FOLDER}/{split}.parquet"
    new = save_with_info(table, aside / f"{split}.parquet", split=split, **words)
    assert new.path is not None
    before = stored_table(files, split)
    if before is not None and filecmp.cmp(before, new.path, shallow=False):
        loaded = Predictions.load(before)
        return Attached(files.title, path, loaded, notes=("This very table was there already: nothing was changed.",))
    if before is not None and not replace:
        raise TableError(
            f"{files.title} carries predictions on {split} already: replace them with --replace, which keeps the "
            "former table under another name."
        )
    former = keep_former(files, split, log=False)
    files.add(new.path, FOLDER)
    found = stored_table(files, split)
    if found is None:
        raise DataError(f"{files.title} does not hold what was stored with it: check its artifact store.")
    notes = (f"Its former table is kept as {former}.",) if former else ()
    return Attached(files.title, path, Predictions.load(found), former, notes)


def _opened(predictions: Any, options: ReadOptions) -> Predictions:
    """Return the table that was given as such, as a file or as a frame."""
    if isinstance(predictions, Predictions):
        return predictions
    if not isinstance(predictions, str | Path):
        return Predictions.temporary(convert_frame(predictions, options))
    if not is_file(str(predictions)):
        raise ConfigError(f"There is no file {predictions}: give the path of a predictions file.")
    return open_table(predictions, options)


def _tie(info: TableInfo, digest: str) -> str:
    if info.weights == digest:
        return "It is tied to the version's weights, which made it."
    return "It is not tied to the version's weights: nothing shows that they made it."


def _made_by(info: TableInfo, registry: Registry, version: Version) -> str:
    """Return the digest of the version's weights. Raise PctError when the table says that others made it."""
    digest = version_digest(registry, version)
    if info.weights and info.weights != digest:
        raise TableError(
            f"The table was made by other weights ({info.weights[:12]}) than those of {version.uri} ({digest[:12]}): "
            "attach it to the version that made it."
        )
    return digest


def _prepared(
    table: Predictions, folder: Path, thumbnails: str | Path | None, texts: str | Path | None
) -> dict[str, tuple[Path, int]]:
    """Return checked pictures and texts by kind, each with how many examples it shows."""
    found: dict[str, tuple[Path, int]] = {}
    name = f"{table.info.digest[:16]}.parquet"
    for kind, given, prepare in (("pictures", thumbnails, prepared_thumbnails), ("texts", texts, prepared_texts)):
        if given is not None:
            target = folder / kind / name
            found[kind] = (target, prepare(Path(given), table, target))
    return found


def _show_examples(
    registry: Registry, version: Version, info: TableInfo, shown: dict[str, tuple[Path, int]], *, replace: bool
) -> list[str]:
    from pct_mlops.registry import TEXTS, THUMBNAILS, add_example_file

    notes = []
    for kind, (file, number) in shown.items():
        place = THUMBNAILS if kind == "pictures" else TEXTS
        if add_example_file(registry, version, place, info.digest, file, replace=replace):
            notes.append(f"The explorer shows {kind} of {number:,} of {info.num_examples:,} examples.")
        else:
            notes.append(f"{version.name} has {kind} of these examples already: --replace stores the new ones.")
    return notes


def _table_of_production(registry: Registry, version: Version, split: str) -> tuple[Version | None, TableInfo | str]:
    """Return what is in production, and what its table says of itself or why there is none to compare with."""
    from pct_mlops.registry import PRODUCTION

    old = registry.find(version.name, PRODUCTION)
    if old is None:
        return None, f"Nothing is in production of {version.name} yet: the gate lets the first version in."
    if old.uri == version.uri:
        return old, f"{version.uri} is in production."
    file = stored_table(registry.files(old), split)
    if file is None:
        return old, f"{old.uri} is in production and carries no predictions on {split}: attach them, too."
    try:
        return old, Predictions.load(file).info
    except PctError as error:
        return old, f"The predictions of {old.uri}, which is in production, are of no use: {error}"


def _in_the_order_of(production: tuple[Version | None, TableInfo | str], table: Predictions) -> Predictions:
    """Return the table with its classes in the order of production's, where both have the same ones."""
    _, before = production
    if isinstance(before, str) or before.class_names == table.info.class_names:
        return table
    # All that production knows and no more: a table that was read from data may lack a class that does not occur.
    if shared_class_order(before, table.info) is None or set(table.info.class_names) - set(before.class_names):
        return table
    return Predictions.temporary(with_classes(table, before.class_names))


def _beside_production(production: tuple[Version | None, TableInfo | str], info: TableInfo) -> str:
    """Say how the table stands to that of production, which the gate will compare it with."""
    old, before = production
    if isinstance(before, str) or old is None:
        return str(before)
    return f"{_beside(before, info)} {old.uri}, which is in production."


def _beside(old: TableInfo, new: TableInfo) -> str:
    """Return the beginning of a sentence that ends with the old version."""
    known = set(old.model_classes), set(new.model_classes)
    gone = [name for name in old.model_classes if name not in known[1]]
    added = [name for name in new.model_classes if name not in known[0]]
    if gone or added:
        parts = [f"{word} {', '.join(names[:3])}" for word, names in (("without", gone), ("with", added)) if names]
        return f"Its classes ({' and '.join(parts)}) are not those of"
    if old.digest != new.digest:
        return "The gate will refuse it, because its examples or targets are not those of"
    return "It has the same examples, targets and classes as"
