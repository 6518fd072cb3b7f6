"""Opens predictions by what a person types for a model: a registry reference or a predictions file."""

from __future__ import annotations

import filecmp
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.errors import ConfigError
from pct_mlops.predictions import Predictions, ReadOptions
from pct_mlops.predictions.foreign import ENDINGS, is_foreign

if TYPE_CHECKING:
    from pct_mlops.registry import Registry, Version

RESULT = ".result"  # a file of the original code, converted when it is opened
SUFFIXES = (*ENDINGS, RESULT)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Predictions and where they came from. `uri` is `models:/name/version` or the file's path."""

    predictions: Predictions
    uri: str


def is_file(reference: str) -> bool:
    """Tell whether the reference is meant as a file: it exists, or it ends like one."""
    return os.path.exists(reference) or Path(reference).suffix.lower() in SUFFIXES


def have_same_content(one: str, other: str) -> bool:
    """Tell whether both references are one file, or two files of the same bytes."""
    try:
        return os.path.samefile(one, other) or filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def open_table(path: str | Path, options: ReadOptions | None = None) -> Predictions:
    """Return the predictions in a file: a table of this package, or what another program wrote.

    This is the only place where a file becomes a table. `options` are about files of other programs: a table of this
    package says itself what its columns, classes and split are.
    """
    options, path = options or ReadOptions(), Path(path)
    if path.suffix == RESULT:
        from pct_mlops.workflows.runtime.legacy_results import open_result

        return open_result(path, options)
    if not is_foreign(path):
        return Predictions.load(path)
    table = Predictions.convert(path, options)
    about = f"{table.info.num_examples:,} examples, {len(table.info.class_names):,} classes"
    _LOG.info("%s: %s, taken as split '%s'.", path, about, options.split)
    return table


def open_source(
    reference: str,
    *,
    split: str = "test",
    tracking_uri: str | None = None,
    reading: ReadOptions | None = None,
) -> Source:
    """Return the predictions behind `name@alias`, `name/3`, `models:/...` or a file. Raise PctError for none.

    `split` is the version's. That of a file of another program is in `reading`.
    """
    if is_file(reference):
        return Source(open_table(reference, reading or ReadOptions(split=split)), reference)
    # mlflow takes seconds to import: files are compared without it.
    from pct_mlops.registry import Registry, is_reference

    if not is_reference(reference):
        raise no_source(reference)
    registry = Registry(tracking_uri)
    version = registry.resolve(reference)
    return Source(version_predictions(registry, version, split), version.uri)


def open_sources(
    references: Sequence[str],
    *,
    split: str = "test",
    tracking_uri: str | None = None,
    reading: ReadOptions | None = None,
) -> list[Source]:
    """Return the predictions behind each reference, as `open_source` does.

    A column that `reading` names may be missing in a file, where the usual name is looked for. Raise PctError if no
    file has it.
    """
    shared = replace(reading or ReadOptions(split=split), are_shared=True)
    found = [open_source(item, split=split, tracking_uri=tracking_uri, reading=shared) for item in references]
    check_columns([source.predictions for source in found], shared)
    return found


def check_columns(tables: Sequence[Predictions], options: ReadOptions) -> None:
    """Raise ConfigError for a named column that none of the files of other programs has."""
    absent = [set(table.absent) for table in tables if table.absent is not None]
    for meaning in sorted(set.intersection(*absent)) if absent else ():
        names = " or ".join(f"'{column}'" for key, column in options.columns if key == meaning)
        which = "None of the files has" if len(absent) > 1 else "The file does not have"
        raise ConfigError(
            f"{which} the column {names} that --columns names for the {meaning}: correct the name, or leave it out."
        )


def no_source(reference: str) -> ConfigError:
    """Build the error for a reference that is neither a file nor a version."""
    return ConfigError(
        f"'{reference}' is neither a predictions file nor a registered model: "
        f"write name@alias, name/3, models:/name@alias or the path of a file ({', '.join(SUFFIXES)})."
    )


def version_predictions(registry: Registry, version: Version, split: str) -> Predictions:
    """Return the stored predictions of a version, under the version's own name and number.

    The stored table lacks the number, because it was written before the version had one.
    """
    path = registry.predictions(version, split)
    info = Predictions.load(path).info
    info = replace(info, model_name=version.name, model_version=str(version.version), model_uri=version.uri)
    return Predictions(info, path=path)
