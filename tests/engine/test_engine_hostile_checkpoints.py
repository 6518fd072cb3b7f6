"""A checkpoint that somebody else may have written runs no code, whatever its files hold."""

from __future__ import annotations

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
    """What a pickle does to those who load it: it writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.mark,)


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


# Every file that accelerate's load_state reads, and those that were added to one folder in earlier versions.
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
        if how == "pickle":
            (path / name).write_bytes(pickle.dumps(Payload(mark)))
        else:
            torch.save(Payload(mark), path / name)
    try:
        resume(folder)
    except PctError:
        pass  # it may be refused: what counts is that nothing runs
    assert not mark.exists()
