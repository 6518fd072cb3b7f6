"""Reads a model registry: references, versions, and what a version carries."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.config.catalog import closest_first
from pct_mlops.errors import ConfigError, PctError, RegistryError, RegistryNotFoundError
from pct_mlops.registry.artifacts import ModelFiles, fetch, resolved
from pct_mlops.registry.causes import without_secrets
from pct_mlops.registry.connection import MlflowException, missing, places, said_plainly
from pct_mlops.registry.downloads import downloads
from pct_mlops.registry.model_version import Version
from pct_mlops.registry.opening import open_store
from pct_mlops.registry.unknown_models import REFERENCE, foreign_reply, no_version, unknown_model

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel

PRODUCTION, PREVIOUS, CANDIDATE = "production", "previous", "candidate"
IMAGES_TAG = "pct.images."  # the first digits of an evaluation set's digest follow
TEXTS_TAG = "pct.texts."  # the same for texts
LOCK_TAG = "pct.lock.of"  # on the registered models that are locks


def is_reference(text: str) -> bool:
    """Tell whether `text` reads as name@alias, name/3, models:/name@alias or models:/name/3, and is no file."""
    return bool(REFERENCE.match(text)) and not os.path.exists(text)


def no_predictions(version: Version, split: str) -> RegistryNotFoundError:
    """Make the error for a version that carries no predictions on a split."""
    name = f"{version.name}/{version.version}"
    own = "" if split == "test" else f" --split {split}"
    return RegistryNotFoundError(
        f"{version.uri} carries no predictions on {split}: make them with 'pct score {name} --split {split}', or bring "
        f"your own with 'pct attach {name} FILE{own}'."
    )


class Registry:
    """A model registry and the tracking store with the files of its versions.

    Every failure of the server or store is a PctError.

    Args:
        tracking_uri: Address of the server or store. None takes MLFLOW_TRACKING_URI, or else mlflow.db in this folder.
            The registry is the same, unless MLFLOW_REGISTRY_URI names another one.
        create: Permits making a local store that is not there.

    Example:
        >>> from pct_mlops import Registry
        >>> Registry("sqlite:///nowhere.db")
        Traceback (most recent call last):
            ...
        pct_mlops.errors.RegistryUnavailableError: There is no registry at sqlite:///nowhere.db: ...
    """

    def __init__(self, tracking_uri: str | None = None, *, create: bool = False) -> None:
        self.client = open_store(tracking_uri, create)
        tracking, registry = places()
        self.tracking_uri: str = tracking.uri
        self.registry_uri: str = registry.uri
        self._address = registry
        self._files: dict[tuple[str, str, int], ModelFiles] = {}

    def models(self) -> list[str]:
        """Return the names of all registered models in alphabetical order, without the locks of moves under way."""
        names: list[str] = []
        token = None
        with said_plainly("listing the registered models"):
            while True:
                page = self.client.search_registered_models(max_results=1000, page_token=token)
                names += [model.name for model in page if LOCK_TAG not in model.tags]
                token = page.token
                if not token:
                    return sorted(names)

    def versions(self, name: str) -> list[Version]:
        """Return all versions of a model, the newest first."""
        aliases = self.aliases(name)
        quoted = name.replace("'", "''")
        found: list[Version] = []
        token = None
        with said_plainly(f"listing the versions of {name}"):
            while True:
                page = self.client.search_model_versions(f"name='{quoted}'", max_results=1000, page_token=token)
                found += [self._version(item, aliases) for item in page]
                token = page.token
                if not token:
                    return sorted(found, key=lambda version: -version.version)

    def aliases(self, name: str) -> dict[str, int]:
        """Return alias -> version number. Raise PctError when there is no such model."""
        return {alias: int(number) for alias, number in self.registered(name).aliases.items()}

    def registered(self, name: str) -> RegisteredModel:
        """Read a registered model, with its aliases and tags at one moment. Raise PctError when there is none."""
        # No name has a slash, and MLflow would say only that.
        model = None if "/" in name else self.look(name)
        if model is None:
            raise unknown_model(name, self.models(), self._address)
        return model

    def look(self, name: str) -> RegisteredModel | None:
        """Read a registered model, with its aliases and tags at one moment. None when there is none."""
        try:
            with said_plainly(f"reading the model {name}"):
                model = self.client.get_registered_model(name)
        except PctError as error:
            if not missing(error):
                raise
            return None
        # A reply without content has no name. Some databases do not tell capitals from small letters.
        if model.name.casefold() != name.casefold():
            raise foreign_reply(f"the model {name}", self._address)
        return model

    def find(self, name: str, alias: str) -> Version | None:
        """Return the version behind an alias, None when the model or the alias does not exist."""
        with said_plainly("looking for the model"):
            try:
                # One request, whose reply does not carry the history of the model.
                found = self.client.get_model_version_by_alias(name, alias)
            except MlflowException as error:
                # The second code is what MLflow says of an alias that is not there.
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise
        version = self._version(found, {})
        return replace(version, aliases=tuple(sorted(found.aliases)))

    def get(self, name: str, version: int) -> Version:
        """Return a version by number. Raise PctError when there is none."""
        return self._get(name, version, self.aliases(name))

    def _get(self, name: str, version: int, aliases: Mapping[str, int]) -> Version:
        try:
            with said_plainly(f"reading {name}/{version}"):
                return self._version(self.client.get_model_version(name, str(version)), aliases)
        except PctError as error:
            if not missing(error):
                raise
            raise no_version(name, version, self.versions(name), self._address) from error

    def resolve(self, reference: str) -> Version:
        """Return the version that a reference means now.

        Args:
            reference: name@alias, name/3, models:/name@alias or models:/name/3.

        Raises:
            PctError: The text is no reference, or there is no such model, alias or version.
        """
        match = REFERENCE.match(reference)
        if not match:
            raise ConfigError(f"{reference[:200]!r} names no version: write name@alias, name/3 or models:/name@alias.")
        name, alias = match["name"], match["alias"]
        if alias is None:
            return self.get(name, int(match["version"]))
        aliases = self.aliases(name)
        if alias not in aliases:
            known = ", ".join(f"@{a}" for a in closest_first(alias, list(aliases))) or "none"
            raise RegistryNotFoundError(
                f"{name} has no alias '{alias}' in {without_secrets(self.registry_uri)} (it has {known}): write one of "
                "these, or name/VERSION."
            )
        return self._get(name, aliases[alias], aliases)

    def model_id(self, version: Version) -> str:
        """Return the id of the logged model behind a version. Raise PctError when there is none."""
        found = self.find_model_id(version)
        if found is None:
            raise RegistryError(f"{version.uri} is no version of a logged model: its files are at {version.source}.")
        return found

    def find_model_id(self, version: Version) -> str | None:
        """Return the id of the logged model behind a version, None when there is none.

        For a copy, the place of its files tells. A copy also names the version that it was made from. But that one may
        have been deleted, and another one made under its name and number.
        """
        match = re.match(r"^models:/(m-[0-9a-f]+)$", version.source)
        if match is None and REFERENCE.match(version.source):
            match = re.search(r"/(m-[0-9a-f]+)/artifacts/?$", self._location(version))
        return match[1] if match else None

    def origin(self, version: Version) -> Version | None:
        """Return the version that this one was copied from. None: it is no copy, or its source is gone or replaced."""
        match = REFERENCE.match(version.source)
        if match is None or match["version"] is None:
            return None
        try:
            with said_plainly(f"reading {version.source}"):
                found = self.client.get_model_version(match["name"], match["version"])
        except PctError as error:
            if not missing(error):
                raise
            return None
        origin = self._version(found, {})
        return origin if self.have_same_files(version, origin) else None

    def have_same_files(self, one: Version, other: Version) -> bool:
        """Tell whether one is a copy of the other, or both are copies of a third, by where their files lie."""
        return self.files(one).location == self.files(other).location

    def _location(self, version: Version) -> str:
        with said_plainly(f"reading {version.uri}"):
            return self.client.get_model_version_download_uri(version.name, str(version.version))

    def files(self, version: Version) -> ModelFiles:
        """Return the folder of the version's own files. Any flavour and any source that MLflow knows has one."""
        key = (version.uri, version.source, version.created)
        if key not in self._files:
            location = self._location(version)
            with said_plainly(f"looking for the files of {version.uri}"):
                location = resolved(self.client, location, self.tracking_uri)
            self._files[key] = ModelFiles(version.uri, location, self.tracking_uri)
        return self._files[key]

    def download(self, version: Version, path: str) -> Path | None:
        """Return a file or folder of the version's artifacts, None for none. Remote ones are copied only once."""
        return self.files(version).find(path)

    def forget(self, version: Version, path: str) -> None:
        """Forget the copy of a file that was replaced, so that it is read again."""
        self.files(version).forget(path)

    def predictions(self, version: Version, split: str = "test") -> Path:
        """Return the version's predictions on a split as a local Parquet file. Raise PctError when it carries none."""
        path = self.download(version, f"predictions/{split}.parquet")
        if path is None:
            raise no_predictions(version, split)
        return path

    def images(self, name: str, digest: str) -> Path | None:
        """Return the thumbnails of the evaluation set with this digest (Parquet: sample_id, png), None for none."""
        return self._example_file(name, IMAGES_TAG, "images", digest)

    def texts(self, name: str, digest: str) -> Path | None:
        """Return the texts of the evaluation set with this digest (Parquet: sample_id, text), None for none."""
        return self._example_file(name, TEXTS_TAG, "texts", digest)

    def _example_file(self, name: str, tag: str, folder: str, digest: str) -> Path | None:
        with said_plainly(f"reading the model {name}"):
            uri = self.client.get_registered_model(name).tags.get(tag + digest[:16])
        target = downloads() / folder / f"{digest[:16]}.parquet"
        if target.is_file() or not uri:
            return target if target.is_file() else None
        try:
            with said_plainly(f"reading the {folder}"):
                return self.fetch(uri, target)
        except (PctError, OSError):
            # The run or version that carried them may have been deleted. The explorer shows placeholders.
            return None

    def forget_example_file(self, folder: str, digest: str) -> None:
        """Read pictures or texts of this evaluation set from the store the next time, because they were replaced."""
        (downloads() / folder / f"{digest[:16]}.parquet").unlink(missing_ok=True)

    def fetch(self, uri: str, target: Path) -> Path:
        """Copy an artifact to `target`, which appears only when it is complete."""
        return fetch(uri, target, self.tracking_uri)

    def _version(self, item: object, aliases: Mapping[str, int]) -> Version:
        try:
            number = int(item.version)  # type: ignore[attr-defined]
        except ValueError as error:
            raise foreign_reply("a version", self._address) from error
        return Version(
            name=item.name,  # type: ignore[attr-defined]
            version=number,
            aliases=tuple(sorted(alias for alias, at in aliases.items() if at == number)),
            run_id=item.run_id or "",  # type: ignore[attr-defined]
            source=item.source or "",  # type: ignore[attr-defined]
            created=int(item.creation_timestamp or 0),  # type: ignore[attr-defined]
            tags=dict(item.tags or {}),  # type: ignore[attr-defined]
        )
