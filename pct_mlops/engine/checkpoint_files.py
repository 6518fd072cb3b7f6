"""Writes the state of a training as safetensors and JSON, and reads it back. It neither pickles nor unpickles."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pct_mlops.errors import ConfigError

TENSORS, VALUES = "training.safetensors", "training.json"
RANDOM = "random_states_{}.json"  # of each process


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a nested state into `folder`: its tensors into one file, and all else into the other.

    Args:
        folder: The folder, which exists.
        state: Mappings, lists and tuples of tensors, numbers, texts, booleans and None, as `state_dict()` returns them.

    Raises:
        ConfigError: The state holds something else.
        OSError: The disk is full or cannot be written. safetensors raises a SafetensorError of its own.
    """
    tensors: dict[str, Tensor] = {}
    values = _packed(state, "", tensors)
    save_file(_apart(tensors), folder / TENSORS)
    _write_json(folder / VALUES, values)


def read_state(folder: Path) -> Any:
    """Return the state that `write_state` wrote, on the CPU. Damaged files raise errors of any kind."""
    tensors = load_file(folder / TENSORS)
    return _unpacked(_read_json(folder / VALUES), tensors)


def write_generators(folder: Path, process: int, device: torch.device) -> None:
    """Write the states of the generators of this process: Python's, NumPy's, torch's own and that of the device."""
    kind, key, *rest = np.random.get_state(legacy=True)
    found = {
        "python": random.getstate(),
        "numpy": (str(kind), np.asarray(key).tolist(), *rest),
        "torch": _hex(torch.get_rng_state()),
        "device": None if device.type == "cpu" else _hex(_of(device).get_rng_state(*_place(device))),
    }
    _write_json(folder / RANDOM.format(process), _packed(found, "", {}))


def read_generators(folder: Path, process: int, device: torch.device) -> None:
    """Set the generators of this process to the states that `write_generators` wrote."""
    found = _unpacked(_read_json(folder / RANDOM.format(process)), {})
    random.setstate(found["python"])
    np.random.set_state(found["numpy"])
    torch.set_rng_state(_bytes(found["torch"]))
    if device.type != "cpu":
        _of(device).set_rng_state(_bytes(found["device"]), *_place(device))


def _packed(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return what JSON keeps of a value. Tensors go into `tensors`, under their path in the state."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        while name in tensors:  # the keys 1 and "1" have the same path
            name += "+"
        tensors[name] = value.detach()
        return {"tensor": name}
    if isinstance(value, list):
        return [_packed(item, f"{name}/{place}", tensors) for place, item in enumerate(value)]
    if isinstance(value, tuple):
        return {"tuple": _packed(list(value), name, tensors)}
    if isinstance(value, Mapping):  # in pairs, because JSON would turn the numbers of an optimiser's keys into texts
        parts = [[key, _packed(item, f"{name}/{key}".lstrip("/"), tensors)] for key, item in value.items()]
        if all(key is None or isinstance(key, bool | int | float | str) for key in value):
            return {"pairs": parts}
        name, value = f"{name} has a key that", next(key for key in value if not isinstance(key, int | float | str))
    raise ConfigError(
        f"A checkpoint keeps tensors, numbers and texts, and the state {name} is of the type "
        f"{type(value).__name__}: let its state_dict() return those alone."
    )


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "tensor":
        return tensors[held]
    if kind == "tuple":
        return tuple(_unpacked(held, tensors))
    if kind == "pairs":
        return {key: _unpacked(item, tensors) for key, item in held}
    raise ValueError(f"unknown kind of value {kind!r:.40}")


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors as safetensors takes them: on the CPU, without gaps, and none in the memory of another."""
    found: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        found[name] = plain.clone() if place in taken else plain
        taken.add(place)
    return found


def _of(device: torch.device) -> Any:
    return torch.get_device_module(device)


def _place(device: torch.device) -> tuple[torch.device, ...]:
    return () if device.type == "mps" else (device,)  # a Mac has one, and its functions take no device


def _hex(state: Tensor) -> str:
    return state.cpu().numpy().tobytes().hex()


def _bytes(text: str) -> Tensor:
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
