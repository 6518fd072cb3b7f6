"""Finds weights by what a person types: a version, a checkpoint folder, or a file that another program wrote."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.config import FileClasses, ModelConfig
from pct_mlops.config.commands import train_command
from pct_mlops.errors import ConfigError, DataError, RegistryNotFoundError
from pct_mlops.registry import PRODUCTION, Registry, Version
from pct_mlops.registry.model_digests import FILES
from pct_mlops.workflows.runtime.distributed import main_process_logger, on_main
from pct_mlops.workflows.runtime.session import Session

if TYPE_CHECKING:
    from pct_mlops.data import Splits
    from pct_mlops.models import Architecture, Classifier

logger = main_process_logger(__name__)

LEGACY = (".tar", ".pt", ".pth", ".ckpt", ".bin", ".safetensors")  # files that hold weights and do not say of what


@dataclass(frozen=True)
class Weights:
    """A classifier as bytes, so that the process that reads it can send it to all others.

    `uri` says which model it is. `named` holds code (module:callable) that the user named, and that the record may
    therefore name as its builder.
    """

    uri: str
    record: bytes
    weights: bytes
    named: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """sha256 over architecture record and weights."""
        return hashlib.sha256(self.record + self.weights).hexdigest()

    def build(self) -> Classifier:
        """Build the classifier. Unpickle nothing, and import no code that only the record names."""
        from pct_mlops.models import classifier_from_bytes

        return classifier_from_bytes(self.record, self.weights, self.uri, self.named)


def is_weights_file(reference: str) -> bool:
    """Tell whether the reference means a file of weights alone, without a record of its architecture and classes."""
    path = Path(reference)
    with_record = path.name == FILES[1] and (path.parent / FILES[0]).is_file()
    return reference.endswith(LEGACY) and not os.path.isdir(path) and not with_record


def is_checkpoint(reference: str) -> bool:
    """Tell whether the reference means a file or folder on disk and not a registered version."""
    return os.path.isdir(reference) or reference.endswith(LEGACY)


def fetch_weights(
    reference: str,
    model_name: str,
    session: Session,
    architecture: Architecture,
    *,
    with_heads: bool = True,
    named: Collection[str] | None = None,
    classes: FileClasses | None = None,
) -> Weights:
    """Return the weights behind a reference, on every process.

    Args:
        reference: A version, a bare alias such as "production", a checkpoint folder, or a file of another program.
        model_name: The registered model that bare aliases belong to.
        session: The processes and the registry.
        architecture: What such a file, which does not say, is taken to be. Its class names are those of the data.
        with_heads: When False, the heads of such a file need not fit, and are not read.
        named: Code that the user named. By default it is that of `architecture`, which the user's recipe named.
        classes: What the user says of the classes of such a file. They are brought into the order of the data.

    Raises:
        PctError: The reference leads to no weights, or `classes` are given for one that records its own.
    """

    def read() -> tuple[str, bytes, bytes]:
        path = Path(reference)
        if is_weights_file(reference):
            return (str(path), *_from_file(path, architecture, with_heads, classes))
        if classes is not None and classes.given is not None:
            raise ConfigError(f"{reference} records its own classes: leave out {classes.key}.")
        if is_checkpoint(reference):
            return (str(path), *_from_folder(path if path.is_dir() else path.parent))
        if session.registry is None:
            raise ConfigError(
                f"'{reference}' is no checkpoint, and no registry is open: give the path of a checkpoint."
            )
        name = f"{model_name}@{reference}" if reference.isidentifier() else reference
        version = session.registry.resolve(name)
        return (version.uri, *classifier_files(session.registry, version))

    trusted = frozenset([architecture.name] if named is None else named)
    return Weights(*on_main(session.accelerator, read), trusted)


def weights_of(model: Classifier, uri: str) -> Weights:
    """Turn a classifier of this process into bytes."""
    from safetensors.torch import save

    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    record = model.architecture.model_dump_json().encode()
    return Weights(uri, record, save(state), frozenset([model.architecture.name]))


def architecture_of(model: ModelConfig, splits: Splits, name: str | None = None) -> Architecture:
    """Return the architecture that a recipe's model section describes, for these data.

    With `name`, return the architecture of that name without the section's settings.
    """
    from pct_mlops.models import LOGIT_MEAN, Architecture

    if (name or model.name) == LOGIT_MEAN:
        raise ConfigError(
            f"{LOGIT_MEAN} is made of versions by 'pct ensemble --register' and is not trained: choose an architecture "
            "of 'pct list models'."
        )
    own = {} if name else model.model_dump(include=set(Architecture.model_fields) & set(ModelConfig.model_fields))
    data = {"class_names": splits.class_names, "image_shape": splits.image_shape}
    return Architecture(**{**own, "name": name or model.name, **data, "mean": splits.mean, "std": splits.std})


def other_classes(model: Classifier, splits: Splits, uri: str) -> tuple[str, ...] | None:
    """Return the classes of a model in the order of its logits. Return None where they are those of the data.

    Raise DataError where the model knows none of the data's classes.
    """
    known = model.architecture.class_names
    if known == splits.class_names:
        return None
    if set(known).isdisjoint(splits.class_names):
        raise DataError(
            f"{uri} knows none of the classes of {splits.name}: score it on data with classes that it knows."
        )
    return known


def production_of(model_name: str, why: str, session: Session) -> str:
    """Return the production version by its number, as `models:/name/3`.

    Without one, raise an error that says `why` it is needed and how to make a first baseline.
    """

    def find() -> str:
        version = session.registry.find(model_name, PRODUCTION) if session.registry else None
        if version is None:
            raise RegistryNotFoundError(
                f"{why} the production version of {model_name}, and there is none: make a first baseline "
                f"with {train_command()} and then "
                f"'pct gate {model_name}@candidate --policy FILE --promote'."
            )
        return version.uri

    return on_main(session.accelerator, find)


def classifier_files(registry: Registry, version: Version) -> tuple[bytes, bytes]:
    """Read architecture record and weights of a version, as bytes. Raise RegistryNotFoundError when one is missing."""
    contents = []
    for name in FILES:
        path: Path | None = registry.download(version, name)
        if path is None:
            raise RegistryNotFoundError(
                f"{version.uri} carries no {name}, so it cannot be rebuilt: register it with 'pct train', or, where "
                f"predictions are enough, use 'pct attach {version.name}/{version.version} FILE'."
            )
        contents.append(path.read_bytes())
    return contents[0], contents[1]


def _from_folder(folder: Path) -> tuple[bytes, bytes]:
    """Read both files from a folder, or from `best` in the folder of a training, where its best epoch lies."""
    inside = folder / "best" if (folder / "best").is_dir() else folder
    try:
        return (inside / FILES[0]).read_bytes(), (inside / FILES[1]).read_bytes()
    except OSError as error:
        raise DataError(
            f"{folder} is no checkpoint ({Path(error.filename).name} is missing): give a folder with "
            f"{' and '.join(FILES)}."
        ) from error


def _from_file(
    path: Path, architecture: Architecture, with_heads: bool, classes: FileClasses | None
) -> tuple[bytes, bytes]:
    """Read a file of weights. Bring its classes into the order of the data where both have the same ones."""
    from pct_mlops.models import read_checkpoint, reorder_classes

    of_data = architecture.class_names
    names = classes.names() if classes is not None else None
    if names is not None:
        architecture = architecture.model_copy(update={"class_names": names})
    model = read_checkpoint(path, architecture, with_heads=with_heads)
    if classes is not None and names is None and with_heads:
        logger.info(
            f"{path} does not name its classes: its outputs are taken in the order of the data ({of_data[0]}, "
            f"{of_data[1]}{', ...' if len(of_data) > 2 else ''}). {classes.key} sets another order."
        )
    if sorted(architecture.class_names) == sorted(of_data):
        reorder_classes(model, of_data)
    found = weights_of(model, str(path))
    return found.record, found.weights
