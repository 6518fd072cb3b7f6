"""What is trained beside the model, what is not trained at all, and several trainings with one accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fit_cases import Projecting, Watched, cpu, loader_for, make_model, make_split, train
from torch import nn

from pct_mlops.config import OptimConfig, PctError
from pct_mlops.engine import Checkpoints
from pct_mlops.engine.step import average_gradients

OPTIM = OptimConfig(lr=0.05, epochs=2, global_batch_size=24, weight_decay=0.1, schedule="constant")


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([tensor.detach().flatten().double() for tensor in module.state_dict().values()])


def by_hand(n: int) -> tuple[nn.Module, nn.Module]:
    """The plain loop over both modules' parameters."""
    model, objective = make_model(), Projecting(32)
    parameters = [p for module in (model, objective.module) for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": OPTIM.weight_decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=OPTIM.lr, momentum=OPTIM.momentum)
    loader = loader_for(make_split(n), cpu(), OPTIM)
    for epoch in range(OPTIM.epochs):
        for batch in loader.epoch(epoch):
            optimizer.zero_grad()
            objective(model(batch.images), None, batch.labels).total.backward()
            optimizer.step()
    return model, objective.module


@pytest.mark.parametrize("parts", [1, 3])
def test_the_objectives_module_is_trained_like_the_model(parts: int) -> None:
    model, module = by_hand(50)
    fitted, objective = make_model(), Projecting(32)
    start = objective.module[0].weight.clone()
    frozen = objective.module[1].weight.clone()
    optim = OPTIM.model_copy(update={"gradient_accumulation": parts})
    train(fitted, loader_for(make_split(50), cpu(), optim), cpu(), optim, objective)
    torch.testing.assert_close(weights(fitted), weights(model), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(objective.module[0].weight, module[0].weight, rtol=1e-4, atol=1e-5)
    assert float((objective.module[0].weight - start).abs().max().detach()) > 1e-3
    assert torch.equal(objective.module[1].weight, frozen)


def test_a_parameter_that_took_no_part_has_gradient_0() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))
    module[0].bias.grad = torch.tensor([1.0, 2.0])
    average_gradients(module, cpu())
    assert module[0].weight.grad.tolist() == [[0, 0], [0, 0]]
    assert module[0].bias.grad.tolist() == [1, 2]
    assert module[1].weight.grad is None


def run(folder: Path, accelerator: Any, *, stop_at: Any = None, resume: bool = False) -> tuple[Any, ...]:
    def before(epoch: int, step: int) -> None:
        if (epoch, step) == stop_at:
            raise KeyboardInterrupt

    optim = OPTIM.model_copy(update={"epochs": 3})
    model = make_model(norm="batch", dropout=0.3)
    objective = Projecting(32, seed=8 if resume else 3)  # a resume must not depend on how it begins
    loader = Watched(loader_for(make_split(70), accelerator, optim), before)
    results = train(
        model, loader, accelerator, optim, objective, checkpoints=Checkpoints(folder, "recipe", 1), resume=resume
    )
    return weights(model), weights(objective.module), [result.losses for result in results]


def test_a_resume_brings_the_module_back(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", cpu())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", cpu(), stop_at=(1, 1))
    resumed = run(tmp_path / "killed", cpu(), resume=True)
    assert torch.equal(resumed[0], whole[0])
    assert torch.equal(resumed[1], whole[1])
    assert resumed[2] == whole[2][1:]
    file = sorted((tmp_path / "killed").glob("epoch-*"))[-1] / "training.json"
    file.write_text(file.read_text().replace('"objective"', '"other"'))
    with pytest.raises(PctError, match="is damaged"):
        run(tmp_path / "killed", cpu(), resume=True)


def test_trainings_one_after_the_other_with_one_accelerator(tmp_path: Path) -> None:
    alone = run(tmp_path / "alone", cpu())
    accelerator = cpu()
    train(make_model(5), loader_for(make_split(50), accelerator, OPTIM), accelerator, OPTIM)
    after = run(tmp_path / "after", accelerator)
    assert torch.equal(after[0], alone[0])
    last = Checkpoints(tmp_path / "after", "recipe").complete()[-1]
    names = ["random_states_0.json", "state.json", "training.json", "training.safetensors"]
    assert sorted(path.name for path in last.iterdir()) == names
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", accelerator, stop_at=(1, 1))
    assert torch.equal(run(tmp_path / "killed", accelerator, resume=True)[0], alone[0])


class FrozenBackbone(nn.Module):
    """Only the head is trained; the rest, BatchNorm and all, stays in evaluation mode whatever it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.model = make_model(norm="batch")
        self.model.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> FrozenBackbone:
        super().train(mode)
        self.model.backbone.eval()
        return self

    def forward(self, images: torch.Tensor) -> Any:
        return self.model(images)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_what_is_frozen_stays_as_it_is(name: str) -> None:
    model = FrozenBackbone()
    before, head = weights(model.model.backbone), weights(model.model.head)
    optim = OPTIM.model_copy(update={"name": name})
    results = train(model, loader_for(make_split(130), cpu(), optim), cpu(), optim)
    assert torch.equal(weights(model.model.backbone), before)
    assert not torch.equal(weights(model.model.head), head)
    assert results[-1].losses[-1] < results[0].losses[0]
