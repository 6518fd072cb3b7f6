"""A training that is killed and resumed ends where an uninterrupted one ends, bit for bit."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import fit_worker
import pytest
import torch
from fit_cases import Watched, cpu, loader_for, make_model, make_split, train
from fit_worker import Plan

from pct_mlops.config import OptimConfig, PctError
from pct_mlops.engine import Checkpoints

# A server that has torch imported forks each training: a process of its own, without ten seconds of imports.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["accelerate", "torchvision.models", "pct_mlops.engine", "pct_mlops.losses"])


def start(plan: Plan) -> Any:
    plan.folder.mkdir(exist_ok=True)
    process = PROCESSES.Process(target=fit_worker.run, args=(plan,))
    process.start()
    return process


def finished(plan: Plan) -> dict:
    process = start(plan)
    process.join(120)
    assert process.exitcode == 0
    return torch.load(plan.folder / "weights.pt", weights_only=True)


def killed(plan: Plan) -> None:
    process = start(plan)
    if plan.stop_at is not None:
        wanted, log, patience = "{}/{} ".format(*plan.stop_at), plan.folder / "steps.txt", time.monotonic() + 60
        while not (log.is_file() and log.read_text().endswith(wanted)):
            assert process.is_alive()
            assert time.monotonic() < patience
            time.sleep(0.02)
        process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not (plan.folder / "weights.pt").exists()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def steps(folder: Path) -> list[str]:
    return (folder / "steps.txt").read_text().split()


def assert_equal(resumed: dict, whole: dict) -> None:
    """Weights and statistics bit for bit, the facts of the epochs told again, the generator's next numbers."""
    assert list(resumed["weights"]) == list(whole["weights"])
    different = [key for key, value in whole["weights"].items() if not torch.equal(resumed["weights"][key], value)]
    assert different == []
    assert resumed["facts"] == whole["facts"][-len(resumed["facts"]) :]
    assert torch.equal(resumed["next"], whole["next"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The training that nothing interrupts."""
    result = finished(Plan(tmp_path_factory.mktemp("whole")))
    losses = [loss for fact in result["facts"] for loss in fact[2]]
    assert len(losses) == 24
    assert len(set(losses)) == 24
    return result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("every_steps", "stop_at", "goes_on_at"),
    [
        (3, (1, 5), "1/3"),
        (1, (2, 7), "2/7"),
        pytest.param(0, (1, 5), "1/0", marks=pytest.mark.thorough),
        pytest.param(3, (1, 0), "1/0", marks=pytest.mark.thorough),
    ],
)
def test_killed_in_an_epoch(whole: dict, tmp_path: Path, every_steps: int, stop_at: Any, goes_on_at: str) -> None:
    killed(Plan(tmp_path, every_steps=every_steps, stop_at=stop_at))
    before = len(steps(tmp_path))
    resumed = finished(Plan(tmp_path, every_steps=every_steps, resume=True))
    assert steps(tmp_path)[before] == goes_on_at
    assert steps(tmp_path)[-1] == "2/7"
    assert_equal(resumed, whole)


@pytest.mark.slow
def test_killed_twice(whole: dict, tmp_path: Path) -> None:
    killed(Plan(tmp_path, every_steps=2, stop_at=(0, 5)))
    killed(Plan(tmp_path, every_steps=2, stop_at=(1, 3), resume=True))
    assert_equal(finished(Plan(tmp_path, every_steps=2, resume=True)), whole)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["files", "rename"])
def test_killed_while_a_checkpoint_is_written(whole: dict, tmp_path: Path, stage: str) -> None:
    # The fourth: after epoch 1 (steps 3, 6, end), that of epoch 2, step 3.
    killed(Plan(tmp_path, every_steps=3, die_writing=4, stage=stage))
    assert names(tmp_path) == [".epoch-0001-step-000003.partial", "epoch-0000-step-000006", "epoch-0001-step-000000"]
    before = len(steps(tmp_path))
    # Other steps than before, so that no checkpoint is written under the name of the leftover.
    resumed = finished(Plan(tmp_path, every_steps=4, resume=True))
    assert steps(tmp_path)[before] == "1/0"
    assert names(tmp_path) == ["epoch-0002-step-000004", "epoch-0003-step-000000"]
    assert_equal(resumed, whole)


@pytest.mark.slow
def test_a_finished_training_has_nothing_left_to_do(whole: dict, tmp_path: Path) -> None:
    finished(Plan(tmp_path))
    again = finished(Plan(tmp_path, resume=True))
    assert again["facts"] == []
    assert len(steps(tmp_path)) == 24
    assert all(torch.equal(again["weights"][key], value) for key, value in whole["weights"].items())


# What a resume refuses, in this process ------------------------------------------------------------------------------

OPTIM = OptimConfig(lr=0.05, epochs=2, global_batch_size=16)


def short(folder: Path, fingerprint: str = "recipe", *, resume: bool = False, poison: bool = False) -> None:
    def before(epoch: int, step: int) -> dict | None:
        return {"images": torch.full((16, 1, 10, 10), float("nan"))} if poison and (epoch, step) == (1, 2) else None

    accelerator = cpu()
    loader = Watched(loader_for(make_split(70), accelerator, OPTIM), before)
    checkpoints = Checkpoints(folder, fingerprint, every_steps=3 if poison else 0)
    train(make_model(), loader, accelerator, OPTIM, checkpoints=checkpoints, resume=resume)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    torch.manual_seed(0)
    short(folder)
    return folder


@pytest.fixture
def checkpoints(written: Path, tmp_path: Path) -> Path:
    """A copy of two complete checkpoints, to damage."""
    return Path(shutil.copytree(written, tmp_path / "checkpoints"))


def latest(folder: Path) -> Path:
    return Checkpoints(folder, "recipe").complete()[-1]


def test_the_last_two_checkpoints_are_kept(checkpoints: Path) -> None:
    assert [path.name for path in Checkpoints(checkpoints, "recipe").complete()] == [
        "epoch-0001-step-000000",
        "epoch-0002-step-000000",
    ]


def test_a_divergence_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(PctError, match=r"epoch 2, step 3 \(lr .*--resume"):
        short(tmp_path, poison=True)
    last = latest(tmp_path)
    assert last.name == "epoch-0001-step-000000"
    short(tmp_path, resume=True)  # the same recipe over mended data goes on from there
    assert latest(tmp_path).name == "epoch-0002-step-000000"


def test_another_recipe_is_refused(checkpoints: Path) -> None:
    with pytest.raises(PctError, match=r"belongs to another recipe: resume with the recipe that made it, or choose"):
        short(checkpoints, "another", resume=True)


def test_another_number_of_processes_is_refused(checkpoints: Path) -> None:
    state = latest(checkpoints) / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "num_processes": 4}))
    with pytest.raises(PctError, match=r"was written by 4 processes and 1 are running: resume with 4"):
        short(checkpoints, resume=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:10],
        lambda text: "",
        lambda text: "[]",
        lambda text: "null",
        lambda text: "{}",
        lambda text: text.replace('"best_score"', '"score"'),
        lambda text: text.replace('"num_processes"', '"processes"'),
    ],
)
def test_a_damaged_record_is_named(checkpoints: Path, damage: Any) -> None:
    state = latest(checkpoints) / "state.json"
    state.write_text(damage(state.read_text()))
    says = rf"^The checkpoint {state.parent} is damaged \(state\.json: .*\): remove that folder and resume again\.$"
    with pytest.raises(PctError, match=says):
        short(checkpoints, resume=True)


@pytest.mark.parametrize("name", ["training.safetensors", "training.json", "random_states_0.json"])
@pytest.mark.parametrize("how", ["gone", "empty", "half"])
def test_a_damaged_file_is_named_and_the_one_before_still_serves(checkpoints: Path, name: str, how: str) -> None:
    file = latest(checkpoints) / name
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2 if how == "half" else 0])
    with pytest.raises(PctError, match=r"epoch-0002-step-000000 is damaged \(.*\): remove that folder"):
        short(checkpoints, resume=True)
    shutil.rmtree(file.parent)
    short(checkpoints, resume=True)
    assert latest(checkpoints).name == "epoch-0002-step-000000"


def test_without_a_checkpoint_a_resume_starts_at_the_beginning(tmp_path: Path) -> None:
    short(tmp_path / "new", resume=True)
    assert latest(tmp_path / "new").name == "epoch-0002-step-000000"


def test_clearing_removes_checkpoints_and_nothing_else(checkpoints: Path) -> None:
    (checkpoints / ".epoch-0002-step-000001.partial").mkdir()
    (checkpoints / "best").mkdir()
    (checkpoints / "notes.txt").write_text("mine")
    Checkpoints(checkpoints, "recipe").clear()
    assert sorted(path.name for path in checkpoints.iterdir()) == ["best", "notes.txt"]
