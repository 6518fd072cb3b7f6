"""Builds classifiers of files that other programs wrote (.pth.tar, .pt, .safetensors), in torchvision's layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pct_mlops.errors import DataError
from pct_mlops.models.architecture import Architecture
from pct_mlops.models.classifier import Classifier
from pct_mlops.models.factory import build_model
from pct_mlops.models.families import ORIGINAL_STODEPTH, split_name
from pct_mlops.models.files import SHOWN, heads_of, load_weights_into
from pct_mlops.models.published import to_our_names
from pct_mlops.models.state_files import read_state_file
from pct_mlops.models.wrappers import PREFIXES, shared_prefix

ADVICE = "name the architecture that the file was trained with"


def read_checkpoint(path: str | Path, architecture: Architecture, *, with_heads: bool = True) -> Classifier:
    """Read the classifier in a checkpoint.

    The file holds a state dict, alone or under "state_dict", "model_state_dict" or "model", in torchvision's layout or
    in ours. Prefixes of wrappers (`module.`, `_orig_mod.`, `model.`) are taken off. The research code scaled the blocks
    of ..._StoDepth_lineardecay by their survival in evaluation. Here that scale goes into the weights of the block's
    last norm, which gives the same logits.

    Args:
        path: a .pth.tar, .pt or .safetensors file.
        architecture: what the file does not say: name, class names in the order of its outputs, image shape and
            normalisation.
        with_heads: False keeps the heads as they are drawn, whatever the file has for them.

    Raises:
        PctError: the file is missing, damaged or too large, holds more than tensors and plain values, or does not fit.
    """
    path = Path(path)
    state, named = read_state_file(path)
    base, variant = split_name(architecture.name)
    if base.startswith("squeezenet"):
        raise DataError(
            f"{path} cannot become a {base} here, whose classifier is a linear layer on pooled features: "
            "train one here, or score the file with the code that wrote it and import its predictions."
        )
    model = build_model(architecture)
    ours = to_our_names(model, state)
    _check_names(path, state, model, ours)
    if with_heads:
        _check_num_classes(path, model, ours)
    if variant in ("aux", "mb") and architecture.aux_eval == "main":
        # Such heads do not count in evaluation then, so the file may lack them. All the rest must fit.
        ours = {**{key: value for key, value in heads_of(model.state_dict()).items() if "aux_" in key}, **ours}
    says = f" (it says that it is of {named})" if named and named != architecture.name else ""
    load_weights_into(model, ours, f"{path}{says}", ADVICE, with_heads=with_heads)
    if variant == "stodepth" and ORIGINAL_STODEPTH in (named or architecture.name):
        _scale_branches(model)
    return model


def _check_names(path: Path, state: Mapping[str, Tensor], model: Classifier, ours: Mapping[str, Tensor]) -> None:
    """Raise DataError when all names begin with a prefix that is not known, and none is of the model."""
    prefix = shared_prefix(state)
    known = (model.state_dict().keys() & ours.keys()) - {"mean", "std", "head.bias"}
    if prefix and prefix not in PREFIXES and not known:
        first = list(state)
        more = ", ..." if len(first) > SHOWN else ""
        raise DataError(
            f"All names in {path} begin with '{prefix}' ({', '.join(first[:SHOWN])}{more}), and "
            f"{model.architecture.name} has no such part: save the state dict of the network "
            "inside, or name another architecture."
        )


def _check_num_classes(path: Path, model: Classifier, ours: Mapping[str, Tensor]) -> None:
    """Raise DataError when the head fits the model's features and not its number of classes."""
    own, given = model.state_dict()["head.weight"], ours.get("head.weight")
    if given is None or given.shape == own.shape or given.shape[1:] != own.shape[1:]:
        return
    raise DataError(
        f"{path} has outputs for {len(given)} classes, and {len(own)} class names are known: list its classes, in the "
        "order of its outputs, with teacher.classes, model.init_classes or --classes."
    )


def _scale_branches(model: Classifier) -> None:
    from pct_mlops.models.residual import StochasticBlock

    for block in model.modules():
        if isinstance(block, StochasticBlock):
            norm = block.bn3 if block.bottleneck else block.bn2
            with torch.no_grad():
                for values in norm.parameters():
                    values.mul_(1 - block.depth.p)
