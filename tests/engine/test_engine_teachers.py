"""Where the old model's outputs come from, and what a training with each of them does. One process."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from fit_cases import CLASSES, SoftCrossEntropy, Watched, cpu, loader_for, make_model, make_split, train
from torch import nn

from pct_mlops.config import AugmentConfig, DataConfig, ObjectiveConfig, OptimConfig, PctError
from pct_mlops.data import Batch
from pct_mlops.engine import Checkpoints, ModuleTeacher, SelfEMA, TableTeacher
from pct_mlops.losses import build_objective
from pct_mlops.models import ModelOutput

OPTIM = OptimConfig(lr=0.05, epochs=2, global_batch_size=24, weight_decay=0.01)


def batch_of(*rows: int) -> Batch:
    index = torch.tensor(rows)
    return Batch(torch.rand(len(rows), 1, 10, 10), index % 4, index)


def output(*rows: list[float]) -> ModelOutput:
    return ModelOutput(torch.tensor(rows))


def test_the_bank_is_the_moving_mean_of_each_examples_logits() -> None:
    teacher = SelfEMA(5, 2, 0.75)
    teacher.learn(batch_of(3, 0), output([4.0, 0.0], [1.0, 2.0]))
    assert teacher.bank.tolist() == [[1, 2], [0, 0], [0, 0], [4, 0], [0, 0]]  # the first time: as they are
    teacher.learn(batch_of(3, 1), output([0.0, 8.0], [5.0, 5.0]))
    assert teacher.bank.tolist() == [[1, 2], [5, 5], [0, 0], [3, 2], [0, 0]]
    old = teacher.outputs(batch_of(2, 3), output([7.0, 9.0], [1.0, 1.0]))
    assert old.logits.tolist() == [[7, 9], [3, 2]]  # 2 was never seen
    assert old.features is None


@pytest.mark.parametrize("loss", ["kl", "l2", "ldi"])
def test_an_example_that_was_never_seen_is_at_distance_0(loss: str) -> None:
    logits = torch.randn(6, len(CLASSES), requires_grad=True)
    new, batch = ModelOutput(logits), batch_of(*range(6))
    old = SelfEMA(6, len(CLASSES), 0.9).outputs(batch, new)
    assert not old.logits.requires_grad
    terms = build_objective(ObjectiveConfig(loss=loss))(new, old, batch.labels)
    assert float(terms.distance.detach().abs().max()) < 1e-5
    terms.distance.sum().backward()
    assert float(logits.grad.abs().max()) < 1e-4


@pytest.mark.parametrize("parts", [1, 4])
def test_training_against_its_own_past(parts: int) -> None:
    optim = OPTIM.model_copy(update={"gradient_accumulation": parts})
    expected, seen = torch.zeros(50, len(CLASSES)), set()
    model, loader = make_model(), loader_for(make_split(50), cpu(), optim)

    def before(epoch: int, step: int) -> None:  # the batch that is due, by hand
        batch = list(loader.epoch(epoch))[step]
        with torch.no_grad():
            logits = model(batch.images).logits
        for row, index in enumerate(batch.index.tolist()):
            expected[index] = 0.6 * expected[index] + 0.4 * logits[row] if index in seen else logits[row]
            seen.add(index)

    teacher = SelfEMA(50, len(CLASSES), 0.6)
    train(model, Watched(loader, before), cpu(), optim, "l2", teacher=teacher)
    torch.testing.assert_close(teacher.bank, expected, rtol=1e-4, atol=1e-5)
    assert teacher.seen[:, 0].nonzero().flatten().tolist() == sorted(seen)
    without = train(make_model(), loader, cpu(), optim)
    with_own_past = train(make_model(), loader, cpu(), optim, "l2", teacher=SelfEMA(50, len(CLASSES), 0.6))
    assert with_own_past[0].losses == pytest.approx(without[0].losses, rel=1e-4)  # nothing was seen twice
    assert with_own_past[1].losses != pytest.approx(without[1].losses, rel=1e-4)


def test_a_module_in_a_source_is_the_module() -> None:
    loader = loader_for(make_split(50), cpu(), OPTIM)
    one, other = (
        train(make_model(), loader, cpu(), OPTIM, "ldi", teacher=teacher)
        for teacher in (make_model(1), ModuleTeacher(make_model(1)))
    )
    assert [result.losses for result in one] == [result.losses for result in other]


def test_known_logits_are_looked_up_by_row() -> None:
    logits = torch.randn(50, len(CLASSES)).double()
    old = TableTeacher(logits).outputs(batch_of(4, 30))
    assert old.logits.dtype == torch.float32
    assert torch.equal(old.logits, logits[[4, 30]].float())
    loader = loader_for(make_split(50), cpu(), OPTIM)
    results = train(make_model(), loader, cpu(), OPTIM, "l2", teacher=TableTeacher(logits))
    assert results[0].losses != train(make_model(), loader, cpu(), OPTIM)[0].losses


@pytest.mark.parametrize("teacher", [SelfEMA(50, 4, 0.5), TableTeacher(torch.zeros(50, 4))])
def test_mixtures_are_nobodys_past(teacher: Any) -> None:
    data = DataConfig(num_workers=0, augment=AugmentConfig(mixup=0.5))
    loader = loader_for(make_split(50), cpu(), OPTIM, data)
    train(make_model(), loader, cpu(), OPTIM, SoftCrossEntropy())
    with pytest.raises(PctError, match=r"^mixup and cutmix show .* set data\.augment\.mixup and data\.augment\.cutmix"):
        train(make_model(), loader, cpu(), OPTIM, SoftCrossEntropy(), teacher=teacher)


@pytest.mark.parametrize("every_steps", [0, 1])
def test_a_resume_brings_the_bank_back(tmp_path: Path, every_steps: int) -> None:
    optim = OPTIM.model_copy(update={"epochs": 3, "momentum": 0.5})

    def run(folder: str, stop_at: Any = None, resume: bool = False) -> tuple[torch.Tensor, Any, SelfEMA]:
        def before(epoch: int, step: int) -> None:
            if (epoch, step) == stop_at:
                raise KeyboardInterrupt

        accelerator, model, teacher = cpu(), make_model(dropout=0.3), SelfEMA(70, len(CLASSES), 0.6)
        loader = Watched(loader_for(make_split(70), accelerator, optim), before)
        checkpoints = Checkpoints(tmp_path / folder, "recipe", every_steps)
        results = train(
            model, loader, accelerator, optim, "kl", teacher=teacher, checkpoints=checkpoints, resume=resume
        )
        weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        return weights, [result.losses for result in results], teacher

    weights, losses, teacher = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("killed", (2, 1))
    resumed, last, again = run("killed", resume=True)
    assert torch.equal(resumed, weights)
    assert last == losses[-1:]
    assert torch.equal(again.bank, teacher.bank)
    assert torch.equal(again.seen, teacher.seen)
    file = sorted((tmp_path / "killed").glob("epoch-*"))[-1] / "training.json"
    file.write_text(file.read_text().replace('"teacher"', '"other"'))
    with pytest.raises(PctError, match="is damaged"):
        run("killed", resume=True)


def test_a_bank_of_another_size_does_not_fit() -> None:
    with pytest.raises(RuntimeError, match=r"the bank is \(5, 2\), not \(4, 2\)"):
        SelfEMA(4, 2, 0.5).load_state_dict(SelfEMA(5, 2, 0.5).state_dict())


class WithAux(nn.Module):
    """A model with two auxiliary heads in training."""

    def __init__(self) -> None:
        super().__init__()
        self.model = make_model(norm="batch")
        self.aux = nn.ModuleList(nn.Linear(self.model.head.in_features, len(CLASSES)) for _ in range(2))

    def forward(self, images: torch.Tensor) -> ModelOutput:
        output = self.model(images)
        return output._replace(aux=tuple(head(output.features) for head in self.aux) if self.training else ())


@pytest.mark.parametrize("teacher", ["module", "own"])
def test_auxiliary_heads_in_bfloat16_stay_finite(teacher: str) -> None:
    accelerator = cpu(mixed_precision="bf16")
    source = SelfEMA(50, len(CLASSES), 0.9) if teacher == "own" else make_model(1)
    model = WithAux()
    before = [head.weight.clone() for head in model.aux]
    results = train(model, loader_for(make_split(50), accelerator, OPTIM), accelerator, OPTIM, "kl", teacher=source)
    assert all(math.isfinite(loss) for result in results for loss in result.losses)
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    assert not any(torch.equal(head.weight, old) for head, old in zip(model.aux, before, strict=True))
    if teacher == "own":
        assert source.bank.dtype == torch.float32
        assert bool(source.bank.isfinite().all())
