"""Opens the tracking store and the registry, and says at once what keeps them from opening.

MLflow makes a SQLite file that is missing, and tries for 100 seconds to reach a database that cannot be opened. Here a
store is looked at first.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from pct_mlops.config.commands import train_command
from pct_mlops.errors import RegistryUnavailableError
from pct_mlops.registry.causes import StoreAddress, without_secrets
from pct_mlops.registry.connection import MlflowClient, local_folder, mlflow, places, said_plainly

logger = logging.getLogger(__name__)


def open_store(tracking_uri: str | None, create: bool) -> MlflowClient:
    """Open the tracking store and the registry that are in force.

    Args:
        tracking_uri: Used instead of MLFLOW_TRACKING_URI. MLFLOW_REGISTRY_URI names another registry all the same.
        create: Permits making a local store that is not there.

    Returns:
        A client of both.

    Raises:
        RegistryUnavailableError: A local store is missing, or a store cannot be reached.
    """
    if tracking_uri:
        mlflow.set_tracking_uri(tracking_uri)
    tracking, registry = places()
    for place in dict.fromkeys((registry, tracking)):
        with said_plainly(f"opening {without_secrets(place.uri)}", place):
            if not create and is_missing(place):
                raise RegistryUnavailableError(_no_store(place, tracking, registry))
            connect_once(place, create=create)
    opening = f"opening {without_secrets(tracking.uri)}"
    with said_plainly(opening, tracking), _tables_made_by_one(tracking.file if create else None):
        return MlflowClient(tracking_uri=tracking.uri, registry_uri=registry.uri)


def is_missing(place: StoreAddress) -> bool:
    """Tell whether a local store does not exist. An empty file counts as missing, because mlflow would fill it."""
    if place.file is not None:
        return not (os.path.isdir(place.file) or (os.path.isfile(place.file) and os.path.getsize(place.file) > 0))
    folder = local_folder(place.uri) if "://" not in place.uri or place.uri.startswith("file:") else None
    return folder is not None and not folder.is_dir()


def connect_once(place: StoreAddress, *, create: bool = False) -> None:
    """Connect to a database once, and raise what keeps it from being opened.

    A SQLite file that others have locked is fine: MLflow waits for it.
    """
    if place.file is not None:
        _open_file(place.file, create)
    elif "sql" in place.uri.partition("://")[0]:
        # The function that MLflow uses, without its repetitions.
        from mlflow.store.db.utils import create_sqlalchemy_engine

        engine = create_sqlalchemy_engine(place.uri)
        try:
            engine.connect().close()
        finally:
            engine.dispose()


def _open_file(file: str, create: bool) -> None:
    if file in ("", ":memory:"):
        return
    if create:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    try:
        uri = f"file:{quote(file)}?mode={'rwc' if create else 'rw'}"
        with closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise


@contextmanager
def _tables_made_by_one(file: str | None) -> Iterator[None]:
    """Hold the lock of a SQLite file's folder, so that a second first training waits until the tables are made.

    The folder itself is locked, so that no file stays behind. Nothing is locked where a system cannot do so.
    """
    try:
        import fcntl
    except ImportError:  # a system without file locks
        file = None
    if file in (None, "", ":memory:"):
        yield
        return
    folder = os.open(Path(str(file)).parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info(f"Another program is making {file}: waiting for it ...")
                fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _no_store(place: StoreAddress, tracking: StoreAddress, registry: StoreAddress) -> str:
    uri = without_secrets(place.uri)
    if registry is tracking:
        return (
            f"There is no registry at {uri}: set MLFLOW_TRACKING_URI to yours, or train a first baseline with "
            f"{train_command()}."
        )
    if place is registry:
        return (
            f"There is no registry at {uri}, which MLFLOW_REGISTRY_URI names: correct it, or unset it to use "
            f"{without_secrets(tracking.uri)}."
        )
    return (
        f"There is no tracking store at {uri}, which keeps the files of the versions in "
        f"{without_secrets(registry.uri)}: set MLFLOW_TRACKING_URI as well as MLFLOW_REGISTRY_URI."
    )
