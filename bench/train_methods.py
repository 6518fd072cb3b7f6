"""Measures the cost of a step with each method, relative to plain cross-entropy: time in one run, and memory.

All trainings take turns within one process, a round of steps each, by the clock of `fit` itself. Medians over the
rounds are compared. Prints ratios, and tells whether the targets are met. A slow machine is no error.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from pct_mlops.config import AugmentConfig, DataConfig, EngineConfig, ObjectiveConfig, OptimConfig
from pct_mlops.data import Split, TrainLoader, train_loader, view_loader
from pct_mlops.data.pixels import ArrayPixels
from pct_mlops.engine import EpochScore, StoredOutputs, fit, make_accelerator, seed_everything
from pct_mlops.losses import CNA, PRESETS, Binding, build_objective
from pct_mlops.models import Architecture, Classifier, Ensemble, ModelOutput, build_model

CLASSES = tuple(str(index) for index in range(10))
VIEWS = 4
ONE, EIGHT, STORED = "1 teacher", "8 teachers", "8 teachers, stored"
TARGETS = {ONE: 1.5, STORED: 1.15}  # largest cost, as a multiple of cross-entropy's
CNA_BATCH, CNA_TARGET = 1024, 1.2  # largest cost, as a multiple of its teacher's alone


def main() -> None:
    options = parse()
    console = Console()
    device = make_accelerator(EngineConfig()).device
    console.print(
        f"{options.arch} (width {options.width}), {options.rounds} rounds of {options.steps} steps on {device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        methods(options, Path(folder), console)
    neighbours(options, console)
    memory(options, console, device)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python bench/train_methods.py --rounds 7 --steps 40",
    )
    parser.add_argument("--arch", default="small_resnet14", help="architecture of the new model and of each teacher")
    parser.add_argument("--width", type=int, default=16, help="channels of its first stage (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=128, help="examples a step (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="steps a round (default: %(default)s)")
    return parser.parse_args()


def make_split(num: int) -> Split:
    """Make a split of noise with labels: the content of images does not change the cost of a step."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (num, 1, 28, 28), generator=random, dtype=torch.uint8)
    labels = torch.randint(len(CLASSES), (num,), generator=random)
    return Split("train", [f"train/{row:06d}" for row in range(num)], labels, ArrayPixels(images))


def make_model(options: argparse.Namespace, seed: int) -> Classifier:
    seed_everything(seed)
    kwargs = {"width": options.width, "stem_stride": 2}
    record = {"class_names": CLASSES, "image_shape": (1, 28, 28), "mean": (0.5,), "std": (0.3,)}
    return build_model(Architecture(name=options.arch, kwargs=kwargs, **record))


def data_config(views: int | None = None) -> DataConfig:
    return DataConfig(augment=AugmentConfig(crop="pad", padding=2), views=views, num_workers=0)


def make_loader(split: Split, batch: int, config: DataConfig) -> TrainLoader:
    device = make_accelerator(EngineConfig()).device
    return train_loader(split, config, global_batch_size=batch, seed_sampler=0, seed_data=0, device=device)


def training(options: argparse.Namespace, loss: str, loader: TrainLoader, teacher: object | None) -> Iterator[float]:
    """Yield the seconds per step of one epoch after another, each of `steps` steps."""
    model = make_model(options, 0)
    objective = build_objective(ObjectiveConfig(loss=loss))
    head = teacher.members[0].head if isinstance(teacher, Ensemble) else None
    objective = objective.bind(Binding(len(CLASSES), model.num_features, model.num_features, head))
    results = fit(
        model,
        objective,
        loader,
        optim=OptimConfig(lr=1e-3, epochs=options.rounds + 1, global_batch_size=loader.batch_size, schedule="constant"),
        accelerator=make_accelerator(EngineConfig()),
        evaluate=lambda model: EpochScore(0.0, {}),
        teacher=teacher,
    )
    for result in results:
        yield loader.batch_size / result.images_per_second


class Rounds:
    """A loader whose epochs are the rounds, of `steps` steps each."""

    def __init__(self, loader: TrainLoader, batch: int, steps: int) -> None:
        self.loader, self.batch_size, self.steps = loader, batch, steps

    def __len__(self) -> int:
        return self.steps

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[object]:
        for _, batch in zip(range(self.steps), self.loader.epoch(epoch), strict=False):
            yield batch


def in_turns(runs: dict[str, Iterator[float]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds per step of each run, round by round. The first round of each is not counted."""
    for run in runs.values():
        next(run)
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(next(run))
    return found


def methods(options: argparse.Namespace, folder: Path, console: Console) -> None:
    """Measure every loss with one teacher of the new model's size, and ELODI with eight.

    The eight are run at every step in one training, and their logits are stored in another.
    """
    split = make_split(options.batch * (options.steps + 1))
    members = [make_model(options, seed).eval() for seed in range(8)]
    teachers = {ONE: Ensemble(members[:1], [1.0], CLASSES), EIGHT: Ensemble(members, [1.0] * 8, CLASSES)}
    fresh = Rounds(make_loader(split, options.batch, data_config()), options.batch, options.steps)
    fixed = Rounds(make_loader(split, options.batch, data_config(VIEWS)), options.batch, options.steps)
    stored = store(split, teachers[EIGHT], folder, options.batch)
    runs: dict[str, Iterator[float]] = {"none": training(options, "none", fresh, None)}
    where = {"none": "-"}
    for loss, preset in PRESETS.items():
        if "distance" in preset and "teacher" not in preset:
            runs[loss], where[loss] = training(options, loss, fresh, teachers[ONE]), ONE
    runs["elodi"], where["elodi"] = training(options, "elodi", fresh, teachers[EIGHT]), EIGHT
    runs["elodi, stored"], where["elodi, stored"] = training(options, "elodi", fixed, stored), STORED
    seconds = in_turns(runs, options.rounds)
    base = statistics.median(seconds["none"])
    table = Table("loss", "teacher", "ms a step", "x cross-entropy", "target", "met")
    for name, values in seconds.items():
        middle = statistics.median(values)
        row = [name, where[name], f"{1000 * middle:.1f}", f"{middle / base:.2f}"]
        if where[name] in TARGETS:
            target = TARGETS[where[name]]
            row += [f"{target:.2f}", "yes" if middle / base <= target else "no"]
        table.add_row(*row)
    console.print(table)


def store(split: Split, teacher: Ensemble, folder: Path, batch: int) -> StoredOutputs:
    config = data_config(VIEWS)
    device = make_accelerator(EngineConfig()).device
    return StoredOutputs.build(
        folder,
        "0" * 64,
        teacher,
        lambda view: view_loader(split, config, view, batch_size=batch, seed_data=0, device=device),
        num_views=VIEWS,
        num_examples=len(split),
        accelerator=make_accelerator(EngineConfig()),
    )


def neighbours(options: argparse.Namespace, console: Console) -> None:
    """Measure CNA at a large batch against l2, which has the same teacher and costs next to nothing beyond it."""
    steps = max(2, options.steps * options.batch // CNA_BATCH)
    split = make_split(CNA_BATCH * (steps + 1))
    loader = Rounds(make_loader(split, CNA_BATCH, data_config()), CNA_BATCH, steps)
    teacher = Ensemble([make_model(options, 1).eval()], [1.0], CLASSES)
    runs = {loss: training(options, loss, loader, teacher) for loss in ("l2", "cna")}
    seconds = {name: statistics.median(values) for name, values in in_turns(runs, options.rounds).items()}
    ratio = seconds["cna"] / seconds["l2"]
    met = "met" if ratio <= CNA_TARGET else "not met"
    console.print(f"cna at batch {CNA_BATCH}: {ratio:.2f} x its teacher alone (target {CNA_TARGET}: {met})")


def memory(options: argparse.Namespace, console: Console, device: torch.device) -> None:
    """Print the memory that autograd keeps for one CNA loss, at several batches and widths.

    It should grow with the square of the batch.
    """
    table = Table("batch", "width", "kept for the backward pass, MB", "floats an entry of batch x batch")
    for batch in (256, 512, 1024):
        for width in (64, 512):
            kept = saved_floats(batch, width, device)
            table.add_row(str(batch), str(width), f"{kept * 4 / 1e6:.1f}", f"{kept / batch**2:.2f}")
    console.print(table)


def saved_floats(batch: int, width: int, device: torch.device) -> int:
    """Return the number of floats that the graph of one CNA loss holds, each storage once."""
    random = torch.Generator().manual_seed(0)
    new, old = (torch.randn(batch, width, generator=random).to(device) for _ in range(2))
    logits, target = torch.zeros(batch, 10, device=device), torch.zeros(batch, dtype=torch.int64, device=device)
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        CNA()(ModelOutput(logits, new.requires_grad_()), ModelOutput(logits, old), target)
    return sum(storages.values())


if __name__ == "__main__":
    main()
