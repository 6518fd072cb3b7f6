"""A checkpoint that somebody else may have written runs no code, whatever its files hold."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from fit_cases import cpu, loader_for, make_model, make_split, train

from pct_mlops.config import OptimConfig, PctError
from pct_mlops.engine import Checkpoints

OPTIM = OptimConfig(lr=0.05, epochs=2, global_batch_size=16)


class Payload:
    """What a pickle does to those who load it: it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.mark,)


def put(path: Path, mark: Path, how: str) -> None:
    """Write a payload that makes the folder `mark` when it is loaded."""
    if how == "pickle":
        path.write_bytes(pickle.dumps(Payload(mark)))
    else:
        torch.save(Payload(mark), path)


def resume(folder: Path) -> None:
    accelerator = cpu()
    loader = loader_for(make_split(40), accelerator, OPTIM)
    checkpoints = Checkpoints(folder, "recipe")
    train(make_model(), loader, accelerator, OPTIM, checkpoints=checkpoints, resume=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    resume(folder)
    return folder


# Every file that accelerate's load_state reads, with which earlier versions resumed.
NAMES = (
    "custom_checkpoint_0.pkl",
    "random_states_0.pkl",
    "optimizer.bin",
    "scheduler.bin",
    "scaler.pt",
    "sampler.bin",
    "dl_state_dict.bin",
    "pytorch_model.bin",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["torch.save", "pickle"])
def test_a_payload_in_a_checkpoint_does_not_run(written: Path, tmp_path: Path, name: str, how: str) -> None:
    folder, mark = Path(shutil.copytree(written, tmp_path / "checkpoints")), tmp_path / "ran"
    for path in folder.glob("epoch-*"):
        put(path / name, mark, how)
    # It is refused as damaged or old, or the file is not looked at: what counts is that nothing runs.
    with contextlib.suppress(PctError):
        resume(folder)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["training.safetensors", "training.json", "random_states_0.json", "state.json"])
@pytest.mark.parametrize("how", ["torch.save", "pickle"])
def test_a_payload_in_the_place_of_our_own_files_is_damage(written: Path, tmp_path: Path, name: str, how: str) -> None:
    folder, mark = Path(shutil.copytree(written, tmp_path / "checkpoints")), tmp_path / "ran"
    put(sorted(folder.glob("epoch-*"))[-1] / name, mark, how)
    with pytest.raises(PctError, match=r"is damaged \(.*\): remove that folder and resume again\.$"):
        resume(folder)
    assert not mark.exists()


def test_a_checkpoint_of_an_older_version_is_refused_in_one_sentence(written: Path, tmp_path: Path) -> None:
    folder, mark = Path(shutil.copytree(written, tmp_path / "checkpoints")), tmp_path / "ran"
    path = sorted(folder.glob("epoch-*"))[-1]
    record = json.loads((path / "state.json").read_text())
    del record["format"], record["made_from"]
    (path / "state.json").write_text(json.dumps(record))
    put(path / "custom_checkpoint_0.pkl", mark, "torch.save")
    says = (
        r"epoch-0002-step-000000 was written by an older version, as pickles, which could run code and are not read: "
        r"finish that training with the older version, or start again without --resume\.$"
    )
    with pytest.raises(PctError, match=says) as raised:
        resume(folder)
    assert "\n" not in str(raised.value)
    assert not mark.exists()
    # The way out that the sentence names.
    Checkpoints(folder, "recipe").clear()
    resume(folder)
