"""Copies a version from the model that people train into, to the one whose production only CI moves."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

from pct_mlops.registry.connection import MlflowException, said_plainly
from pct_mlops.registry.lock import locked
from pct_mlops.registry.registry import Registry, Version

CANDIDATES = "-candidates"


def release(registry: Registry, source: Version, name: str) -> Version:
    """Copy a version into another model, with its tags and artifacts but without its aliases.

    Args:
        registry: Where both models are.
        source: The version.
        name: The model to copy it into. It is made where there is none.

    Returns:
        The copy. A version that was copied before is not copied twice.
    """
    if source.name == name:
        return source
    with said_plainly(f"making the model {name}"):
        try:
            registry.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    copied = _copy_of(registry, source, name)
    if copied is not None:
        return copied
    # Two releases at once would both find no copy, so the second looks again when the first is done.
    with locked(registry, name) as lock:
        copied = _copy_of(registry, source, name)
        if copied is not None:
            return copied
        lock.hold()
        # MLflow prints what it does. A command prints only its own lines.
        with said_plainly(f"copying {source.uri} into {name}"), redirect_stderr(io.StringIO()):
            made = registry.client.copy_model_version(source.uri, name)
    return registry.get(name, int(made.version))


def copies(registry: Registry, source: Version, name: str) -> list[Version]:
    """Return the versions of `name` that were copied from `source` and have its files, the newest first.

    Name and number of `source` are not enough: they may have belonged to a version that was deleted since.
    """
    found = [version for version in registry.versions(name) if version.source == source.uri]
    return [version for version in found if registry.have_same_files(version, source)]


def _copy_of(registry: Registry, source: Version, name: str) -> Version | None:
    """Return the oldest copy, None when there is none."""
    found = copies(registry, source, name)
    return found[-1] if found else None
