"""Reads checkpoints of the research code (.pth.tar, .pt) as tensors, and never executes anything in them."""

from __future__ import annotations

import contextlib
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pct_mlops.errors import DataError
from pct_mlops.models.architecture import Architecture
from pct_mlops.models.classifier import Classifier
from pct_mlops.models.factory import build_model
from pct_mlops.models.families import ORIGINAL_STODEPTH, split_name
from pct_mlops.models.files import heads_of, load_weights_into
from pct_mlops.models.published import to_our_names

STATE_KEYS = ("state_dict", "model_state_dict", "model")
ADVICE = "name the architecture that the file was trained with"


def read_checkpoint(path: str | Path, architecture: Architecture, *, with_heads: bool = True) -> Classifier:
    """Read the classifier in a checkpoint.

    The file holds a state dict, alone or under "state_dict", "model_state_dict" or "model", in torchvision's layout or
    in ours. The research code scaled the blocks of ..._StoDepth_lineardecay by their survival in evaluation. Here that
    scale goes into the weights of the block's last norm, which gives the same logits.

    Args:
        path: a .pth.tar or .pt file.
        architecture: what the file does not say: name, class names, image shape and normalisation.
        with_heads: False keeps the heads as they are drawn, whatever the file has for them.

    Raises:
        PctError: the file is missing or damaged, holds more than tensors and plain values, or does not fit.
    """
    path = Path(path)
    state, named = _read(path)
    base, variant = split_name(architecture.name)
    if base.startswith("squeezenet"):
        raise DataError(
            f"{path} cannot become a {base} here, whose classifier is a linear layer on pooled features: "
            "train one here, or score the file with the code that wrote it and import its predictions."
        )
    model = build_model(architecture)
    ours = to_our_names(model, state)
    if variant in ("aux", "mb") and architecture.aux_eval == "main":
        # Such heads do not count in evaluation then, so the file may lack them. All the rest must fit.
        ours = {**{key: value for key, value in heads_of(model.state_dict()).items() if "aux_" in key}, **ours}
    says = f" (it says that it is of {named})" if named and named != architecture.name else ""
    load_weights_into(model, ours, f"{path}{says}", ADVICE, with_heads=with_heads)
    if variant == "stodepth" and ORIGINAL_STODEPTH in (named or architecture.name):
        _scale_branches(model)
    return model


def _read(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """Read the state dict of a file, and the name of the architecture in it, "" when there is none."""
    try:
        with _plain_numbers():
            payload = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}: give the path of a .pth.tar or .pt file.") from None
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise DataError(_unreadable(path, str(error))) from error
    named = payload.get("arch") if isinstance(payload, Mapping) else None
    for key in STATE_KEYS:
        if isinstance(payload, Mapping) and isinstance(payload.get(key), Mapping):
            payload = payload[key]
            break
    if not isinstance(payload, Mapping) or not payload or not all(isinstance(x, Tensor) for x in payload.values()):
        raise DataError(f'{path} holds no state dict: save model.state_dict(), alone or under the key "state_dict".')
    return payload, named if isinstance(named, str) else ""


def _unreadable(path: Path, message: str) -> str:
    refused = re.search(r"GLOBAL ([\w.]+)", message)
    if refused:
        return (
            f"{path} holds more than tensors ({refused[1]}), and reading that could run code: save its state_dict "
            "alone with the code that wrote it, and give that file."
        )
    reason = message.strip().split("\n")[0].rstrip(".") or "it is empty"
    return f"{path} is not a checkpoint that can be read ({reason[:200]}): copy it again, it may be cut short."


@contextlib.contextmanager
def _plain_numbers() -> Iterator[None]:
    """Let torch read numpy scalars inside: some files hold accuracies and the like in that form."""
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?"))]
    allowed += [(scalar, f"{module}.multiarray.scalar") for module in ("numpy.core", "numpy._core")]
    with torch.serialization.safe_globals(allowed):
        yield


def _scale_branches(model: Classifier) -> None:
    from pct_mlops.models.residual import StochasticBlock

    for block in model.modules():
        if isinstance(block, StochasticBlock):
            norm = block.bn3 if block.bottleneck else block.bn2
            with torch.no_grad():
                for values in norm.parameters():
                    values.mul_(1 - block.depth.p)
