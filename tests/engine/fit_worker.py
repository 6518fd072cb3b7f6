"""A training that can be killed: a process of its own, told by `Plan` where to end itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fit_cases import Watched, cpu, loader_for, make_model, make_split, train

from pct_mlops.config import DataConfig, OptimConfig
from pct_mlops.engine import Checkpoints, EpochScore, checkpoint, seed_everything

# Momentum, a schedule, BatchNorm and dropout: everything that a resume must bring back. 8 steps an epoch.
OPTIM = OptimConfig(lr=0.05, epochs=3, global_batch_size=16, weight_decay=0.01, warmup_epochs=0.5)
DATA = DataConfig(num_workers=0)
SPLIT_SIZE, DROPOUT = 8 * 16 + 5, 0.3


@dataclass(frozen=True)
class Plan:
    """`stop_at` (epoch, step): wait there to be killed. `die_writing`: which checkpoint kills while it is written.

    `stage` of that: "files" (nothing complete yet) or "rename" (complete, but still aside).
    """

    folder: Path
    every_steps: int = 0
    resume: bool = False
    stop_at: tuple[int, int] | None = None
    die_writing: int = 0
    stage: str = "files"
    optim: OptimConfig = OPTIM
    fingerprint: str = "recipe"


def run(plan: Plan) -> None:
    """Train as planned; writes `weights.pt` (state and per-epoch facts) when it comes to its end."""
    torch.set_num_threads(1)
    accelerator = cpu()
    model = make_model(norm="batch", dropout=DROPOUT)
    seed_everything(5)
    if plan.die_writing:
        _die_while_writing(plan)

    def before(epoch: int, step: int) -> None:
        with open(plan.folder / "steps.txt", "a") as file:
            file.write(f"{epoch}/{step} ")
        if plan.stop_at == (epoch, step):
            time.sleep(120)  # the kill comes from outside

    def evaluate(network: torch.nn.Module) -> EpochScore:
        torch.rand(3)  # an evaluation may draw numbers, too
        return EpochScore(float(sum(p.abs().sum() for p in network.parameters()).detach()) % 1, {})

    results = train(
        model,
        Watched(loader_for(make_split(SPLIT_SIZE), accelerator, plan.optim, DATA), before),
        accelerator,
        plan.optim,
        evaluate=evaluate,
        checkpoints=Checkpoints(plan.folder / "checkpoints", plan.fingerprint, plan.every_steps),
        resume=plan.resume,
    )
    facts = [(result.epoch, result.step, result.losses, result.lr, result.score, result.improved) for result in results]
    torch.save({"weights": model.state_dict(), "facts": facts, "next": torch.rand(4)}, plan.folder / "weights.pt")


def _die_while_writing(plan: Plan) -> None:
    calls = 0
    whole, rename = checkpoint.write_state, Path.rename

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def write_state(folder: Path, state: Mapping[str, Any]) -> None:
        nonlocal calls
        calls += 1
        whole(folder, state)
        if plan.stage == "files" and calls == plan.die_writing:
            (folder / "training.safetensors").write_bytes(b"half")
            kill()

    def rename_or_die(self: Path, target: Path) -> Path:
        if plan.stage == "rename" and calls == plan.die_writing:
            kill()
        return rename(self, target)

    checkpoint.write_state = write_state
    Path.rename = rename_or_die  # type: ignore[method-assign]
