"""Trains an update that flips less in a plain PyTorch loop. Lines that the objective adds end in `# +`.

    python examples/plain_loop.py

Writes old.parquet, plain.parquet and new.parquet into the current folder, and compares the updates with the old model.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pct_mlops import Predictions, build_objective, compare  # +

CLASSES = ("low", "middle", "high")


def make_data(number: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw features [N, 8] and classes [N] that overlap, so that no model is always right."""
    random = torch.Generator().manual_seed(seed)
    target = torch.randint(len(CLASSES), (number,), generator=random)
    return target.unsqueeze(1) + 1.5 * torch.randn(number, 8, generator=random), target


def make_model(width: int, seed: int) -> nn.Module:
    """Make a network from features [N, 8] to logits [N, 3]."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, len(CLASSES)))


def batches(data: tuple[Tensor, Tensor], epochs: int = 10) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches."""
    for _ in range(epochs):
        for rows in torch.randperm(len(data[1])).split(64):
            yield data[0][rows], data[1][rows]


def train(model: nn.Module, data: tuple[Tensor, Tensor]) -> nn.Module:
    """Train a model as before."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for features, target in batches(data):
        loss = cross_entropy(model(features), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def train_update(model: nn.Module, old: nn.Module, data: tuple[Tensor, Tensor]) -> nn.Module:
    """Train a model in the same loop, with the objective in place of cross-entropy."""
    objective = build_objective({"loss": "ldi", "mix": 0.5})  # +
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for features, target in batches(data):
        with torch.no_grad():  # +
            old_logits = old(features)  # +
        loss = objective(model(features), old_logits, target).total  # +
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def main() -> None:
    """Train an old model on little data and two updates on more. Compare them on test data."""
    data, test = make_data(2000, seed=0), make_data(2000, seed=1)
    old = train(make_model(8, seed=0), (data[0][:300], data[1][:300]))
    models = {
        "old": old,
        "plain": train(make_model(32, seed=1), data),
        "new": train_update(make_model(32, seed=1), old, data),
    }
    tables, ids = {}, [f"test/{number}" for number in range(len(test[1]))]
    for name, model in models.items():
        with torch.no_grad():
            logits = model(test[0])
        table = Predictions.from_arrays(ids, test[1], logits, class_names=CLASSES, model_name=name, split="test")
        tables[name] = table.save(f"{name}.parquet")
    print(f"old: accuracy {tables['old'].accuracy():.2%}")
    for name in ("plain", "new"):
        nfr = compare(tables["old"], tables[name]).estimate("nfr").value
        print(f"{name}: accuracy {tables[name].accuracy():.2%}, NFR {nfr:.2%}")


if __name__ == "__main__":
    main()
