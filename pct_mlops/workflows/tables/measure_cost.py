"""Measures what it costs to serve models: parameters, size of the weights, and time for one example on the CPU."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pct_mlops.reports import ServingCost

if TYPE_CHECKING:
    from torch import nn

    from pct_mlops.models import Classifier

BATCH = 16
# Rounds that are timed. More than the least are made until they took so many seconds together.
LEAST, MOST, PATIENCE = 5, 50, 2.0


def serving_costs(models: Mapping[str, Classifier]) -> list[ServingCost]:
    """Measure models that take the same images, in their order.

    The models take turns, so that whatever else slows the machine down slows all of them. The best time of each counts.
    They are moved to the CPU.
    """
    networks = {title: model.cpu().eval() for title, model in models.items()}
    best = _best_seconds(networks, next(iter(models.values())).architecture.image_shape)
    return [
        ServingCost(
            title,
            sum(values.numel() for values in network.parameters()),
            sum(values.numel() * values.element_size() for values in network.state_dict().values()),
            best[title] / BATCH,
        )
        for title, network in networks.items()
    ]


def how_measured() -> str:
    """Say how `serving_costs` measures in this process, as the end of a sentence."""
    import torch

    threads = torch.get_num_threads()
    return f"on the CPU with {threads} thread{'' if threads == 1 else 's'} in batches of {BATCH}"


def _best_seconds(networks: Mapping[str, nn.Module], image_shape: tuple[int, ...]) -> dict[str, float]:
    """Return the shortest time that each network took for a batch."""
    import torch

    images = torch.rand(BATCH, *image_shape, generator=torch.Generator().manual_seed(0))
    best = dict.fromkeys(networks, float("inf"))
    with torch.inference_mode():
        # The first call of each is slower, because torch prepares its kernels then.
        for network in networks.values():
            network(images)
        start = time.perf_counter()
        for number in range(MOST):
            if number >= LEAST and time.perf_counter() - start > PATIENCE:
                break
            for title, network in networks.items():
                before = time.perf_counter()
                network(images)
                best[title] = min(best[title], time.perf_counter() - before)
    return best
