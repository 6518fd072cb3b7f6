"""Where a training starts, how large its steps are, and which epochs are worth keeping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fit_cases import Watched, cpu, loader_for, make_model, make_split, train

from pct_mlops.config import OptimConfig, PctError
from pct_mlops.engine import Checkpoints
from pct_mlops.engine.optim import scaled_lr

OPTIM = OptimConfig(lr=0.05, epochs=5, global_batch_size=24, weight_decay=0.01)


def with_(**changes: Any) -> OptimConfig:
    return OPTIM.model_copy(update=changes)


def run(optim: OptimConfig, **options: Any) -> tuple[torch.Tensor, list]:
    model = make_model()
    results = train(model, loader_for(make_split(50), cpu(), optim), cpu(), optim, **options)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]), results


@pytest.mark.parametrize(("reference", "factor"), [(None, 1), (24, 1), (256, 24 / 256), (6, 4)])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_learning_rate_is_meant_for_the_reference_batch(reference: int | None, factor: float, name: str) -> None:
    optim = with_(reference_batch=reference, epochs=1, name=name, schedule="constant", lr=0.01)
    assert scaled_lr(optim) == pytest.approx(0.01 * factor)
    weights, results = run(optim)
    assert results[0].lr == pytest.approx(0.01 * factor)
    expected, _ = run(with_(epochs=1, name=name, schedule="constant", lr=0.01 * factor))
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_a_later_start_goes_on_with_schedule_data_and_counts(schedule: str) -> None:
    optim = with_(schedule=schedule, step_epochs=2, warmup_epochs=1)
    seen: list[tuple[int, int]] = []
    loader = Watched(loader_for(make_split(50), cpu(), optim), lambda epoch, step: seen.append((epoch, step)))
    late = train(make_model(), loader, cpu(), optim.model_copy(update={"start_epoch": 3}))
    _, whole = run(optim)
    assert seen == [(3, 0), (3, 1), (4, 0), (4, 1)]
    assert [result.epoch for result in late] == [3, 4]
    assert [result.step for result in late] == [8, 10]
    assert [result.lr for result in late] == pytest.approx([result.lr for result in whole[3:]])
    assert len(late[0].losses) == 2


def test_a_later_start_is_resumed_like_any_other(tmp_path: Path) -> None:
    optim = with_(start_epoch=2, momentum=0.5)
    whole, results = run(optim)
    accelerator, model = cpu(), make_model()

    def before(epoch: int, step: int) -> None:
        if (epoch, step) == (3, 1):
            raise KeyboardInterrupt

    loader = loader_for(make_split(50), accelerator, optim)
    checkpoints = Checkpoints(tmp_path, "recipe", every_steps=1)
    with pytest.raises(KeyboardInterrupt):
        train(model, Watched(loader, before), accelerator, optim, checkpoints=checkpoints)
    resumed, rest = run(optim, checkpoints=checkpoints, resume=True)
    assert torch.equal(resumed, whole)
    assert [(result.epoch, result.losses, result.lr) for result in rest] == [
        (result.epoch, result.losses, result.lr) for result in results[1:]
    ]


@pytest.mark.parametrize("start", [5, 9])
def test_a_start_after_the_end_is_a_sentence(start: int) -> None:
    with pytest.raises(PctError, match=rf"optim\.start_epoch={start} leaves none of optim\.epochs=5 to train: lower"):
        run(with_(start_epoch=start))


@pytest.mark.parametrize(
    ("every", "start", "kept"), [(1, 0, [0, 1, 2, 3, 4]), (2, 0, [1, 3, 4]), (3, 2, [2, 4]), (9, 0, [4])]
)
def test_every_so_many_epochs_and_the_last_are_kept(every: int, start: int, kept: list[int]) -> None:
    _, results = run(with_(start_epoch=start), epochs_per_save=every)
    assert [result.epoch for result in results if result.keep] == kept


def test_the_start_is_shown_once_and_untrained(tmp_path: Path) -> None:
    optim, seen = with_(epochs=2), []
    expected = {key: value.clone() for key, value in make_model().state_dict().items()}

    def on_start(model: torch.nn.Module) -> None:
        seen.append({key: value.clone() for key, value in model.state_dict().items()})

    checkpoints = Checkpoints(tmp_path, "recipe")
    run(optim, on_start=on_start, checkpoints=checkpoints)
    assert len(seen) == 1
    assert all(torch.equal(seen[0][key], value) for key, value in expected.items())
    run(optim, on_start=on_start, checkpoints=checkpoints, resume=True)
    assert len(seen) == 1  # a resume starts where it was, not at the start
    run(optim, on_start=on_start, checkpoints=Checkpoints(tmp_path / "new", "recipe"), resume=True)
    assert len(seen) == 2  # nothing to resume: a start


def test_the_last_good_checkpoint_of_a_divergence_can_be_loaded(tmp_path: Path) -> None:
    optim, checkpoints = with_(epochs=2), Checkpoints(tmp_path, "recipe", every_steps=1)

    def poison(epoch: int, step: int) -> dict | None:
        return {"images": torch.full((24, 1, 10, 10), float("nan"))} if (epoch, step) == (1, 1) else None

    loader = Watched(loader_for(make_split(50), cpu(), optim), poison)
    with pytest.raises(PctError, match=r"not finite at epoch 2, step 2 \(lr 0\.0"):
        train(make_model(), loader, cpu(), optim, checkpoints=checkpoints)
    assert checkpoints.complete()[-1].name == "epoch-0001-step-000001"
    resumed, _ = run(optim, checkpoints=checkpoints, resume=True)
    assert torch.equal(resumed, run(optim)[0])
