"""Two processes that count their shares of 11 examples: `python metrics_worker.py RENDEZVOUS`.

Each prints the rates over both, which every process must know after `compute`.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta

import torch
from torch import distributed
from torchmetrics import MetricCollection

from pct_mlops.metrics import Churn, NegativeFlipRate, PositiveFlipRate

NUM_EXAMPLES = 11


def examples() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    old, new, target = torch.randint(3, (3, NUM_EXAMPLES), generator=generator)
    return old, new, target


def count(rank: int, rendezvous: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=rendezvous, rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    metrics = MetricCollection([NegativeFlipRate(), PositiveFlipRate(), Churn()])
    # Rank 0 has 6 of the 11 in batches of 4 and 2, rank 1 has 5 in batches of 4 and 1.
    mine = [part[rank::2] for part in examples()]
    for batch in zip(*(part.split(4) for part in mine), strict=True):
        metrics.update(*batch)
    rates = {name: float(value) for name, value in metrics.compute().items()}
    sys.stdout.write(json.dumps(rates) + "\n")
    sys.stdout.flush()
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    # Forked before torch started a thread: importing torchmetrics takes most of this program's time.
    child = os.fork()
    count(1 if child else 0, sys.argv[1])
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os._exit(0)
