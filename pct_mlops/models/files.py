"""Writes classifiers to disk as a record and safetensors, and reads them without unpickling anything."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_model
from torch import Tensor

from pct_mlops.config.base import validate
from pct_mlops.config.plugins import is_code, refuse_code
from pct_mlops.errors import DataError, reason_of
from pct_mlops.models.architecture import Architecture
from pct_mlops.models.classifier import Classifier
from pct_mlops.models.factory import build_model
from pct_mlops.models.logit_mean import names_in

SHOWN = 3
HOW_NAMED = "name it yourself, as model.name or as arch beside ref in teacher.refs, in your recipe or with --set"
TOGETHER = "use files that one training wrote together"


def save_classifier(model: Classifier, folder: Path) -> None:
    """Write `architecture.json` and `model.safetensors` into `folder`. Raise OSError where that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "architecture.json").write_text(model.architecture.model_dump_json(indent=2) + "\n", encoding="utf-8")
    try:
        save_model(model, str(folder / "model.safetensors"))
    except SafetensorError as error:  # on a full disk, for example
        raise OSError(reason_of(error)) from error


def load_classifier(folder: Path, named: Collection[str] = ()) -> Classifier:
    """Rebuild the classifier that `save_classifier` wrote, without unpickling anything.

    `named` holds the code (module:callable) that the record may name as its builder, see `classifier_from_bytes`.
    Raise PctError when files are missing, damaged or foreign.
    """
    record, weights = folder / "architecture.json", folder / "model.safetensors"
    try:
        return classifier_from_bytes(record.read_bytes(), weights.read_bytes(), str(folder), named)
    except OSError as error:
        raise DataError(f"{folder} does not hold a classifier: {error}.") from error


def classifier_from_bytes(record: bytes, weights: bytes, source: str, named: Collection[str] = ()) -> Classifier:
    """Rebuild a classifier from the contents of the two files that `save_classifier` writes.

    A record is data from elsewhere. It may name built-in architectures and installed entry points. It may name code
    (module:callable) only when the user named that too. Otherwise nothing is imported.

    Args:
        record: contents of `architecture.json`.
        weights: contents of `model.safetensors`.
        source: what errors call the two files.
        named: code that the user named.

    Raises:
        PctError: the contents are damaged or foreign, or the record names code that the user did not name.
    """
    try:
        architecture = validate(Architecture, json.loads(record), f"The architecture record of {source}")
    except ValueError as error:
        raise DataError(f"The architecture record of {source} is not JSON: {error}.") from error
    code = [name for name in names_in(architecture) if is_code(name)]
    refuse_code(code, named, f"The record of {source}", HOW_NAMED)
    model = build_model(architecture)
    try:
        state = load(weights)
    except SafetensorError as error:
        raise DataError(_refusal(source, architecture.name, str(error), TOGETHER)) from error
    load_weights_into(model, state, source)
    return model


def load_weights_into(
    model: Classifier, state: Mapping[str, Tensor], source: str, advice: str = TOGETHER, *, with_heads: bool = True
) -> None:
    """Fill the model with weights, and with the normalisation that comes with them.

    Args:
        model: the classifier to fill, in place.
        state: weights under the names of the model's own state_dict.
        source: what errors call the weights.
        advice: end of the sentence of an error.
        with_heads: False keeps the main and auxiliary heads as they are, whatever `state` has for them, for example
            another number of classes.

    Raises:
        PctError: weights are missing or unexpected, or have another shape. The error lists the first few.
    """
    own = model.state_dict()
    if not with_heads:
        state = {**{key: value for key, value in state.items() if not is_head(key)}, **heads_of(own)}
    # The oldest files lack BatchNorm's counters of batches: torch added these later.
    counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked") and key not in state}
    complete = OrderedDict({**counters, **state})
    reason = _misfit(own, complete)
    if reason:
        raise DataError(_refusal(source, model.architecture.name, reason, advice))
    # Some of torchvision's networks convert weights of their older versions. These have the names of today's version.
    complete._metadata = own._metadata  # type: ignore[attr-defined]
    model.load_state_dict(complete)
    note_normalisation(model)


def note_normalisation(model: Classifier) -> None:
    """Copy the mean and standard deviation that came with the weights into the record."""
    for name in ("mean", "std"):
        held = getattr(model, name).flatten()
        if not held.is_meta and not torch.equal(held, torch.tensor(getattr(model.architecture, name)).to(held)):
            model.architecture = model.architecture.model_copy(update={name: tuple(held.tolist())})


def is_head(key: str) -> bool:
    """Tell whether a weight of this name belongs to the main or an auxiliary head."""
    return key.startswith(("head.", "aux_heads."))


def heads_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the main and auxiliary heads."""
    return {key: value for key, value in state.items() if is_head(key)}


def _misfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Describe why `state` does not fit, with the first few names of each kind. Return "" when it fits."""
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    other = [
        f"{key}, {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "size mismatch for": other}
    return "; ".join(f"{kind} {_first(keys)}" for kind, keys in kinds.items() if keys)


def _first(keys: Iterable[str]) -> str:
    found = list(keys)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _refusal(source: str, name: str, reason: str, advice: str) -> str:
    return f"{source} does not hold the weights of its {name} ({reason.strip().rstrip('.:')}): {advice}."
