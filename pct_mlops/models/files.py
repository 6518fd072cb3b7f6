"""Classifiers on disk: a record and safetensors, from which nothing is unpickled."""

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
from pct_mlops.errors import DataError
from pct_mlops.models.architecture import Architecture
from pct_mlops.models.classifier import Classifier
from pct_mlops.models.factory import build_model

SHOWN = 3
HOW_NAMED = "name it yourself, as model.name or as arch beside ref in teacher.refs, in your recipe or with --set"
TOGETHER = "use files that one training wrote together"


def save_classifier(model: Classifier, folder: Path) -> None:
    """Write `architecture.json` and `model.safetensors` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "architecture.json").write_text(model.architecture.model_dump_json(indent=2) + "\n", encoding="utf-8")
    save_model(model, str(folder / "model.safetensors"))


def load_classifier(folder: Path, named: Collection[str] = ()) -> Classifier:
    """Rebuild what `save_classifier` wrote; nothing is unpickled. Damaged or foreign files raise PctError.

    `named`: code (module:callable) that a record may name as its builder; see `classifier_from_bytes`.
    """
    record, weights = folder / "architecture.json", folder / "model.safetensors"
    try:
        return classifier_from_bytes(record.read_bytes(), weights.read_bytes(), str(folder), named)
    except OSError as error:
        raise DataError(f"{folder} does not hold a classifier: {error}.") from error


def classifier_from_bytes(record: bytes, weights: bytes, source: str, named: Collection[str] = ()) -> Classifier:
    """The same from the contents of the two files; `source` names them in errors.

    A record is data from elsewhere: it may name what is built in and installed entry points, but code (module:callable)
    only where the user named it too, in `named`. PctError otherwise, and nothing is imported.
    """
    try:
        architecture = validate(Architecture, json.loads(record), f"The architecture record of {source}")
    except ValueError as error:
        raise DataError(f"The architecture record of {source} is not JSON: {error}.") from error
    refuse_code([architecture.name] if is_code(architecture.name) else [], named, f"The record of {source}", HOW_NAMED)
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
    """Fill the model with `state` (names as in its own state_dict); PctError lists what is missing, too much or amiss.

    `with_heads=False`: the main and auxiliary heads stay as they are, whatever `state` has for them (another number of
    classes, for example). Normalisation comes with the weights. `source` names them in errors, `advice` ends the
    sentence.
    """
    own = model.state_dict()
    if not with_heads:
        state = {**{key: value for key, value in state.items() if not is_head(key)}, **heads_of(own)}
    # Counters of batches came to BatchNorm later than the oldest files.
    counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked") and key not in state}
    complete = OrderedDict({**counters, **state})
    reason = _misfit(own, complete)
    if reason:
        raise DataError(_refusal(source, model.architecture.name, reason, advice))
    # Some of torchvision's networks ask which version of themselves the weights are of: by their names, today's.
    complete._metadata = own._metadata  # type: ignore[attr-defined]
    model.load_state_dict(complete)
    _note_normalisation(model)


def _note_normalisation(model: Classifier) -> None:
    """Weights bring the mean and standard deviation that they were trained with: the record is to say so too."""
    for name in ("mean", "std"):
        held = getattr(model, name).flatten()
        if not held.is_meta and not torch.equal(held, torch.tensor(getattr(model.architecture, name)).to(held)):
            model.architecture = model.architecture.model_copy(update={name: tuple(held.tolist())})


def is_head(key: str) -> bool:
    """Whether a weight of this name belongs to the main or an auxiliary head."""
    return key.startswith(("head.", "aux_heads."))


def heads_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the main and auxiliary heads."""
    return {key: value for key, value in state.items() if is_head(key)}


def _misfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """What keeps `state` from fitting, the first few of each kind; empty when it fits."""
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
