"""Reads files of weights that other programs wrote, as tensors. Nothing in them is ever executed."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pct_mlops.errors import DataError

STATE_KEYS = ("state_dict", "model_state_dict", "model")
SAFETENSORS = ".safetensors"


class StateFile(NamedTuple):
    """Weights by name, and the name of the architecture that the file gives. It is "" where the file gives none."""

    weights: Mapping[str, Tensor]
    named: str


def read_state_file(path: Path) -> StateFile:
    """Read the state dict of a .safetensors file, or of one that torch.save wrote.

    The latter holds it alone or under "state_dict", "model_state_dict" or "model".

    Raises:
        PctError: the file is missing, damaged or larger than the free memory, holds more than tensors and plain values,
            or holds no weights.
    """
    _check_size(path)
    payload = _read_safetensors(path) if path.suffix == SAFETENSORS else _read_pickled(path)
    named = payload.get("arch") if isinstance(payload, Mapping) else None
    for key in STATE_KEYS:
        if isinstance(payload, Mapping) and isinstance(payload.get(key), Mapping):
            payload = payload[key]
            break
    if not isinstance(payload, Mapping) or not payload or not all(isinstance(x, Tensor) for x in payload.values()):
        raise DataError(f'{path} holds no state dict: save model.state_dict(), alone or under the key "state_dict".')
    _check_values(path, payload)
    return StateFile(payload, named if isinstance(named, str) else "")


def _check_size(path: Path) -> None:
    """Raise DataError for a file that is not there, is no file, or does not fit into memory."""
    import psutil

    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        raise DataError(f"There is no file {path}: give the path of a .pth.tar, .pt or .safetensors file.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(_unreadable(path, reason)) from error
    if not os.path.isfile(path):
        raise DataError(_unreadable(path, "it is no file"))
    if not size:
        raise DataError(_unreadable(path, ""))
    free = psutil.virtual_memory().available
    if size > free:
        raise DataError(
            f"{path} has {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free: save its state_dict alone, "
            "without the state of the optimizer, and give that file."
        )


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise DataError(_unreadable(path, str(error))) from error


def _read_pickled(path: Path) -> Any:
    try:
        with _plain_numbers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of damage before it fails of it
            return torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file can make torch's unpickler fail in any way: as IndexError, AttributeError, struct.error, ...
    except Exception as error:
        raise DataError(_unreadable(path, str(error), pickled=isinstance(error, pickle.UnpicklingError))) from error


def _unreadable(path: Path, message: str, *, pickled: bool = False) -> str:
    refused = re.search(r"GLOBAL ([\w.]+)", message) if pickled else None
    if refused:
        return (
            f"{path} holds more than tensors ({refused[1]}), and reading that could run code: save its state_dict "
            "alone with the code that wrote it, and give that file."
        )
    reason = message.strip().split("\n")[0].rstrip(".") or "it is empty"
    return f"{path} is not a checkpoint that can be read ({reason[:200]}): copy it again, it may be cut short."


def _check_values(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Raise DataError for weights that no network can take over: quantised or sparse ones, and NaN or infinity."""
    for name, value in weights.items():
        if value.layout != torch.strided or value.is_quantized or value.is_complex():
            raise DataError(
                f"{path} holds {name} in a form that cannot be loaded ({value.dtype}, {value.layout}): save the "
                "weights as plain floating-point tensors."
            )
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise DataError(
                f"{path} holds weights that are not finite numbers (NaN or infinite, first in {name}): its training "
                "diverged, so give an earlier checkpoint."
            )


@contextlib.contextmanager
def _plain_numbers() -> Iterator[None]:
    """Let torch read numpy scalars inside: some files hold accuracies and the like in that form."""
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?"))]
    allowed += [(scalar, f"{module}.multiarray.scalar") for module in ("numpy.core", "numpy._core")]
    with torch.serialization.safe_globals(allowed):
        yield
