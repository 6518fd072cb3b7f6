"""A training whose update breaks the weights ends before they are scored, selected or saved."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fit_cases import Watched, cpu, loader_for, make_model, make_split, train

from pct_mlops.config import OptimConfig
from pct_mlops.engine import Checkpoints, EpochScore
from pct_mlops.engine.finite import FiniteWeights
from pct_mlops.errors import ConfigError, TrainingError
from pct_mlops.models import Classifier

OPTIM = OptimConfig(lr=0.05, epochs=3, global_batch_size=24)
SAID = (
    r"^Training diverged: the weights were not finite after epoch 2, step {} \(lr 0\.\d+\); start again with a lower "
    r"optim\.lr or a longer optim\.warmup_epochs, because --resume only repeats .* from the last good checkpoint\.$"
)


class Record:
    """What a training scored and took for its best."""

    def __init__(self) -> None:
        self.scored: list[int] = []
        self.best: list[int] = []

    def evaluate(self, model: torch.nn.Module) -> EpochScore:
        self.scored.append(len(self.scored))
        return EpochScore(float(len(self.scored)), {})

    def improved(self, model: torch.nn.Module, epoch: int) -> None:
        self.best.append(epoch)


def breaking(model: Classifier, at: tuple[int, int], split_size: int = 130) -> Any:
    """A loader with which the update of the step `at` (epoch and step, from 0) breaks a weight. Its loss is finite."""
    here: list[tuple[int, int]] = [(-1, -1)]
    model.head.weight.register_hook(lambda gradient: gradient * (math.inf if here[0] == at else 1.0))

    def before(epoch: int, step: int) -> None:
        here[0] = (epoch, step)

    return Watched(loader_for(make_split(split_size), cpu(), OPTIM), before)


@pytest.mark.parametrize(("at", "every_steps"), [(4, 0), (2, 3)])
def test_weights_that_an_update_broke_are_not_kept(tmp_path: Path, at: int, every_steps: int) -> None:
    model, record = make_model(), Record()
    options = {"evaluate": record.evaluate, "on_improved": record.improved}
    checkpoints = Checkpoints(tmp_path, "recipe", every_steps)
    with pytest.raises(TrainingError, match=SAID.format(at + 1)):
        train(model, breaking(model, (1, at)), cpu(), OPTIM, checkpoints=checkpoints, **options)
    assert not torch.isfinite(model.head.weight).all()
    assert (record.scored, record.best) == ([0], [0])
    assert checkpoints.complete()[-1].name == "epoch-0001-step-000000"


def test_a_resume_of_the_same_recipe_repeats_the_same_steps(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "recipe")
    for resume in (False, True):
        model = make_model()
        with pytest.raises(TrainingError, match=SAID.format(5)):
            train(model, breaking(model, (1, 4)), cpu(), OPTIM, checkpoints=checkpoints, resume=resume)
    model = make_model(7)
    results = train(model, breaking(model, (9, 9)), cpu(), OPTIM, checkpoints=checkpoints, resume=True)
    assert [result.epoch for result in results] == [1, 2]
    assert torch.isfinite(model.head.weight).all()


def test_a_score_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    scores, best = iter([0.5, math.nan]), []
    with pytest.raises(TrainingError, match=r"the score was not finite after epoch 2, step 5 \(lr "):
        train(
            make_model(),
            loader_for(make_split(130), cpu(), OPTIM),
            cpu(),
            OPTIM,
            checkpoints=Checkpoints(tmp_path, "recipe"),
            evaluate=lambda model: EpochScore(next(scores), {}),
            on_improved=lambda model, epoch: best.append(epoch),
        )
    assert best == [0]
    assert [path.name for path in Checkpoints(tmp_path, "recipe").complete()] == ["epoch-0001-step-000000"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_was_not_finite_from_the_start_is_left_alone(value: float) -> None:
    model = torch.nn.BatchNorm1d(3)
    model.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    watched, accelerator = FiniteWeights(model), cpu()
    watched.check(accelerator, 0, 1, 0.1)
    model.weight.data.fill_(3e38)  # large, but a number
    watched.check(accelerator, 0, 1, 0.1)
    model.running_var[1] = value
    with pytest.raises(TrainingError, match="the weights were not finite after epoch 1, step 1"):
        watched.check(accelerator, 0, 1, 0.1)


def one_by_one(models: Callable[[], torch.nn.Module]) -> None:
    optim = OPTIM.model_copy(update={"global_batch_size": 1})
    train(models(), loader_for(make_split(10), cpu(), optim), cpu(), optim)


def test_batch_normalisation_of_one_example_is_a_sentence() -> None:
    def with_batchnorm() -> Classifier:
        model = make_model()
        model.backbone = torch.nn.Sequential(model.backbone, torch.nn.BatchNorm1d(model.head.in_features))
        return model

    one_by_one(make_model)
    with pytest.raises(ConfigError, match=r"^BatchNorm cannot train on one example at a time: raise optim\.global_ba"):
        one_by_one(with_batchnorm)


def test_weights_that_a_checkpoint_brought_are_watched_too() -> None:
    model = torch.nn.Linear(2, 2)
    watched, accelerator = FiniteWeights(model), cpu()
    model.load_state_dict({key: value + math.nan for key, value in model.state_dict().items()}, assign=True)
    with pytest.raises(TrainingError, match="the weights were not finite after"):
        watched.check(accelerator, 0, 1, 0.1)
