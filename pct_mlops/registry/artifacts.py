"""Reads and writes the files of a model, wherever its artifact store keeps them and whichever flavour it is of."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import RegistryError
from pct_mlops.registry.connection import MlflowException, local_folder, missing, mlflow, said_plainly
from pct_mlops.registry.downloads import downloads

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOGGED_MODEL = re.compile(r"^models:/(m-[0-9a-f]+)/?\Z")


@dataclass(frozen=True)
class ModelFiles:
    """The folder of a model in its artifact store.

    Every version has one, whether it was made of a logged model, of a run's artifacts or of a plain path. A logged
    model has one before any version is made of it.

    Attributes:
        title: What sentences call the model, for example `models:/pets/3`.
        location: Address of the folder in the artifact store. It is never a `runs:/` or `models:/` address.
        tracking_uri: The server that knows the store.
    """

    title: str
    location: str
    tracking_uri: str

    @property
    def here(self) -> Path | None:
        """The folder itself where it lies on this machine's own disk."""
        return local_folder(self.location)

    def find(self, path: str) -> Path | None:
        """Return a file or folder of the model as a local path, None when there is none.

        A file that lies elsewhere is copied once per process.
        """
        target = self._cache("files") / path
        if target.exists():
            return target
        with said_plainly(f"reading {path} of {self.title}"):
            if self.here is not None:
                return self.here / path if (self.here / path).exists() else None
            parent, _, name = path.rpartition("/")
            if name not in {Path(item.path).name for item in self._list(parent)}:
                return None
            return fetch(self.address(path), target, self.tracking_uri)

    def folder(self) -> Path:
        """Return the whole model as a local folder, copied once per process where it lies elsewhere."""
        target = self._cache("models")
        with said_plainly(f"reading the files of {self.title}"):
            if self.here is not None:
                if not self.here.is_dir():
                    raise RegistryError(
                        f"The files of {self.title} are not at {self.here}: register the model again, or mount the "
                        "folder that holds them."
                    )
                return self.here
            return target if target.is_dir() else fetch(self.location, target, self.tracking_uri)

    def copy(self, path: str, target: Path) -> Path:
        """Copy a file of the model to `target`, from the store as it is at this moment. Raise PctError for none."""
        with said_plainly(f"reading {path} of {self.title}"):
            if self.here is None:
                return fetch(self.address(path), target, self.tracking_uri)
            target.parent.mkdir(parents=True, exist_ok=True)
            return Path(shutil.copyfile(self.here / path, target))

    def has(self, path: str) -> bool:
        """Tell whether the store holds a file of the model at this moment."""
        with said_plainly(f"looking for {path} of {self.title}"):
            if self.here is not None:
                return (self.here / path).is_file()
            return path in {item.path for item in self._list(path.rpartition("/")[0])}

    def add(self, file: Path, folder: str) -> None:
        """Store a local file below `folder` of the model, in the place of one of the same name."""
        with said_plainly(f"storing {folder}/{file.name} with {self.title}"):
            self._repository().log_artifact(str(file), folder)
        self.forget(f"{folder}/{file.name}")

    def forget(self, path: str) -> None:
        """Read this file from the store the next time, because it was replaced there."""
        (self._cache("files") / path).unlink(missing_ok=True)

    def address(self, path: str) -> str:
        """Return the address of a file of the model, which any client of the store can read."""
        return f"{self.location.rstrip('/')}/{path}"

    def paths(self) -> list[str]:
        """Return the paths of all files of the model, sorted."""
        with said_plainly(f"listing the files of {self.title}"):
            return sorted(self._walk(""))

    def _walk(self, folder: str) -> Iterator[str]:
        for item in self._list(folder):
            # A server that listed a folder in itself would be walked for ever.
            if item.is_dir and len(item.path) > len(folder):
                yield from self._walk(item.path)
            elif not item.is_dir:
                yield item.path

    def _list(self, folder: str) -> list[Any]:
        return list(self._repository().list_artifacts(folder or None))

    def _repository(self) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(self.location, tracking_uri=self.tracking_uri)

    def _cache(self, kind: str) -> Path:
        return downloads() / kind / hashlib.sha256(self.location.encode()).hexdigest()[:32]


def resolved(client: MlflowClient, location: str, tracking_uri: str) -> str:
    """Return the address in the artifact store behind `location`, which may be a `runs:/` or `models:/m-...` one."""
    from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

    if match := _LOGGED_MODEL.match(location):
        return str(client.get_logged_model(match[1]).artifact_location)
    if not RunsArtifactRepository.is_runs_uri(location):
        return location
    try:
        return str(RunsArtifactRepository.get_underlying_uri(location, tracking_uri))
    except MlflowException as error:
        if not missing(error):
            raise
        # The run is gone for good. Reading the files will say so. Comparing addresses goes on without them.
        return location


def fetch(uri: str, target: Path, tracking_uri: str) -> Path:
    """Copy an artifact to `target`, which appears only when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Aside first, because a copy that is not complete would be taken for the file, also by another thread.
    with tempfile.TemporaryDirectory(dir=downloads()) as aside:
        # The store is named: another registry may have been opened since, and mlflow remembers the last one.
        fetched = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=aside, tracking_uri=tracking_uri)
        return Path(fetched).replace(target)
