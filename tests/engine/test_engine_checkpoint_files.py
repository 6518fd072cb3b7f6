"""What a checkpoint holds comes back as it was: values, types, layouts and the numbers that are drawn next."""

from __future__ import annotations

import contextlib
import json
import random
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fit_cases import Watched, cpu, loader_for, make_model, make_split, train
from torch import nn

from pct_mlops.config import OptimConfig, PctError
from pct_mlops.engine import Checkpoints, checkpoint_files
from pct_mlops.engine.checkpoint_files import read_generators, read_state, write_generators, write_state

OPTIM = OptimConfig(name="adamw", lr=0.01, epochs=2, global_batch_size=16, gradient_accumulation=2)


def run(folder: Path, *, stop: bool = False, resume: bool = False, epochs: int = 2) -> tuple[Any, nn.Module]:
    """Weights, and the model, of a training with AdamW that ends after the first epoch when `stop`."""
    accelerator, model = cpu(), make_model(norm="batch", dropout=0.3)
    optim = OPTIM.model_copy(update={"epochs": epochs})

    def evaluate(network: nn.Module) -> Any:
        if stop:
            raise KeyboardInterrupt
        return SimpleNamespace(score=0.0, metrics={})

    loader = loader_for(make_split(40), accelerator, optim)
    train(
        model,
        loader,
        accelerator,
        optim,
        evaluate=evaluate,
        checkpoints=Checkpoints(folder, "recipe", every_steps=1),
        resume=resume,
    )
    return accelerator._optimizers[-1], model


def test_adamw_with_accumulation_goes_on_bit_for_bit(tmp_path: Path) -> None:
    optimizer, whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", stop=True)
    again, resumed = run(tmp_path / "killed", resume=True)
    assert all(torch.equal(value, resumed.state_dict()[key]) for key, value in whole.state_dict().items())
    for mine, theirs in zip(again.param_groups, optimizer.param_groups, strict=True):
        assert {key: value for key, value in mine.items() if key != "params"} == {
            key: value for key, value in theirs.items() if key != "params"
        }
        assert isinstance(mine["betas"], tuple)
        for left, right in zip(mine["params"], theirs["params"], strict=True):
            for key, value in optimizer.state[right].items():
                assert torch.equal(again.state[left][key], value)
                assert again.state[left][key].stride() == value.stride()


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {
        "numbers": {0: {"step": torch.tensor(3.0), "a": 0.1}, "0": {"step": torch.tensor(4.0)}},
        "betas": (0.9, 0.999),
        "plain": [None, True, 2, "text", float("inf")],
        "half": torch.ones(2, 3, dtype=torch.bfloat16),
        "laid out": torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "shared": [shared, shared[2:], torch.zeros(0)],
        "marks": {"tensor": "text", "tuple": 1, "pairs": {}},
    }
    write_state(tmp_path, state)
    back = read_state(tmp_path)

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return str(value.dtype), value.tolist()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return type(value)(plain(item) for item in value) if isinstance(value, list | tuple) else value

    assert plain(back) == plain(state)
    assert back["betas"] == (0.9, 0.999)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["training.json", "training.safetensors"]


@pytest.mark.parametrize("value", [Path("a"), b"bytes", {1}, np.float32(1), nn.Linear(1, 1), 1j])
def test_what_is_neither_a_tensor_nor_plain_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(PctError, match=rf"the state teacher/past is of the type {type(value).__name__}: let its state"):
        write_state(tmp_path, {"teacher": {"past": value}})


@pytest.mark.parametrize("key", [("a", 1), torch.float32])
def test_a_key_that_is_not_plain_is_refused(tmp_path: Path, key: Any) -> None:
    with pytest.raises(
        PctError, match=rf"the state teacher has a key that is of the type {type(key).__name__}: let its"
    ):
        write_state(tmp_path, {"teacher": {key: 1}})


def test_the_scale_of_half_precision_goes_on(tmp_path: Path) -> None:
    """As with fp16 on a GPU, with the scaler on the CPU."""

    def train_scaled(folder: Path, stop: int, resume: bool) -> tuple[Any, torch.Tensor]:
        accelerator, model = cpu(), make_model()
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        optim = OPTIM.model_copy(update={"gradient_accumulation": 1})

        def before(epoch: int, step: int) -> None:
            if (epoch, step) == (1, stop):
                raise KeyboardInterrupt

        loader = Watched(loader_for(make_split(40), accelerator, optim), before)
        checkpoints = Checkpoints(folder, "recipe", every_steps=1)
        with contextlib.suppress(KeyboardInterrupt):
            train(model, loader, accelerator, optim, checkpoints=checkpoints, resume=resume)
        return accelerator.scaler.state_dict(), torch.cat([value.flatten() for value in model.state_dict().values()])

    state, weights = train_scaled(tmp_path / "whole", -1, False)
    assert state["scale"] == 16
    assert train_scaled(tmp_path / "killed", 1, False)[0] != state
    again, resumed = train_scaled(tmp_path / "killed", -1, True)
    assert again == state
    assert torch.equal(resumed, weights)


def drawn() -> list[Any]:
    return [random.random(), float(np.random.rand()), float(np.random.randn()), float(torch.rand(()))]


def test_all_generators_go_on_where_they_were(tmp_path: Path) -> None:
    np.random.randn()  # leaves half of a pair behind
    write_generators(tmp_path, 1, torch.device("cpu"))
    expected = drawn()
    assert drawn() != expected
    read_generators(tmp_path, 1, torch.device("cpu"))
    assert drawn() == expected


@pytest.mark.parametrize(("name", "given"), [("cuda:1", (torch.device("cuda:1"),)), ("mps", ())])
def test_the_generator_of_the_own_device_goes_on(tmp_path: Path, monkeypatch: Any, name: str, given: Any) -> None:
    asked: list[Any] = []
    module = SimpleNamespace(
        get_rng_state=lambda *place: asked.append(place) or torch.tensor([1, 2, 250], dtype=torch.uint8),
        set_rng_state=lambda state, *place: asked.append((*place, state.tolist(), state.dtype)),
    )
    monkeypatch.setattr(checkpoint_files, "_of", lambda device: module)
    write_generators(tmp_path, 0, torch.device(name))
    read_generators(tmp_path, 0, torch.device(name))
    assert asked == [given, (*given, [1, 2, 250], torch.uint8)]


class Limit:
    """No file larger than so many bytes, as on a disk that is nearly full."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.mark.parametrize("too_small_for", ["training.safetensors", "training.json", "random_states_0.json"])
def test_a_full_disk_is_one_sentence_and_the_last_good_checkpoint_stays(
    tmp_path: Path, monkeypatch: Any, too_small_for: str
) -> None:
    run(tmp_path, epochs=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    size = (tmp_path / "epoch-0001-step-000000" / too_small_for).stat().st_size
    name = {"training.safetensors": "save_file"}.get(too_small_for, "_write_json")
    whole = getattr(checkpoint_files, name)

    def full(*given: Any) -> None:
        path = next(item for item in given if isinstance(item, Path))
        with Limit(size // 2 if path.name == too_small_for else resource.RLIM_INFINITY):
            whole(*given)

    monkeypatch.setattr(checkpoint_files, name, full)
    says = r"^The checkpoint \S+epoch-0001-step-000001 cannot be written \(.*File too large.*\): make room there"
    with pytest.raises(PctError, match=says) as raised:
        run(tmp_path, resume=True)
    assert "\n" not in str(raised.value)
    assert raised.value.code == "output"
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert {path: time for path, time in after.items() if path in before and path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        {path.name for path in before if path.parent == tmp_path}
    )
    monkeypatch.undo()
    run(tmp_path, resume=True)
    assert Checkpoints(tmp_path, "recipe").complete()[-1].name == "epoch-0002-step-000000"


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"pairs": 3}', '{"tensor": "nowhere"}', '{"run": "os.system"}', "{}", '{"a": 1, "b": 2}', "3"],
)
def test_damaged_values_are_named(tmp_path: Path, content: str) -> None:
    run(tmp_path, epochs=1)
    (tmp_path / "epoch-0001-step-000000" / "training.json").write_text(content)
    with pytest.raises(PctError, match=r"is damaged \(.*\): remove that folder and resume again\.$"):
        run(tmp_path, resume=True)


def test_the_record_says_what_it_was_made_from(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "recipe", made_from={"recipe": {"optim": {"lr": 0.1}}})
    accelerator = cpu()
    loader = loader_for(make_split(40), accelerator, OPTIM)
    train(make_model(), loader, accelerator, OPTIM, checkpoints=checkpoints)
    found = Checkpoints(tmp_path, "another").newest()
    assert found is not None
    assert (found.fingerprint, found.num_processes, found.state.epoch) == ("recipe", 1, 2)
    assert found.made_from == {"recipe": {"optim": {"lr": 0.1}}}
    assert json.loads((found.folder / "state.json").read_text())["format"] == 2
