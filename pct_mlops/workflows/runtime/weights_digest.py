"""Fingerprints what makes a model's predictions, so that a table can be tied to the model that made it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.errors import DataError
from pct_mlops.registry import WEIGHTS_TAG
from pct_mlops.workflows.runtime.model_weights import FILES

if TYPE_CHECKING:
    from pct_mlops.registry import ModelFiles, Registry, Version

# What this package adds to a model's folder after it was made: none of it changes a prediction.
OWN_FOLDERS = ("predictions", "images", "texts", "gate", "pct")
# MLflow and Python write these into the folder of a model when it is loaded from a local store.
_WRITTEN_ON_LOAD = {"registered_model_meta", "__pycache__"}
_BLOCK = 1 << 20


def version_digest(registry: Registry, version: Version) -> str:
    """Return the digest of a version's weights. Raise PctError when it is not the one that was recorded."""
    recorded, digest = version.tags.get(WEIGHTS_TAG, ""), weights_digest(registry.files(version))
    if recorded and recorded != digest:
        raise DataError(
            f"The files of {version.uri} changed since its weights were recorded ({recorded[:12]}, now {digest[:12]}): "
            f"register the model again, or, where the change is right, delete the tag {WEIGHTS_TAG} of the version."
        )
    return digest


def weights_digest(files: ModelFiles) -> str:
    """Return the sha256 of what makes a model's predictions.

    For a model of ours these are the architecture record and the safetensors, one after the other. For any other model
    it is the sorted list of its files, each with the sha256 of its content. What this package adds does not count.
    """
    parts = [files.find(name) for name in FILES]
    if all(parts):
        return digest_of_files([part for part in parts if part is not None])
    folder = files.folder()
    whole = hashlib.sha256(b"pct-weights-1\n")
    for path in model_paths(folder):
        whole.update(f"{digest_of_files([folder / path])} {len(path.encode())} {path}\n".encode())
    return whole.hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """Return the sha256 over the contents of files, one after the other."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                found.update(block)
    return found.hexdigest()


def model_paths(folder: Path) -> list[str]:
    """Return the sorted paths of a model's own files below `folder`."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    mine = (
        path for path in found if path.parts[0] not in OWN_FOLDERS and not _WRITTEN_ON_LOAD.intersection(path.parts)
    )
    return sorted(path.as_posix() for path in mine)
