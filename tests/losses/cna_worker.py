"""One process of a data-parallel training step with CNA: `python cna_worker.py RANK WORLD_SIZE RENDEZVOUS OUT`.

The batch, the weights and the objectives are the same everywhere; a process takes its own rows of the batch.
"""

from __future__ import annotations

import copy
import sys
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from pct_mlops.config import ObjectiveConfig
from pct_mlops.losses import build_objective
from pct_mlops.models.output import ModelOutput

GLOBAL_BATCH = 12
VARIANTS = [
    {"top_k": 1, "temperature": 0.05},
    {"top_k": 3, "temperature": 0.2},
    {"top_k": 3, "temperature": 0.2, "summation": "in"},
    {"top_k": 2, "temperature": 0.2, "supervised": True},
    {"top_k": 2, "temperature": 0.2, "supervised": True, "summation": "in"},
]


class Classifier(nn.Module):
    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.trunk = nn.Linear(6, num_features)
        self.head = nn.Linear(num_features, 4)

    def forward(self, x: Tensor) -> ModelOutput:
        features = torch.tanh(self.trunk(x))
        return ModelOutput(self.head(features), features)


def step(rank: int, world_size: int) -> list[dict[str, Tensor]]:
    """For each variant: the distances [n] of this process's rows, and the gradients after averaging."""
    torch.manual_seed(0)
    images, target = torch.randn(GLOBAL_BATCH, 6), torch.randint(3, (GLOBAL_BATCH,))
    target[-1] = 3  # alone in its class: no positives under supervision
    old, start = Classifier(4), Classifier(5)
    mine = slice(rank * GLOBAL_BATCH // world_size, (rank + 1) * GLOBAL_BATCH // world_size)
    results = []
    for variant in VARIANTS:
        objective = build_objective(ObjectiveConfig(loss="cna", distance=variant, focus={"scale": 2}))
        new = copy.deepcopy(start)
        terms = objective(new(images[mine]), old(images[mine]), target[mine])
        terms.total.backward()
        if world_size > 1:
            # What DistributedDataParallel does, whose construction alone would take most of this test's time.
            for parameter in new.parameters():
                distributed.all_reduce(parameter.grad)
                parameter.grad /= world_size
        gradients = {name: parameter.grad.clone() for name, parameter in new.named_parameters()}
        results.append({"distance": terms.distance.detach(), "total": terms.total.detach(), **gradients})
        assert all(parameter.grad is None for parameter in old.parameters())
    return results


def main(rank: int, world_size: int, rendezvous: str, out: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=rendezvous, rank=rank, world_size=world_size, timeout=timedelta(seconds=60)
    )
    results = step(rank, world_size)
    torch.save(results, out)
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
