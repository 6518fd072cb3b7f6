"""Fingerprints what makes a version's predictions, so that a table can be tied to the model that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.errors import DataError
from pct_mlops.registry import WEIGHTS_TAG
from pct_mlops.registry.model_digests import weights_digest

if TYPE_CHECKING:
    from pct_mlops.registry import Registry, Version


def version_digest(registry: Registry, version: Version) -> str:
    """Return the digest of a version's weights. Raise PctError when it is not the one that was recorded."""
    recorded, digest = version.tags.get(WEIGHTS_TAG, ""), weights_digest(registry.files(version))
    if recorded and recorded != digest:
        raise DataError(
            f"The files of {version.uri} changed since its weights were recorded ({recorded[:12]}, now {digest[:12]}): "
            f"register the model again, or, where the change is right, delete the tag {WEIGHTS_TAG} of the version."
        )
    return digest
