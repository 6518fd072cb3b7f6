"""Fingerprints what makes a model's predictions: its weights, and the model that is served."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pct_mlops.registry.artifacts import ModelFiles

FILES = ("architecture.json", "model.safetensors")  # of a model of ours
# What this package adds to a model's folder after it was made: none of it changes a prediction.
OWN_FOLDERS = ("predictions", "images", "texts", "gate", "pct")
# MLflow and Python write these into the folder of a model when it is loaded from a local store.
_WRITTEN_ON_LOAD = {"registered_model_meta", "__pycache__"}
_BLOCK = 1 << 20


def weights_digest(files: ModelFiles) -> str:
    """Return the sha256 of what makes a model's predictions.

    For a model of ours these are the architecture record and the safetensors, one after the other. For any other model
    it is the sorted list of its files, each with the sha256 of its content. What this package adds does not count.
    """
    parts = [files.find(name) for name in FILES]
    if all(parts):
        return digest_of_files([part for part in parts if part is not None])
    folder = files.folder()
    return _digest_of_list((path, digest_of_files([folder / path])) for path in model_paths(folder))


def stored_digests(files: ModelFiles) -> tuple[str, str]:
    """Return the digests of weights and served model, read from the store at this moment and from no copy.

    The first is that of `weights_digest`. The second is about the other files of a model of ours. It is empty for
    another model, whose files are its weights.
    """
    found = {path: "" for path in _own_paths(files.paths())}
    ours = set(FILES) <= found.keys()
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        aside = Path(folder) / "file"
        for path in found:
            if not (ours and path in FILES):
                found[path] = digest_of_files([_fetched(files, path, aside)])
        listed = _digest_of_list((path, digest) for path, digest in sorted(found.items()) if digest)
        if not ours:
            return listed, ""
        return digest_of_files(_fetched(files, name, Path(folder) / name) for name in FILES), listed


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
    return _own_paths(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _own_paths(paths: Iterable[str]) -> list[str]:
    parts = ((path, PurePosixPath(path).parts) for path in paths)
    return sorted(
        path for path, names in parts if names[0] not in OWN_FOLDERS and not _WRITTEN_ON_LOAD.intersection(names)
    )


def _digest_of_list(found: Iterable[tuple[str, str]]) -> str:
    whole = hashlib.sha256(b"pct-weights-1\n")
    for path, digest in found:
        whole.update(f"{digest} {len(path.encode())} {path}\n".encode())
    return whole.hexdigest()


def _fetched(files: ModelFiles, path: str, aside: Path) -> Path:
    """Return a file of the model as a local path: the file itself where it lies here, else a copy at `aside`."""
    return files.here / path if files.here is not None else files.copy(path, aside)
