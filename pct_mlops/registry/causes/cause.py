"""Defines a row of the table of causes, and what its sentence may mention."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pct_mlops.errors import RegistryError, RegistryUnavailableError
from pct_mlops.registry.causes.signs import Failure, set_variables, without_secrets

USER_VARIABLES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
# Module that is missing -> what pip installs for it.
_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "botocore": "boto3",
    "azure": "azure-storage-blob azure-identity",
    "google": "google-cloud-storage",
}


class StoreAddress(NamedTuple):
    """A store that is asked, and the environment variable that names it."""

    uri: str
    variable: str = "MLFLOW_TRACKING_URI"

    @property
    def text(self) -> str:
        """The store in a sentence, without secrets."""
        scheme = self.uri.partition("://")[0]
        if self.file is not None:
            return f"the SQLite file {self.file}"
        if self.is_local:
            return f"the folder {self.uri.removeprefix('file://')}"
        if "sql" in scheme:
            return f"the database {without_secrets(self.uri)}"
        is_registry = self.variable == "MLFLOW_REGISTRY_URI" or not scheme.startswith("http")
        return f"the {'registry' if is_registry else 'tracking server'} {without_secrets(self.uri)}"

    @property
    def is_local(self) -> bool:
        """True for a file or folder of this machine."""
        return "://" not in self.uri or self.uri.startswith(("sqlite:", "file:"))

    @property
    def file(self) -> str | None:
        """Path of a SQLite store, None for any other."""
        return self.uri.removeprefix("sqlite:///").partition("?")[0] if self.uri.startswith("sqlite:///") else None


@dataclass(frozen=True)
class Cause:
    """A row of the table.

    Attributes:
        name: The cause in a few words.
        sentence: The error text. Its braces name properties of `Situation`, and {Store} is {store} with a capital.
        signs: The row fits where the failure shows one of them.
        words: Regular expression for the messages, the last resort for what libraries tell by text alone.
        doing: Regular expression that narrows the row to failures of such actions.
        kind: Class of the error.
    """

    name: str
    sentence: str
    signs: tuple[str, ...] = ()
    words: str = ""
    doing: str = ""
    kind: type[RegistryError] = RegistryUnavailableError

    def error(self, situation: Situation) -> RegistryError:
        """Make the error that says this cause's sentence."""
        return self.kind(self.sentence.format_map(_Braces(situation)))


@dataclass
class Situation:
    """A failure with the action that failed and the store that was asked."""

    failure: Failure
    doing: str
    place: StoreAddress

    @cached_property
    def store(self) -> str:
        """Store that was asked."""
        return self.place.text

    @cached_property
    def variable(self) -> str:
        """Environment variable that names the store."""
        return self.place.variable

    @cached_property
    def detail(self) -> str:
        """Text of the system or the server."""
        return self.failure.detail

    @cached_property
    def peer(self) -> str:
        """Server that a request failed at: the store, or another one such as an object store."""
        peer = self.failure.peer
        if peer and peer.rpartition("//")[2] not in self.place.uri:
            return f"the server {peer}"
        # A file is no server: what failed is another one, which the error does not name.
        return "the server that was asked" if self.place.is_local else self.store

    @cached_property
    def host(self) -> str:
        """Name of that server's machine."""
        address = self.failure.peer or without_secrets(self.place.uri)
        return re.sub(r"^[\w+]+://", "", address).partition("/")[0].partition(":")[0]

    @cached_property
    def path(self) -> str:
        """File or folder that could not be used."""
        return self.failure.path or self.place.file or "the artifact store"

    @cached_property
    def package(self) -> str:
        """Module that could not be imported."""
        return self.failure.package

    @cached_property
    def install(self) -> str:
        """Package that brings that module."""
        root = self.failure.package.split(".")[0]
        return _PACKAGES.get(root, root)

    @cached_property
    def credentials(self) -> str:
        """Variables to set, or to correct where they are set."""
        given = set_variables(USER_VARIABLES)
        if given:
            return f"correct {' and '.join(given)}"
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"

    @cached_property
    def run(self) -> str:
        """Id of the run that the messages name."""
        found = re.search(r"\b[0-9a-f]{32}\b", self.failure.text)
        return found[0] if found else "ID"

    @cached_property
    def schema(self) -> str:
        """Advice for a database that is older or newer than the MLflow that is installed here."""
        import mlflow

        found = re.search(r"found version (\w+)", self.failure.text)
        versions = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
        if found and not any(versions.glob(f"{found[1]}_*.py")):
            return "a newer MLflow made it, so install that version of MLflow here"
        return f"back it up, then run 'mlflow db upgrade {without_secrets(self.place.uri)}'"


class _Braces(dict[str, str]):
    """Takes each word of a sentence's braces from the situation, only when the sentence has it."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(doing=situation.doing)
        self._situation = situation

    def __missing__(self, key: str) -> str:
        if key[0].isupper():
            text = self[key[0].lower() + key[1:]]
            return text[0].upper() + text[1:]
        return str(getattr(self._situation, key))
