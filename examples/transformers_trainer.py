"""Trains an update that flips less with the Trainer of Transformers. Lines that the objective adds end in `# +`.

    pip install "pct-mlops[transformers]"
    python examples/transformers_trainer.py

Writes old.parquet, plain.parquet and new.parquet into the current folder, and compares the updates with the old model.
Nothing is downloaded: the texts are random tokens, and the models are tiny BERTs with random weights.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

from pct_mlops import Predictions, build_objective, compare  # +

CLASSES = ("question", "order", "complaint")
WORDS, LENGTH = 60, 12


class Texts(Dataset):
    """Texts of 12 tokens. A third of them come from the words of the class, and the others from all words."""

    def __init__(self, number: int, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(len(CLASSES), (number,), generator=random)
        share = WORDS // len(CLASSES)
        typical = self.labels.unsqueeze(1) * share + torch.randint(share, (number, LENGTH), generator=random)
        other = torch.randint(WORDS, (number, LENGTH), generator=random)
        self.tokens = torch.where(torch.rand(number, LENGTH, generator=random) < 1 / 3, typical, other)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[row], "labels": self.labels[row]}


class CongruentTrainer(Trainer):
    """A Trainer with the objective in place of the model's own loss."""

    def __init__(self, *args: Any, old: torch.nn.Module, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.old = old.eval().requires_grad_(False).to(self.args.device)  # +
        self.objective = build_objective({"loss": "ldi", "mix": 0.5})  # +
        # The objective is a mean over the batch, and the Trainer has to divide it when it accumulates gradients.
        self.model_accepts_loss_kwargs = False  # +

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any) -> Any:
        """Return the loss of a batch, with the model's outputs if they are asked for."""
        outputs = model(**inputs)
        with torch.no_grad():  # +
            old = self.old(**inputs)  # +
        loss = self.objective(outputs.logits, old.logits, inputs["labels"]).total  # +
        return (loss, outputs) if return_outputs else loss


def make_model(width: int) -> BertForSequenceClassification:
    """Make a tiny BERT with random weights."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=WORDS,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=LENGTH,
            num_labels=len(CLASSES),
        )
    )


def fit(width: int, data: Dataset, epochs: int = 3, **old: Any) -> Trainer:
    """Train a model on the CPU and without files: in the usual way, or against an old model where one is given."""
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),
        num_train_epochs=epochs,
        per_device_train_batch_size=32,
        learning_rate=2e-3,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
    )
    kind = CongruentTrainer if old else Trainer
    trainer = kind(model=make_model(width), args=arguments, train_dataset=data, **old)
    trainer.train()
    return trainer


def main() -> None:
    """Train an old model on little data and two updates on more. Compare them on test data."""
    set_seed(0)
    data, test = Texts(2000, seed=0), Texts(1000, seed=1)
    old = fit(16, Texts(500, seed=2), epochs=8)
    trainers = {"old": old, "plain": fit(32, data), "new": fit(32, data, old=old.model)}
    tables, ids = {}, [f"test/{number}" for number in range(len(test))]
    for name, trainer in trainers.items():
        logits = trainer.predict(test).predictions
        table = Predictions.from_arrays(ids, test.labels, logits, class_names=CLASSES, model_name=name, split="test")
        tables[name] = table.save(f"{name}.parquet")
    print(f"old: accuracy {tables['old'].accuracy():.2%}")
    for name in ("plain", "new"):
        nfr = compare(tables["old"], tables[name]).estimate("nfr").value
        print(f"{name}: accuracy {tables[name].accuracy():.2%}, NFR {nfr:.2%}")


if __name__ == "__main__":
    main()
