"""The loop against one written by hand, and what it promises around it. One process."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from fit_cases import CLASSES, Watched, cpu, loader_for, make_model, make_split, train
from torch.nn.functional import cross_entropy

from pct_mlops.config import ObjectiveConfig, OptimConfig
from pct_mlops.engine import EpochScore, fit
from pct_mlops.engine.optim import lr_factor
from pct_mlops.errors import PctError, TrainingError
from pct_mlops.losses import build_objective

OPTIM = OptimConfig(lr=0.05, epochs=2, global_batch_size=24, weight_decay=0.01)


def with_(**changes: Any) -> OptimConfig:
    return OPTIM.model_copy(update=changes)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def by_hand(optim: OptimConfig, n: int) -> tuple[torch.Tensor, list[float], list[float]]:
    """Weights, losses and learning rates of the plain loop that `fit` should be equal to."""
    model = make_model()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    if optim.name == "adamw":
        optimizer: Any = torch.optim.AdamW(groups, lr=optim.lr)
    else:
        optimizer = torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.nesterov)
    loader = loader_for(make_split(n), cpu(), optim)
    total, losses, rates = optim.epochs * len(loader), [], []
    for epoch in range(optim.epochs):
        for step, batch in enumerate(loader.epoch(epoch)):
            share = 0.5 * (1 + math.cos(math.pi * (epoch * len(loader) + step) / total))
            for group in optimizer.param_groups:
                group["lr"] = optim.lr * share
            optimizer.zero_grad()
            loss = cross_entropy(model(batch.images).logits, batch.labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            rates.append(optim.lr * share)
    return weights(model), losses, rates


@pytest.mark.parametrize("optim", [with_(), with_(nesterov=True), with_(momentum=0.0), with_(name="adamw", lr=0.002)])
def test_fit_is_the_plain_loop(optim: OptimConfig) -> None:
    expected, losses, rates = by_hand(optim, 130)
    model = make_model()
    start = weights(model)
    results = train(model, loader_for(make_split(130), cpu(), optim), cpu(), optim)
    assert [result.epoch for result in results] == [0, 1]
    assert [result.step for result in results] == [5, 10]
    assert [result.lr for result in results] == pytest.approx([rates[4], rates[9]])
    assert [loss for result in results for loss in result.losses] == pytest.approx(losses, rel=1e-4)
    torch.testing.assert_close(weights(model), expected, rtol=1e-4, atol=1e-5)
    assert float((expected - start).abs().max()) > 1e-2
    assert all(result.images_per_second > 0 for result in results)


@pytest.mark.parametrize("parts", [2, 4, 24])
def test_gradient_accumulation_is_the_whole_batch(parts: int) -> None:
    whole, pieces = make_model(), make_model()
    loader = loader_for(make_split(130), cpu(), OPTIM)
    one = train(whole, loader, cpu(), OPTIM)
    other = train(pieces, loader, cpu(), with_(gradient_accumulation=parts))
    for left, right in zip(one, other, strict=True):
        assert left.losses == pytest.approx(right.losses, rel=1e-4)
        assert len(right.losses) == 5  # steps of the optimiser, not parts
    torch.testing.assert_close(weights(pieces), weights(whole), rtol=1e-4, atol=1e-5)


def test_parts_that_do_not_divide_a_batch_are_refused() -> None:
    with pytest.raises(PctError, match=r"24 examples per process do not divide into optim\.gradient_accumulation=5"):
        train(make_model(), loader_for(make_split(50), cpu(), OPTIM), cpu(), with_(gradient_accumulation=5))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # 4 steps an epoch; a warm-up of one epoch climbs in fifths.
        ({"schedule": "constant", "epochs": 2}, [1.0] * 8),
        ({"schedule": "constant", "epochs": 2, "warmup_epochs": 1}, [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1]),
        ({"schedule": "step", "epochs": 2, "step_epochs": 1, "step_gamma": 0.1}, [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1]),
        ({"schedule": "cosine", "epochs": 1}, [1.0, 0.853553, 0.5, 0.146447]),
        ({"schedule": "cosine", "epochs": 2, "warmup_epochs": 1}, [0.2, 0.4, 0.6, 0.8, 1.0, 0.853553, 0.5, 0.146447]),
    ],
)
def test_schedules(changes: dict, expected: list[float]) -> None:
    optim = with_(**changes)
    assert [lr_factor(optim, step, 4) for step in range(4 * optim.epochs)] == pytest.approx(expected, abs=1e-6)
    results = train(make_model(), loader_for(make_split(100), cpu(), optim), cpu(), optim)
    assert [result.lr for result in results] == pytest.approx(
        [optim.lr * factor for factor in expected[3::4]], rel=1e-5
    )


def test_a_loss_that_is_not_finite_stops_at_its_step() -> None:
    def poison(epoch: int, step: int) -> dict | None:
        return {"images": torch.full((24, 1, 10, 10), math.nan)} if (epoch, step) == (1, 2) else None

    loader = Watched(loader_for(make_split(130), cpu(), OPTIM), poison)
    objective = build_objective(ObjectiveConfig())
    results = fit(
        make_model(), objective, loader, optim=OPTIM, accelerator=cpu(), evaluate=lambda model: EpochScore(0.0, {})
    )
    assert len(next(results).losses) == 5
    with pytest.raises(
        TrainingError, match=r"not finite at epoch 2, step 3 \(lr 0\.0\d+\); .*lower optim\.lr .*--resume "
    ):
        next(results)


def test_a_learning_rate_that_is_far_too_high_is_a_sentence() -> None:
    optim = with_(lr=1e30)
    with pytest.raises(TrainingError, match=r"diverged: .*epoch 1, step [2-5] \(lr .*e\+\d+\)"):
        train(make_model(), loader_for(make_split(130), cpu(), optim), cpu(), optim)


def test_the_teacher_is_only_looked_at() -> None:
    teacher = make_model(1, norm="batch", dropout=0.3)
    for parameter in teacher.parameters():
        parameter.requires_grad_(True)
    teacher.train()
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    model = make_model()
    start = weights(model)
    train(model, loader_for(make_split(130), cpu(), OPTIM), cpu(), OPTIM, "ldi", teacher=teacher)
    assert not torch.equal(weights(model), start)
    assert {key: torch.equal(value, before[key]) for key, value in teacher.state_dict().items()} == dict.fromkeys(
        before, True
    )
    assert [key for key, parameter in teacher.named_parameters() if parameter.grad is not None] == []
    assert not teacher.training


def test_the_teacher_changes_what_is_learnt() -> None:
    curves = []
    for seed in (1, 2):
        loader = loader_for(make_split(130), cpu(), OPTIM)
        curves.append(train(make_model(), loader, cpu(), OPTIM, "ldi", teacher=make_model(seed))[0].losses)
    assert curves[0] != pytest.approx(curves[1], rel=1e-3)


def test_a_loss_with_a_teacher_needs_one() -> None:
    with pytest.raises(PctError):
        train(make_model(), loader_for(make_split(130), cpu(), OPTIM), cpu(), OPTIM, "ldi")


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32() -> None:
    model, teacher = make_model(norm="batch"), make_model(1)
    inside = set()
    for network in (model, teacher):
        network.backbone.layers[0].register_forward_hook(lambda module, args, result: inside.add(result.dtype))
    outside = []

    def evaluate(network: torch.nn.Module) -> EpochScore:
        outside.append(network(torch.rand(2, 1, 10, 10)).logits.dtype)
        return EpochScore(0.0, {})

    accelerator = cpu(mixed_precision="bf16")
    loader = loader_for(make_split(130), accelerator, OPTIM)
    results = train(model, loader, accelerator, OPTIM, "ldi", teacher=teacher, evaluate=evaluate)
    losses = [loss for result in results for loss in result.losses]
    assert len(losses) == 10
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0]
    assert inside == {torch.bfloat16}
    assert outside == [torch.float32] * 2
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_the_best_epoch_is_the_first_with_the_highest_score() -> None:
    scores = iter([0.5, 0.4, 0.6, 0.6])
    seen: list[int] = []
    results = train(
        make_model(),
        loader_for(make_split(50), cpu(), OPTIM),
        cpu(),
        with_(epochs=4),
        evaluate=lambda model: EpochScore(next(scores), {"val/nfr": 0.1}),
        on_improved=lambda model, epoch: seen.append(epoch),
    )
    assert [result.improved for result in results] == [True, False, True, False]
    assert seen == [0, 2]
    assert [result.score for result in results] == [0.5, 0.4, 0.6, 0.6]
    assert results[0].metrics == {"val/nfr": 0.1}


def test_an_evaluation_may_switch_the_mode() -> None:
    modes = []

    def evaluate(model: torch.nn.Module) -> EpochScore:
        model.eval()
        return EpochScore(0.0, {})

    model = make_model()
    loader = Watched(loader_for(make_split(50), cpu(), OPTIM), lambda epoch, step: modes.append(model.training))
    train(model, loader, cpu(), OPTIM, evaluate=evaluate)
    assert modes == [True] * 4


def test_it_learns() -> None:
    from fit_cases import logits_of

    optim = with_(epochs=6, lr=0.1)
    model, test = make_model(norm="batch"), make_split(301, "test")
    train(model, loader_for(make_split(600), cpu(), optim), cpu(), optim)
    right = torch.from_numpy(logits_of(model, test, cpu())).argmax(dim=1) == test.labels
    assert float(right.float().mean()) > 0.6 > 1.5 / len(CLASSES)
