"""Says why a registry failed: one table from the signs of a failure to a sentence that names what settles it."""

from __future__ import annotations

import re

from pct_mlops.errors import (
    PctError,
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)
from pct_mlops.registry.causes.cause import USER_VARIABLES, Cause, Situation, StoreAddress
from pct_mlops.registry.causes.databases import DATABASE, FILES, RUNS
from pct_mlops.registry.causes.network import SERVER, TLS
from pct_mlops.registry.causes.object_stores import OBJECT_STORE
from pct_mlops.registry.causes.signs import Failure, first_line, set_variables, without_secrets

__all__ = [
    "CAUSES",
    "USER_VARIABLES",
    "Cause",
    "Failure",
    "StoreAddress",
    "find_cause",
    "plain_error",
    "set_variables",
    "without_secrets",
]

# Searched from the top: an object store that refuses a connection is no tracking server that is down.
CAUSES: tuple[Cause, ...] = (*OBJECT_STORE, *RUNS, *TLS, *DATABASE, *SERVER, *FILES)
# Libraries below mlflow whose errors it lets through.
_BELOW = {"requests", "urllib3", "sqlalchemy", "sqlite3", "boto3", "botocore", "google", "azure"}
_KINDS: dict[str, type[RegistryError]] = {
    "RESOURCE_DOES_NOT_EXIST": RegistryNotFoundError,
    "TEMPORARILY_UNAVAILABLE": RegistryUnavailableError,
}


def plain_error(error: Exception, doing: str, place: StoreAddress) -> PctError | None:
    """Make the error that says why mlflow, its store or the network failed.

    Args:
        error: What was raised.
        doing: What was tried, for example "reading the model pets".
        place: The store that was asked.

    Returns:
        An error whose sentence says what to do. None for an exception that none of these libraries raises, which is a
        bug of ours.
    """
    failure = Failure.of(error)
    cause = find_cause(failure, doing)
    if cause is not None:
        return cause.error(Situation(failure, doing, place))
    what = doing[0].upper() + doing[1:]
    code = getattr(error, "error_code", None)
    if isinstance(code, str) and type(error).__module__.startswith("mlflow"):
        return _KINDS.get(code, RegistryError)(f"MLflow refused {doing}: {first_line(error)}")
    if isinstance(error, ImportError):
        return RegistryError(f"{what} needs a Python package that is not installed ({failure.package}): install it.")
    if type(error).__module__.split(".")[0] in _BELOW:
        text = f"{what} failed at {place.text} ({failure.detail}): see what 'pct doctor' says, and try again."
        return RegistryUnavailableError(text)
    if isinstance(error, OSError):
        return RegistryError(f"{what} failed ({first_line(error)}): see to it, and try again.")
    return None


def find_cause(failure: Failure, doing: str = "") -> Cause | None:
    """Return the first row of the table that fits a failure, None when none does.

    Signs are compared first, in all rows. Words are the last resort.
    """
    rows = [cause for cause in CAUSES if re.search(cause.doing, doing)]
    for cause in rows:
        if failure.signs.intersection(cause.signs):
            return cause
    return next((cause for cause in rows if cause.words and re.search(cause.words, failure.text)), None)
