"""Records facts on a version and its registered model: which weights it has, and where pictures and texts lie."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pct_mlops.registry.connection import said_plainly
from pct_mlops.registry.model_version import Version
from pct_mlops.registry.registry import IMAGES_TAG, TEXTS_TAG, Registry

WEIGHTS_TAG = "pct.weights"  # sha256 of what made the version's own tables


class ExampleFile(NamedTuple):
    """One kind of file that shows the examples of an evaluation set: the folder it is stored in, and its tag."""

    folder: str
    tag: str


THUMBNAILS, TEXTS = ExampleFile("images", IMAGES_TAG), ExampleFile("texts", TEXTS_TAG)


def record_weights(registry: Registry, version: Version, digest: str) -> None:
    """Write the digest of the version's weights on the version, unless one is there already."""
    if WEIGHTS_TAG in version.tags:
        return
    with said_plainly(f"recording the weights of {version.uri}"):
        registry.client.set_model_version_tag(version.name, str(version.version), WEIGHTS_TAG, digest)


def add_example_file(
    registry: Registry, version: Version, kind: ExampleFile, digest: str, file: Path, *, replace: bool
) -> bool:
    """Store pictures or texts of an evaluation set with a version, for all versions of its model.

    Args:
        registry: That holds the version.
        version: Whose files the new one is added to.
        kind: THUMBNAILS or TEXTS.
        digest: Of the evaluation set.
        file: The file, which must be named after the first 16 digits of the digest.
        replace: Whether a file that another version brought gives way.

    Returns:
        Whether it was stored. It is not where the model has such a file already.
    """
    key = kind.tag + digest[:16]
    if not replace and key in registry.registered(version.name).tags:
        return False
    files = registry.files(version)
    files.add(file, kind.folder)
    with said_plainly(f"storing the {kind.folder} of {version.name}"):
        registry.client.set_registered_model_tag(version.name, key, files.address(f"{kind.folder}/{file.name}"))
    registry.forget_example_file(kind.folder, digest)
    return True
