"""One process of a data-parallel step with distances across samples.

`python cna_worker.py RANK WORLD_SIZE RENDEZVOUS OUT`.

The batch, the weights and the objectives are the same everywhere; a process takes its own rows of the batch.
"""

from __future__ import annotations

import copy
import sys
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from pct_mlops.config import ObjectiveConfig
from pct_mlops.losses import Binding, build_objective
from pct_mlops.models.output import ModelOutput

GLOBAL_BATCH = 12
CNA = {"name": "cna", "top_k": 2, "temperature": 0.2}
FA = {"name": "fa", "contrastive": True, "margin": 2.0}
BOTH = {"name": "sum", "terms": [{"weight": 0.5, "distance": CNA}, {"distance": FA}]}
# Over two processes the first one has no sample of these classes, over three the first has none and the second some.
LATE, LATE_CLASSES = (1, 1, 2, 1, 2, 2, 0, 3, 0, 0, 3, 0), (3, 0)

# Each: an objective section, and optionally the targets and what only the caller of build_objective knows.
VARIANTS = [
    {"section": {"distance": {"name": "cna", "top_k": 1, "temperature": 0.05}}},
    {"section": {"distance": {"name": "cna", "top_k": 3, "temperature": 0.2}}},
    {"section": {"distance": {"name": "cna", "top_k": 3, "temperature": 0.2, "summation": "in"}}},
    {"section": {"distance": {**CNA, "supervised": True}}},
    {"section": {"distance": {**CNA, "supervised": True, "summation": "in"}}},
    {"section": {"distance": FA}},
    {"section": {"distance": {**FA, "margin": 0.7}}},
    {"section": {"distance": BOTH}},
    {"section": {"distance": CNA}, "target": LATE, "known": {"known_classes": LATE_CLASSES}},
    {"section": {"distance": {**CNA, "supervised": True}}, "target": LATE, "known": {"known_classes": LATE_CLASSES}},
    {"section": {"distance": FA}, "target": LATE, "known": {"known_classes": LATE_CLASSES}},
    {"section": {"distance": BOTH}, "target": LATE, "known": {"known_classes": LATE_CLASSES}},
    {"section": {"distance": FA, "class_weights": (1.0, 5.0, 0.0, 2.0)}},
    {
        "section": {"distance": FA, "cross_entropy": "binary"},
        "known": {"class_weights": (1.0, 5.0, 0.5, 2.0), "ce_weights": [0.1 * i for i in range(GLOBAL_BATCH)]},
    },
    # Nobody takes part, anywhere: the gradient is that of the cross-entropy, and no process waits for another.
    {"section": {"distance": BOTH}, "target": (1, 2) * 6, "known": {"known_classes": (0, 3)}},
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
    images, drawn = torch.randn(GLOBAL_BATCH, 6), torch.randint(3, (GLOBAL_BATCH,))
    drawn[-1] = 3  # alone in its class: no positives under supervision
    old, start = Classifier(4), Classifier(5)
    mine = slice(rank * GLOBAL_BATCH // world_size, (rank + 1) * GLOBAL_BATCH // world_size)
    index = torch.arange(GLOBAL_BATCH)[mine]
    results = []
    for variant in VARIANTS:
        focus = {"name": "old_correct", "base": 1, "scale": 2}
        known = variant.get("known", {})
        objective = build_objective(ObjectiveConfig(focus=focus, mix=0.9, **variant["section"]), **known)
        objective = objective.bind(Binding(4, 5, 4))
        target = torch.tensor(variant["target"]) if "target" in variant else drawn
        new, taught = copy.deepcopy(start), old(images[mine])
        if "known_classes" in known:
            taught = taught._replace(logits=taught.logits[:, known["known_classes"]])
        terms = objective(new(images[mine]), taught, target[mine], index=index)
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
