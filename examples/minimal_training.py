"""Trains an update that flips less in plain torch: your model, your data, your loop, and our objective in it.

    python examples/minimal_training.py [--loss ldi] [--mix 0.3] [--epochs 15] [--seeds 3]

Prints accuracy and negative flip rate (NFR) as means over seeds, of an ordinary update and of one with the loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pct_mlops import Objective, build_objective, negative_flip_rate

BATCH, LR, MOMENTUM = 64, 0.05, 0.9


class Digits:
    """The 8x8 digits of scikit-learn as float images [N, 1, 8, 8] in [0, 1], halved into train and test."""

    def __init__(self) -> None:
        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
        labels = torch.tensor(digits.target)
        rows = torch.arange(len(labels))
        train, test = train_test_split(rows, test_size=0.5, random_state=0, stratify=labels)
        self.train, self.test = (images[train], labels[train]), (images[test], labels[test])
        self.first_third = tuple(part[: len(train) // 3] for part in self.train)


def make_model(width: int, seed: int) -> nn.Module:
    """Make a network from images [N, 1, 8, 8] to logits [N, 10]."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * width, 10),
    )


def batches(split: tuple[Tensor, Tensor], epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches. The last one of an epoch may be smaller."""
    images, labels = split
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(BATCH):
            yield images[rows], labels[rows]


def train_alone(model: nn.Module, split: tuple[Tensor, Tensor], epochs: int) -> nn.Module:
    """Train a model with ordinary cross-entropy."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    for images, labels in batches(split, epochs):
        loss = cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval().requires_grad_(False)


def train_against(
    old: nn.Module, model: nn.Module, split: tuple[Tensor, Tensor], epochs: int, objective: Objective
) -> nn.Module:
    """Train a model in the same loop, but with the objective in place of cross-entropy.

    The objective also gets the logits of the old model for the same images.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    for images, labels in batches(split, epochs):
        with torch.no_grad():
            old_logits = old(images)
        terms = objective(model(images), old_logits, labels)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
    return model.eval().requires_grad_(False)


def main() -> None:
    """Train an old model on a third of the data, and updates on all of it, with and without the loss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loss", default="ldi", help="a preset on logits (default: %(default)s)")
    parser.add_argument("--mix", type=float, default=0.3, help="share of the distance to the old model")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    data = Digits()
    images, labels = data.test
    old = train_alone(make_model(8, seed=0), data.first_third, 4 * given.epochs)
    old_logits = old(images)
    print(f"old: accuracy {(old_logits.argmax(1) == labels).float().mean():.2%}")
    for loss in ("none", given.loss):
        found = []
        for seed in range(1, given.seeds + 1):
            objective = build_objective({"loss": loss} if loss == "none" else {"loss": loss, "mix": given.mix})
            model = train_against(old, make_model(16, seed), data.train, given.epochs, objective)
            logits = model(images)
            accuracy = float((logits.argmax(1) == labels).float().mean())
            found.append((accuracy, negative_flip_rate(old_logits, logits, labels)))
        accuracy, nfr = (sum(values) / len(found) for values in zip(*found, strict=True))
        print(f"{loss}: accuracy {accuracy:.2%}, NFR {nfr:.2%} (mean of {given.seeds} seeds)")


if __name__ == "__main__":
    main()
