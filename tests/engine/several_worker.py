"""One of several processes: `torchrun ... several_worker.py OUT` writes what it saw to OUT/RANK.pt.

mlflow cannot be imported here, so all of this also shows that the engine needs none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.modules["mlflow"] = None  # type: ignore[assignment]

import torch
from accelerate import Accelerator
from fit_cases import (
    CLASSES,
    DATA,
    PLAIN,
    Projecting,
    SoftCrossEntropy,
    Watched,
    cpu,
    loader_for,
    logits_of,
    make_model,
    make_split,
    store,
    train,
)

from pct_mlops.config import AugmentConfig, OptimConfig
from pct_mlops.engine import Checkpoints, EpochScore, SelfEMA, checkpoint, seed_everything
from pct_mlops.errors import PctError

NUM_TEST = 1003  # odd, and neither 2 nor 3 divides it
OPTIM = OptimConfig(lr=0.05, epochs=1, global_batch_size=24, warmup_epochs=0.4)
CURVES = {
    "none": OPTIM,
    "ldi": OPTIM,
    "cna": OPTIM,
    "accumulated": OPTIM.model_copy(update={"gradient_accumulation": 4}),
}
TWO_EPOCHS = OPTIM.model_copy(update={"epochs": 2, "gradient_accumulation": 2})
# Rounding differs between processors and numbers of processes, and larger steps multiply it by five each.
SMALL_STEPS = TWO_EPOCHS.model_copy(update={"lr": 0.01})
TEN_CROP = PLAIN.model_copy(update={"ten_crop": True})
NUM_STORED = 31
VIEWS = DATA.model_copy(update={"views": 2})


def everything(accelerator: Accelerator, folder: Path) -> dict[str, Any]:
    """What must not depend on the number of processes, and what all processes must agree on."""
    found = {"curves": curves(accelerator), "tables": tables(accelerator), "statistics": statistics(accelerator)}
    if accelerator.num_processes > 2:  # these take a while, and two processes tell enough
        return found
    return found | {
        "self_ema": self_ema(accelerator),
        "modules": {known: own_module(accelerator, known) for known in (None, 2)},
        "mixed": mixed(accelerator),
        "frozen": frozen(accelerator),
        "ten_crop": logits_of(make_model(norm="batch"), make_split(31, "test"), accelerator, data=TEN_CROP),
        "stored": stored(accelerator, folder),
        "resumed": resumed(accelerator, folder / "resumed"),
    }


def self_ema(accelerator: Accelerator) -> tuple[tuple[float, ...], torch.Tensor]:
    """Losses against a model's own past, and the bank that it left."""
    bank = SelfEMA(130, len(CLASSES), 0.7)
    loader = loader_for(make_split(130), accelerator, SMALL_STEPS)
    results = train(make_model(), loader, accelerator, SMALL_STEPS, "l2", teacher=bank)
    return tuple(loss for result in results for loss in result.losses), bank.bank


def own_module(accelerator: Accelerator, known: int | None) -> tuple[tuple[float, ...], torch.Tensor]:
    """Losses of an objective that owns a module, and that module's weights; begun from other weights elsewhere."""
    model = make_model()
    objective = Projecting(model.head.in_features, seed=3 + accelerator.process_index, known=known)
    loader = loader_for(make_split(130), accelerator, TWO_EPOCHS)
    results = train(model, loader, accelerator, TWO_EPOCHS, objective)
    weights = torch.cat([parameter.detach().flatten() for parameter in objective.module.parameters()])
    return tuple(loss for result in results for loss in result.losses), weights


def mixed(accelerator: Accelerator) -> tuple[float, ...]:
    """Losses with mixup and cutmix."""
    data = DATA.model_copy(update={"augment": AugmentConfig(padding=2, mixup=0.5, cutmix=1.0)})
    loader = loader_for(make_split(130), accelerator, OPTIM, data)
    return train(make_model(), loader, accelerator, OPTIM, SoftCrossEntropy())[0].losses


def frozen(accelerator: Accelerator) -> tuple[tuple[float, ...], bool]:
    """Losses of a model whose head alone is trained, and whether the rest stayed as it was."""
    model = make_model()
    model.backbone.requires_grad_(False)
    before = [parameter.clone() for parameter in model.backbone.parameters()]
    losses = train(model, loader_for(make_split(130), accelerator, OPTIM), accelerator, OPTIM)[0].losses
    return losses, all(map(torch.equal, before, model.backbone.parameters()))


def stored(accelerator: Accelerator, folder: Path) -> tuple[torch.Tensor, list[str]]:
    """Stored outputs of every (view, example), of as many as no process count divides; and what lies in the folder."""
    outputs = store(folder / "stored", make_model(1), make_split(NUM_STORED), accelerator, VIEWS, with_features=True)
    again = store(folder / "stored", make_model(2), make_split(NUM_STORED), accelerator, VIEWS, with_features=True)
    tables = [torch.from_numpy(table.copy()) for table in outputs._tables]
    assert all(
        torch.equal(table, torch.from_numpy(other.copy())) for table, other in zip(tables, again._tables, strict=True)
    )
    return torch.cat(tables, dim=2), sorted(path.name for path in (folder / "stored").iterdir())


def resumed(accelerator: Accelerator, folder: Path) -> dict[str, Any]:
    """Weights of a training that nothing interrupts and of one that is resumed, and what a full disk of one says."""

    def run(name: str, *, stop: bool = False, resume: bool = False) -> torch.Tensor:
        def before(epoch: int, step: int) -> None:
            if stop and (epoch, step) == (1, 2):
                raise KeyboardInterrupt

        seed_everything(7 + accelerator.process_index)
        model = make_model(norm="batch", dropout=0.3)
        seed_everything(7 + accelerator.process_index)  # as in a training: other noise on each process
        objective = Projecting(model.head.in_features, seed=4)
        loader = Watched(loader_for(make_split(130), accelerator, TWO_EPOCHS), before)
        checkpoints = Checkpoints(folder / name, "recipe", every_steps=2)
        train(model, loader, accelerator, TWO_EPOCHS, objective, checkpoints=checkpoints, resume=resume)
        return torch.cat([value.flatten().double() for value in model.state_dict().values()])

    whole = run("whole")
    with contextlib.suppress(KeyboardInterrupt):
        run("killed", stop=True)
    found: dict[str, Any] = {"whole": whole, "resumed": run("killed", resume=True)}
    write = checkpoint.write_generators
    if accelerator.is_last_process:
        checkpoint.write_generators = full
    try:
        run("full")
    except PctError as error:
        found["full"] = error.code, str(error)
    checkpoint.write_generators = write
    accelerator.wait_for_everyone()
    return found | {"names": sorted(path.name for path in folder.glob("full/*"))}


def full(*given: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def curves(accelerator: Accelerator) -> dict[str, tuple[float, ...]]:
    """The losses of five steps with group norm: batch norm looks at one process's examples."""
    found = {}
    for name, optim in CURVES.items():
        loss = "none" if name == "accumulated" else name
        teacher = None if loss == "none" else make_model(1, width=16)
        loader = loader_for(make_split(130), accelerator, optim)
        results = train(make_model(), loader, accelerator, optim, loss, teacher=teacher)
        found[name] = results[0].losses
    return found


def tables(accelerator: Accelerator) -> dict[int, Any]:
    """Logits of as many examples as no process count divides, and of fewer than there are processes."""
    model = make_model(norm="batch")
    return {n: logits_of(model, make_split(n, "test"), accelerator) for n in (NUM_TEST, 1)}


def statistics(accelerator: Accelerator) -> torch.Tensor:
    """BatchNorm's statistics as an evaluation between epochs sees them."""
    seen = []

    def evaluate(model: torch.nn.Module) -> EpochScore:
        seen.append(torch.cat([buffer.flatten().double() for buffer in model.buffers()]))
        return EpochScore(0.0, {})

    train(make_model(norm="batch"), loader_for(make_split(130), accelerator, OPTIM), accelerator, OPTIM,
          evaluate=evaluate)  # fmt: skip
    return seen[0]


def main(out: Path) -> None:
    torch.set_num_threads(1)
    accelerator = cpu()
    result = everything(accelerator, out)
    result["num_processes"] = accelerator.num_processes
    result["mlflow"] = sys.modules.get("mlflow")
    torch.save(result, out / f"{accelerator.process_index}.pt")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    sys.stderr.flush()
    os._exit(0)  # as `pct` does under a launcher, and for the reason given there


if __name__ == "__main__":
    main(Path(sys.argv[1]))
