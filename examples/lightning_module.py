"""Trains an update that flips less with a Lightning module. Lines that the objective adds end in `# +`.

    pip install "pct-mlops[lightning]"
    python examples/lightning_module.py

Writes old.parquet, plain.parquet and new.parquet into the current folder, and compares the updates with the old model.
"""

from __future__ import annotations

import lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from pct_mlops import Predictions, build_objective, compare  # +

CLASSES = ("low", "middle", "high")


def make_data(number: int, seed: int) -> TensorDataset:
    """Draw features [N, 8] and classes [N] that overlap, so that no model is always right."""
    random = torch.Generator().manual_seed(seed)
    target = torch.randint(len(CLASSES), (number,), generator=random)
    return TensorDataset(target.unsqueeze(1) + 1.5 * torch.randn(number, 8, generator=random), target)


class Plain(lightning.LightningModule):
    """A classifier with cross-entropy, from features [N, 8] to logits [N, 3]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, len(CLASSES)))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [N, 3]."""
        return self.model(features)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Return the loss of a batch."""
        features, target = batch
        return cross_entropy(self(features), target)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Train the model alone, and nothing else that the module holds."""
        return torch.optim.Adam(self.model.parameters(), lr=0.01)


class Update(Plain):
    """The same classifier with the objective in place of cross-entropy."""

    def __init__(self, width: int, old: nn.Module) -> None:
        super().__init__(width)
        self.old = old.eval().requires_grad_(False)  # +
        self.objective = build_objective({"loss": "ldi", "mix": 0.5})  # +

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Return the loss of a batch."""
        features, target = batch
        with torch.no_grad():  # +
            old_logits = self.old(features)  # +
        return self.objective(self(features), old_logits, target).total  # +


def fit(module: lightning.LightningModule, data: TensorDataset) -> lightning.LightningModule:
    """Train for ten epochs, on the CPU and without files."""
    trainer = lightning.Trainer(
        max_epochs=10,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(data, batch_size=64, shuffle=True))
    return module.eval()


def main() -> None:
    """Train an old model on little data and two updates on more. Compare them on test data."""
    lightning.seed_everything(0)
    data, test = make_data(2000, seed=0), make_data(2000, seed=1)
    old = fit(Plain(8), TensorDataset(*data[:300]))
    modules = {"old": old, "plain": fit(Plain(32), data), "new": fit(Update(32, old), data)}
    features, target = test.tensors
    tables, ids = {}, [f"test/{number}" for number in range(len(target))]
    for name, module in modules.items():
        with torch.no_grad():
            logits = module(features)
        table = Predictions.from_arrays(ids, target, logits, class_names=CLASSES, model_name=name, split="test")
        tables[name] = table.save(f"{name}.parquet")
    print(f"old: accuracy {tables['old'].accuracy():.2%}")
    for name in ("plain", "new"):
        nfr = compare(tables["old"], tables[name]).estimate("nfr").value
        print(f"{name}: accuracy {tables[name].accuracy():.2%}, NFR {nfr:.2%}")


if __name__ == "__main__":
    main()
