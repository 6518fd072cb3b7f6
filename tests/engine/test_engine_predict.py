"""Logits of each example once, in the split's order; and the bar that shows how far it is."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from fit_cases import PLAIN, SHAPE, cpu, logits_of, make_model, make_split
from rich.console import Console

from pct_mlops.data import eval_loader
from pct_mlops.data.ten_crop import ten_crops
from pct_mlops.engine import predict, progress


def batches(n: int, size: int = 7) -> list:
    return list(eval_loader(make_split(n, "test"), PLAIN, batch_size=size))


def test_logits_do_not_depend_on_the_batch_size_or_the_order() -> None:
    model, split = make_model(norm="batch"), make_split(50, "test")
    with torch.no_grad():
        expected = model.eval()(split.all_images() / 255).logits.numpy()
    np.testing.assert_allclose(logits_of(model, split, cpu()), expected, atol=1e-5)
    np.testing.assert_allclose(logits_of(model, split, cpu(), batch_size=7), expected, atol=1e-5)
    backwards = predict(model, batches(50)[::-1], 50, cpu(), image_shape=SHAPE)
    np.testing.assert_allclose(backwards, expected, atol=1e-5)
    assert backwards.dtype == np.float32


def test_ten_crops_are_averaged() -> None:
    model, split = make_model(norm="batch"), make_split(26, "test")
    config = PLAIN.model_copy(update={"ten_crop": True})
    with torch.no_grad():
        views = [ten_crops(split.images([row]) / 255)[0] for row in range(26)]
        expected = torch.stack([model.eval()(ten).logits.mean(dim=0) for ten in views]).numpy()
    np.testing.assert_allclose(logits_of(model, split, cpu(), batch_size=35, data=config), expected, atol=1e-5)
    assert np.abs(expected - logits_of(model, split, cpu())).max() > 0.01


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    model = make_model(norm="batch", dropout=0.5).train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    one, other = (logits_of(model, make_split(50), cpu()) for _ in range(2))
    np.testing.assert_array_equal(one, other)  # no dropout
    assert model.training is training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("change", [lambda parts: parts[1:], lambda parts: [*parts, parts[0]]])
def test_missing_and_repeated_examples_are_noticed(change) -> None:
    with pytest.raises(RuntimeError, match="missing or come twice"):
        predict(make_model(), change(batches(50)), 50, cpu(), image_shape=SHAPE)


def test_the_bar_counts_images(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=text, force_terminal=True, width=120))
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    predict(make_model(), batches(50), 50, cpu(), image_shape=SHAPE, title="score test")
    assert "score test" in text.getvalue()
    assert "50/50" in text.getvalue()
    assert "images/s" in text.getvalue()


def test_no_bar_without_a_terminal_or_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, visible in ((False, True), (True, False)):
        text = io.StringIO()
        console = Console(file=text, force_terminal=terminal)
        monkeypatch.setattr(progress, "Console", lambda console=console, **_: console)
        with progress.Progress("epoch 1/2", 100, visible) as bar:
            bar.advance(100)
        assert text.getvalue() == ""
        assert bar.images_per_second > 0
