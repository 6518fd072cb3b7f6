"""Reports flips while you train: NFR, PFR and churn as torchmetrics, updated batch by batch.

pip install "pct-mlops[metrics]"
python examples/torchmetrics_nfr.py
"""

from __future__ import annotations

import torch
from torchmetrics import MetricCollection

from pct_mlops.metrics import Churn, NegativeFlipRate, PositiveFlipRate


def main() -> None:
    """Update the metrics with random logits in place of two models.

    A real loop updates with the logits of its models for each batch.
    """
    random = torch.Generator().manual_seed(0)
    flips = MetricCollection({"nfr": NegativeFlipRate(), "pfr": PositiveFlipRate(), "churn": Churn()})
    for _ in range(10):
        target = torch.randint(10, (100,), generator=random)
        hints = 2 * torch.nn.functional.one_hot(target, 10)
        old, new = (torch.randn(100, 10, generator=random) + hints for _ in range(2))
        flips.update(old, new, target)  # logits [N, C], or predictions [N]
    for name, value in flips.compute().items():
        print(f"{name}: {float(value):.2%}")


if __name__ == "__main__":
    main()
