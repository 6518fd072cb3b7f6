"""One of several processes: `torchrun ... several_worker.py OUT` writes what it saw to OUT/RANK.pt.

mlflow cannot be imported here, so all of this also shows that the engine needs none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.modules["mlflow"] = None  # type: ignore[assignment]

import torch
from accelerate import Accelerator
from fit_cases import cpu, loader_for, logits_of, make_model, make_split, train

from pct_mlops.config import OptimConfig
from pct_mlops.engine import Evaluation

NUM_TEST = 1003  # odd, and neither 2 nor 3 divides it
OPTIM = OptimConfig(lr=0.05, epochs=1, global_batch_size=24, warmup_epochs=0.4)
CURVES = {
    "none": OPTIM,
    "ldi": OPTIM,
    "cna": OPTIM,
    "accumulated": OPTIM.model_copy(update={"gradient_accumulation": 4}),
}


def everything(accelerator: Accelerator) -> dict[str, Any]:
    """What must not depend on the number of processes, and what all processes must agree on."""
    return {"curves": curves(accelerator), "tables": tables(accelerator), "statistics": statistics(accelerator)}


def curves(accelerator: Accelerator) -> dict[str, tuple[float, ...]]:
    """The losses of five steps with group norm: batch norm looks at one process's examples."""
    found = {}
    for name, optim in CURVES.items():
        loss = "none" if name == "accumulated" else name
        teacher = None if loss == "none" else make_model(1, width=4)
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

    def evaluate(model: torch.nn.Module) -> Evaluation:
        seen.append(torch.cat([buffer.flatten().double() for buffer in model.buffers()]))
        return Evaluation(0.0, {})

    train(make_model(norm="batch"), loader_for(make_split(130), accelerator, OPTIM), accelerator, OPTIM,
          evaluate=evaluate)  # fmt: skip
    return seen[0]


def main(out: Path) -> None:
    torch.set_num_threads(1)
    accelerator = cpu()
    result = everything(accelerator)
    result["num_processes"] = accelerator.num_processes
    result["mlflow"] = sys.modules.get("mlflow")
    torch.save(result, out / f"{accelerator.process_index}.pt")
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
