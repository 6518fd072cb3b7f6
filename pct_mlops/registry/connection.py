"""Sets MLflow up, bounds its requests, and turns its failures into errors of one sentence."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pct_mlops.errors import ConfigError, PctError
from pct_mlops.registry.causes import Failure, StoreAddress, plain_error

# Set before mlflow is imported. A user's own settings win.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Nothing of ours needs unpickling: a pickled model in the registry must not run code in the gate or the app.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # An error for a server that is down should come within seconds. The default retries for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    # A busy server must not be able to make a command wait for an hour.
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
# Within `bounded_requests` the second try follows at once: no pause that the server asks for, and no random one.
_PAUSES = {"MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false", "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0"}
_REGISTRY_MODULES = ("mlflow.tracking._model_registry", "mlflow.store.model_registry")
_REFUSALS = {
    "BAD_REQUEST",
    "CUSTOMER_UNAUTHORIZED",
    "INVALID_PARAMETER_VALUE",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
    "UNAUTHENTICATED",
}
# First what the environment held before `bounded_requests`, then one entry for each thread that is within it.
_bounds_lock, _bounds_kept = threading.Lock(), list[dict[str, "str | None"]]()
for _key, _value in _SETTINGS.items():
    os.environ.setdefault(_key, _value)

try:
    import mlflow
    from mlflow import MlflowClient  # noqa: F401
    from mlflow.entities import Metric  # noqa: F401
    from mlflow.exceptions import MlflowException
    from mlflow.utils.file_utils import local_file_uri_to_path
    from mlflow.utils.uri import is_local_uri
except Exception as _error:
    # For a user without a home folder MLflow cannot even be imported.
    raise plain_error(_error, "importing mlflow", StoreAddress("")) or _error from _error

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)
# It logs each error of the database that it raises, in ten lines of SQL. `said_plainly` says the same in one.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def places() -> tuple[StoreAddress, StoreAddress]:
    """Return the tracking store and the registry that are in force.

    They are the same object unless MLFLOW_REGISTRY_URI is set.
    """
    tracking = StoreAddress(mlflow.get_tracking_uri())
    try:
        registry = mlflow.get_registry_uri()
    except ValueError as error:
        # MLflow looks whether the address is one of Databricks, and that fails for a bracket that is not closed.
        raise ConfigError(f"MLFLOW_TRACKING_URI is no address ({error}): correct it, or --tracking-uri.") from error
    return tracking, tracking if registry == tracking.uri else StoreAddress(registry, "MLFLOW_REGISTRY_URI")


@contextmanager
def said_plainly(doing: str, place: StoreAddress | None = None) -> Iterator[None]:
    """Turn what mlflow, its store or the network raise into a PctError that says the cause and what to do.

    Args:
        doing: What is tried, for example "reading the model pets".
        place: The store that is asked. None: it is told from the error.
    """
    try:
        yield
    except PctError:
        raise
    except Exception as error:
        found = plain_error(error, doing, place or _place_of(error))
        if found is None:
            raise
        raise found from error


def _place_of(error: Exception) -> StoreAddress:
    """Return the store that an error came from, told by the modules of mlflow in its traceback."""
    tracking, registry = places()
    if registry is not tracking and Failure.of(error).passes_through(_REGISTRY_MODULES):
        return registry
    return tracking


@contextmanager
def bounded_requests(seconds: float) -> Iterator[None]:
    """Bound each request to the server, for the time of a `with` block.

    A request is tried twice, the second time at once. Each try waits for the connection, and as long again for the
    reply. MLflow reads these bounds from the environment. Where threads overlap, the last to leave restores it.

    Args:
        seconds: After which a request has ended, 4 or more.
    """
    bounds = {"MLFLOW_HTTP_REQUEST_TIMEOUT": max(1, int(seconds / 4)), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 1}
    with _bounds_lock:
        if not _bounds_kept:
            _bounds_kept.append({key: os.environ.get(key) for key in (*bounds, *_PAUSES)})
        kept = _bounds_kept[0]
        _bounds_kept.append({})
        os.environ.update({key: str(min(bound, _number(kept[key], bound))) for key, bound in bounds.items()})
        os.environ.update(_PAUSES)
    try:
        yield
    finally:
        with _bounds_lock:
            _bounds_kept.pop()
            if len(_bounds_kept) == 1:
                _put_back(_bounds_kept.pop())


def _put_back(kept: Mapping[str, str | None]) -> None:
    for key, value in kept.items():
        os.environ.pop(key, None)
        if value is not None:
            os.environ[key] = value


def store_refused(error: BaseException) -> bool:
    """Tell whether the store itself refused, so that nothing was written. After any other failure that is unknown."""
    return _code(error) in _REFUSALS


def missing(error: BaseException) -> bool:
    """Tell whether the store said that what was asked for does not exist."""
    return _code(error) == "RESOURCE_DOES_NOT_EXIST"


def forbidden(error: BaseException) -> bool:
    """Tell whether the server said that this user lacks the permission."""
    return _code(error) == "PERMISSION_DENIED"


def _code(error: BaseException | None) -> str:
    """Return MLflow's code of an error or of its cause, empty where MLflow did not raise it."""
    while isinstance(error, PctError):
        error = error.__cause__
    return error.error_code if isinstance(error, MlflowException) else ""


def local_folder(location: str) -> Path | None:
    """Return the folder behind an artifact location on this machine's own disk, None for any other location."""
    local = is_local_uri(location, is_tracking_or_registry_uri=False)
    return Path(local_file_uri_to_path(location)) if local else None


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdigit() else otherwise
