"""The connection to an MLflow server or store, with failures said in one sentence."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pct_mlops.errors import (
    PctError,
    RegistryError,
    RegistryForbiddenError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)

# Before mlflow is imported. A user's own settings win.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Nothing of ours needs unpickling: a pickled model in the registry must not run code in the gate or the app.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # A server that is down should be said within seconds; the default retries for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    # Nor should a server that is busy be able to make a command wait for an hour.
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
# Where requests are bounded the repetition follows at once: no pause that the server asks for, and no random one.
_PAUSES = {"MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false", "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0"}
# Libraries below mlflow whose errors it lets through; the last four speak to artifact stores.
_BELOW = {"requests", "urllib3", "sqlalchemy", "sqlite3", "boto3", "botocore", "google", "azure"}
_USER = re.compile(r"(?<=://)[^/\s]*@")
_LONGEST = 300  # characters of what a server said; it may be a whole page
_REFUSALS = {
    "BAD_REQUEST",
    "CUSTOMER_UNAUTHORIZED",
    "INVALID_PARAMETER_VALUE",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
    "UNAUTHENTICATED",
}
_KINDS: dict[str, type[RegistryError]] = {
    "CUSTOMER_UNAUTHORIZED": RegistryForbiddenError,
    "PERMISSION_DENIED": RegistryForbiddenError,
    "REQUEST_LIMIT_EXCEEDED": RegistryUnavailableError,
    "RESOURCE_DOES_NOT_EXIST": RegistryNotFoundError,
    "TEMPORARILY_UNAVAILABLE": RegistryUnavailableError,
    "UNAUTHENTICATED": RegistryForbiddenError,
}
# What the environment held before the first of the threads within `bounded_requests`, then one entry for each of them.
_bounds_lock, _bounds_kept = threading.Lock(), list[dict[str, "str | None"]]()
for _key, _value in _SETTINGS.items():
    os.environ.setdefault(_key, _value)

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric  # noqa: E402, F401
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.utils.file_utils import local_file_uri_to_path  # noqa: E402
from mlflow.utils.uri import is_local_uri  # noqa: E402

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)


def open_store(tracking_uri: str | None, create: bool) -> MlflowClient:
    """A client of `tracking_uri` (None: MLflow's own setting); a missing SQLite store is made only with `create`."""
    if tracking_uri:
        mlflow.set_tracking_uri(tracking_uri)
    uri = mlflow.get_tracking_uri()
    # An empty file would be made a registry by mlflow.
    if uri.startswith("sqlite:///") and not create and not _has_content(uri.removeprefix("sqlite:///")):
        raise RegistryUnavailableError(
            f"There is no registry at {uri}: set MLFLOW_TRACKING_URI to yours, "
            "or train a first baseline with 'mlflow run . -P loss=none'."
        )
    with said_plainly(f"opening {without_user(uri)}"):
        return MlflowClient(tracking_uri=uri)


def without_user(text: str) -> str:
    """The text without names and passwords in its addresses: errors end in the logs of CI."""
    return _USER.sub("", text)


def _has_content(path: str) -> bool:
    try:
        return os.path.isfile(path) and os.path.getsize(path) > 0
    except OSError:
        return False


@contextmanager
def said_plainly(doing: str) -> Iterator[None]:
    """Turn what mlflow, its store or the network raise into a PctError that says what was being done."""
    try:
        yield
    except PctError:
        raise
    except MlflowException as error:
        if _no_answer(error):
            raise _silent(doing) from error
        kind = _KINDS.get(error.error_code, RegistryError)
        raise kind(f"MLflow refused {doing}: {_first_line(error)}") from error
    except ImportError as error:
        raise RegistryError(
            f"{doing[0].upper()}{doing[1:]} needs a Python package that is not installed ({error.name or error}): "
            "install it, or set MLFLOW_TRACKING_URI to another registry."
        ) from error
    except Exception as error:
        if "file is not a database" in str(error):
            raise RegistryUnavailableError(
                f"{without_user(mlflow.get_tracking_uri())} is no database: set MLFLOW_TRACKING_URI to your registry."
            ) from error
        if type(error).__module__.split(".")[0] in _BELOW:
            raise _silent(doing) from error
        if isinstance(error, OSError):
            what = f"{doing[0].upper()}{doing[1:]}"
            raise RegistryError(f"{what} failed ({_first_line(error)}): see to it, and try again.") from error
        raise


def _no_answer(error: Exception) -> bool:
    text = str(error)
    return "Max retries exceeded" in text or "Connection refused" in text


def _silent(doing: str) -> RegistryUnavailableError:
    return RegistryUnavailableError(
        f"The tracking server {without_user(mlflow.get_tracking_uri())} does not answer ({doing}): "
        "start it, or set MLFLOW_TRACKING_URI to the one that runs."
    )


@contextmanager
def bounded_requests(seconds: float) -> Iterator[None]:
    """Within, a request to the server ends after at most `seconds` (4 or more): one try, one repetition.

    Each waits for the connection, and as long again for the answer; the second follows the first at once. MLflow reads
    these bounds from the environment; of threads that overlap, the last to leave puts it back.
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
    """Whether the store itself said no, so that nothing was written; after any other failure one cannot know."""
    return _code(error) in _REFUSALS


def missing(error: BaseException) -> bool:
    """Whether the store said that there is no such thing."""
    return _code(error) == "RESOURCE_DOES_NOT_EXIST"


def forbidden(error: BaseException) -> bool:
    """Whether the server said that this user may not."""
    return _code(error) == "PERMISSION_DENIED"


def _code(error: BaseException | None) -> str:
    """MLflow's code of an error, or of what it was made from; empty when MLflow had no part in it."""
    while isinstance(error, PctError):
        error = error.__cause__
    return error.error_code if isinstance(error, MlflowException) else ""


def local_folder(location: str) -> Path | None:
    """The folder behind an artifact location on this machine's own disk, else None."""
    local = is_local_uri(location, is_tracking_or_registry_uri=False)
    return Path(local_file_uri_to_path(location)) if local else None


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdigit() else otherwise


def _first_line(error: Exception) -> str:
    line = without_user((str(error).strip().splitlines() or [type(error).__name__])[0])
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
