"""Finds out whether the registry in force can be read and written, for `pct doctor`.

Looking leaves nothing behind: no database is made, a local file is only tried for its rights, and what is written to a
server or an object store is deleted at once.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from pct_mlops.config.findings import OK, PROBLEM, WARNING, Finding
from pct_mlops.errors import PctError
from pct_mlops.registry.causes import USER_VARIABLES, StoreAddress, set_variables, without_secrets
from pct_mlops.registry.connection import MlflowClient, bounded_requests, local_folder, mlflow, places, said_plainly
from pct_mlops.registry.moves import user
from pct_mlops.registry.opening import connect_once, is_missing
from pct_mlops.registry.registry import LOCK_TAG

PATIENCE = 20.0  # seconds that one request may take in all
# Module -> scheme of the addresses that need it.
SCHEMES = {
    "psycopg": "postgresql://",
    "psycopg2": "postgresql+psycopg2://",
    "pymysql": "mysql+pymysql://",
    "MySQLdb": "mysql://",
    "pyodbc": "mssql+pyodbc://",
    "boto3": "s3://",
    "google.cloud.storage": "gs://",
    "azure.storage.blob": "wasbs://",
}


def probe_registry(tracking_uri: str | None = None, *, write: bool = True) -> Iterator[Finding]:
    """Yield the addresses, the user and the drivers that are in force, and whether the registry works.

    Args:
        tracking_uri: Used instead of MLFLOW_TRACKING_URI.
        write: Try to write, too.

    Yields:
        Findings, with addresses without secrets. A failure is a finding, too.
    """
    origin = "from --tracking-uri" if tracking_uri else "from MLFLOW_TRACKING_URI"
    if not tracking_uri and not os.environ.get("MLFLOW_TRACKING_URI"):
        origin = "MLFLOW_TRACKING_URI is not set"
    try:
        if tracking_uri:
            mlflow.set_tracking_uri(tracking_uri)
        tracking, registry = places()
    except PctError as error:
        yield Finding("tracking store", PROBLEM, str(error))
        return
    yield Finding("tracking store", OK, f"{bare_address(tracking.uri)} ({origin})")
    same = registry is tracking
    yield Finding(
        "registry", OK, "the tracking store" if same else f"{bare_address(registry.uri)} (from MLFLOW_REGISTRY_URI)"
    )
    yield _user()
    yield _drivers()
    with bounded_requests(PATIENCE):
        yield from _stores(tracking, registry, write)


def bare_address(uri: str) -> str:
    """Return an address as it may be printed: without user, password and query."""
    bare = uri.partition("?")[0].partition("#")[0]
    return without_secrets(bare)


def _user() -> Finding:
    given = set_variables(USER_VARIABLES)
    who = f"{user()} ({', '.join(given)} set)" if given else f"{user()} (no MLFLOW_TRACKING_USERNAME or _TOKEN)"
    return Finding("user", OK, who)


def _drivers() -> Finding:
    installed = []
    for module, scheme in SCHEMES.items():
        with suppress(ModuleNotFoundError):
            if importlib.util.find_spec(module) is not None:
                installed.append(f"{module} ({scheme})")
    return Finding("drivers", OK, ", ".join(["sqlite3 (sqlite://)", *installed]))


def _stores(tracking: StoreAddress, registry: StoreAddress, write: bool) -> Iterator[Finding]:
    missing = [place for place in dict.fromkeys((registry, tracking)) if is_missing(place)]
    if missing:
        yield _not_yet(missing[0])
        return
    try:
        client = _reading(tracking, registry)
    except PctError as error:
        yield Finding("reading", PROBLEM, str(error))
        return
    yield Finding("reading", OK, "models and experiments can be listed")
    yield from _settings(client)
    if write:
        yield _writing(client, tracking, registry)
    yield _artifacts(client, tracking, write)


def _not_yet(place: StoreAddress) -> Finding:
    """Return what to do about a local store that does not exist."""
    where = Path(place.file or place.uri.removeprefix("file://")).absolute()
    folder = _nearest(where.parent)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            "reading",
            PROBLEM,
            f"There is no registry at {bare_address(place.uri)}, and this user may not make one: {folder} cannot be "
            f"written, so correct its permissions or {place.variable}.",
        )
    return Finding(
        "reading",
        WARNING,
        f"There is no registry at {bare_address(place.uri)} yet: 'pct train' makes it. "
        f"If you have one, set {place.variable}.",
    )


def _reading(tracking: StoreAddress, registry: StoreAddress) -> MlflowClient:
    for place in dict.fromkeys((tracking, registry)):
        with said_plainly(f"opening {bare_address(place.uri)}", place):
            connect_once(place)
    with said_plainly("listing the registered models", registry):
        client = MlflowClient(tracking_uri=tracking.uri, registry_uri=registry.uri)
        client.search_registered_models(max_results=1)
    with said_plainly("listing the experiments", tracking):
        client.search_experiments(max_results=1)
    return client


def _settings(client: MlflowClient) -> Iterator[Finding]:
    """Yield a problem for a run or experiment that the environment names and that is not there."""
    run_id, name = os.environ.get("MLFLOW_RUN_ID"), os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if run_id:
        try:
            with said_plainly(f"reading the run {run_id} that MLFLOW_RUN_ID names"):
                stage = client.get_run(run_id).info.lifecycle_stage
            deleted = "was deleted: unset MLFLOW_RUN_ID, or restore it with 'mlflow runs restore'."
            text = f"The run {run_id} {deleted}" if stage == "deleted" else f"{run_id} (from MLFLOW_RUN_ID)"
            yield Finding("run", PROBLEM if stage == "deleted" else OK, text)
        except PctError as error:
            yield Finding("run", PROBLEM, str(error))
    if name:
        with suppress(PctError), said_plainly("reading the experiment"):
            found = client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
                yield Finding(
                    "experiment",
                    PROBLEM,
                    f"The experiment {name} was deleted: restore it with '{restore}', or set MLFLOW_EXPERIMENT_NAME to "
                    "another one.",
                )


def _writing(client: MlflowClient, tracking: StoreAddress, registry: StoreAddress) -> Finding:
    """Try to write: make a registered model and delete it. A SQLite file is only locked for writing and let go."""
    try:
        for place in dict.fromkeys((tracking, registry)):
            if place.file is not None:
                with said_plainly("writing", place):
                    _lock_file(place.file)
        if registry.file is None:
            name = f"pct-doctor-{uuid.uuid4().hex[:8]}"
            with said_plainly("writing to the registry", registry):
                client.create_registered_model(name, {LOCK_TAG: "pct doctor"}, "Made by 'pct doctor', and deleted.")
                client.delete_registered_model(name)
    except PctError as error:
        return Finding("writing", PROBLEM, str(error))
    return Finding("writing", OK, "models can be made")


def _lock_file(file: str) -> None:
    with closing(
        sqlite3.connect(f"file:{quote(file)}?mode=rw", uri=True, timeout=1, isolation_level=None)
    ) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    if not os.access(file, os.W_OK) or not os.access(Path(file).absolute().parent, os.W_OK):
        # SQLite locks a file that it may not write; its journal lies in the folder.
        raise PermissionError(13, "Permission denied", file)


def _artifacts(client: MlflowClient, tracking: StoreAddress, write: bool) -> Finding:
    """Try the place where runs keep their files. Of a folder only the rights are checked."""
    name = "artifact store"
    try:
        with said_plainly("reading the artifact store", tracking):
            experiments = client.search_experiments(max_results=1000)
            wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME")
            chosen = [item for item in experiments if item.name == wanted] or experiments
            if not chosen:
                return Finding(name, WARNING, "There is no experiment yet: the first training makes one.")
            location = chosen[0].artifact_location
            folder = local_folder(location)
            if folder is not None:
                return _folder(folder, tracking)
            _remote(location, write)
    except PctError as error:
        return Finding(name, PROBLEM, str(error))
    return Finding(name, OK, f"{bare_address(location)} can be {'read and written' if write else 'read'}")


def _folder(folder: Path, tracking: StoreAddress) -> Finding:
    there = _nearest(folder)
    if urlsplit(tracking.uri).scheme in ("http", "https") and not folder.is_dir():
        return Finding(
            "artifact store",
            PROBLEM,
            f"The server keeps files in its own folder {folder}, which this machine does not have: start it with "
            "--artifacts-destination, or share that folder.",
        )
    if not os.access(there, os.W_OK | os.X_OK):
        text = f"{there} cannot be written by {user()}: correct its permissions, or run as another user."
        return Finding("artifact store", PROBLEM, text)
    free = shutil.disk_usage(there).free / 2**30
    if free < 1:
        return Finding("artifact store", WARNING, f"{folder} has {free:.1f} GiB left: free some space.")
    return Finding("artifact store", OK, f"{folder} ({free:.0f} GiB free)")


def _remote(location: str, write: bool) -> None:
    """List a store, and with `write` store a small file and delete it."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    store = get_artifact_repository(location)
    store.list_artifacts()
    if not write:
        return
    folder = f"pct-doctor-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="pct-") as temporary:
        file = Path(temporary) / "probe.txt"
        file.write_text("Written by 'pct doctor', and deleted.\n", encoding="utf-8")
        store.log_artifact(str(file), folder)
    store.delete_artifacts(folder)


def _nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder
