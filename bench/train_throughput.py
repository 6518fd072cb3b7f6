"""Measures the images per second of `fit` against a tutorial's loop and a loop that repeats one batch.

The data are Fashion-MNIST in fp32, with SGD, crop with padding, and flip. The three run in turns within one process, a
round each, and medians over the rounds are compared. Prints figures, and tells whether the targets are met. A slow
machine is no error.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from pct_mlops.config import EngineConfig, ModelConfig, ObjectiveConfig, OptimConfig, Recipe
from pct_mlops.data import Split, Splits, load_data, train_loader
from pct_mlops.engine import EpochScore, fit, make_accelerator, seed_everything
from pct_mlops.engine.optim import build_optimizer
from pct_mlops.losses import build_objective
from pct_mlops.models import Architecture, build_model

TUTORIAL, CONSTANT, OURS = "tutorial's loop", "constant batch", "fit"
TARGETS = {TUTORIAL: 2.0, CONSTANT: 0.85}  # lowest speed of fit, as a multiple of the others'
RECIPE = Path(__file__).parent.parent / "projects" / "fashion_mnist" / "recipe.yaml"
WITHOUT_A_RECIPE = Recipe(model_name="bench", model=ModelConfig(name="small_resnet8", kwargs={"width": 16}))
WARM_UP = 5  # steps of a round before its clock starts, for loops without a clock of their own
Round = Callable[[], float]  # runs one round, returns images per second


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    recipe = make_recipe(options)
    splits = load_data(recipe.data, recipe.seed.data)
    rounds: dict[str, Round] = {
        TUTORIAL: tutorial(recipe, splits, options.steps, options.workers),
        CONSTANT: constant(recipe, splits, options.steps),
        OURS: ours(recipe, splits, options.steps, options.rounds + 1),
    }
    for once in rounds.values():
        once()  # the first call chooses kernels and starts workers
    speeds: dict[str, list[float]] = {name: [] for name in rounds}
    for _ in range(options.rounds):
        for name, once in rounds.items():
            speeds[name].append(once())
    report(recipe, speeds, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python bench/train_throughput.py --rounds 7 --steps 100",
    )
    parser.add_argument(
        "--recipe", type=Path, default=RECIPE, help="recipe with the model (default: that of fashion_mnist)"
    )
    parser.add_argument("--batch", type=int, default=128, help="examples a step (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=40, help="steps a round (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="the tutorial's loader workers (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (default: torch's choice)")
    return parser.parse_args()


def make_recipe(options: argparse.Namespace) -> Recipe:
    """Return a recipe with the architecture of the given one, and with everything else as the comparison needs it."""
    recipe = Recipe.read(options.recipe) if options.recipe.is_file() else WITHOUT_A_RECIPE
    data = recipe.data.model_copy(
        update={"augment": recipe.data.augment.model_copy(update={"crop": "pad", "padding": 2, "flip": True})}
    )
    optim = OptimConfig(
        name="sgd", lr=0.01, epochs=options.rounds + 1, global_batch_size=options.batch, schedule="constant"
    )
    return recipe.model_copy(update={"data": data, "optim": optim, "engine": EngineConfig(cpu=True)})


def new_model(recipe: Recipe, splits: Splits) -> nn.Module:
    seed_everything(recipe.seed.model)
    return build_model(
        Architecture(
            name=recipe.model.name,
            kwargs=recipe.model.kwargs,
            class_names=splits.class_names,
            image_shape=splits.image_shape,
            mean=splits.mean,
            std=splits.std,
        )
    ).train()


class PilImages(Dataset[tuple[Tensor, int]]):
    """A data set like torchvision's own: one image at a time, as PIL, through a transform."""

    def __init__(self, split: Split, padding: int) -> None:
        self.images = split.all_images().permute(0, 2, 3, 1).squeeze(-1).numpy()
        self.labels = split.labels
        self.transform = v2.Compose(
            [
                v2.ToImage(),
                v2.RandomCrop(self.images.shape[1:3], padding=padding),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[row])), int(self.labels[row])


def tutorial(recipe: Recipe, splits: Splits, steps: int, workers: int) -> Round:
    """Return a round of a plain loop: workers that transform each image, contiguous tensors, torch's own optimiser."""
    model, config = new_model(recipe, splits), recipe.optim
    optimizer = torch.optim.SGD(
        model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )
    loader = DataLoader(
        PilImages(splits.train, recipe.data.augment.padding),
        batch_size=config.global_batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
    )

    def once() -> float:
        batches = iter(loader)

        def step() -> None:
            images, labels = next(batches)
            loss = functional.cross_entropy(model(images).logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        # Each round has a new iterator. Its workers end with it, so they do not work while another loop is timed.
        return timed(step, steps, config.global_batch_size)

    return once


def constant(recipe: Recipe, splits: Splits, steps: int) -> Round:
    """Return a round without any data loading, which is the limit that the model itself sets.

    It has the memory format and the optimiser of `fit`.
    """
    model = new_model(recipe, splits).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(model, recipe.optim)
    rows = torch.arange(recipe.optim.global_batch_size)
    images = (splits.train.images(rows).float() / 255).contiguous(memory_format=torch.channels_last)
    labels = splits.train.labels[rows]

    def step() -> None:
        loss = functional.cross_entropy(model(images).logits, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return lambda: timed(step, steps, len(rows))


def timed(step: Callable[[], None], steps: int, batch: int) -> float:
    for _ in range(WARM_UP):
        step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * batch / (time.perf_counter() - start)


class FirstSteps:
    """A loader of only the first `steps` steps of every epoch of another one. That is a round."""

    def __init__(self, loader: object, steps: int) -> None:
        self.loader, self.steps = loader, steps

    def __len__(self) -> int:
        return self.steps

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[object]:
        for _, batch in zip(range(start_step, self.steps), self.loader.epoch(epoch, start_step), strict=False):
            yield batch


def ours(recipe: Recipe, splits: Splits, steps: int, rounds: int) -> Round:
    """Return a round of `fit` as the training verb calls it. An epoch is a round, timed by the clock of `fit`."""
    loader = train_loader(
        splits.train,
        recipe.data,
        global_batch_size=recipe.optim.global_batch_size,
        seed_sampler=recipe.seed.sampler,
        seed_data=recipe.seed.data,
    )
    results = fit(
        new_model(recipe, splits),
        build_objective(ObjectiveConfig()),
        FirstSteps(loader, steps),
        optim=recipe.optim.model_copy(update={"epochs": rounds}),
        accelerator=make_accelerator(recipe.engine),
        evaluate=lambda model: EpochScore(0.0, {}),
    )
    return lambda: next(results).images_per_second


def report(recipe: Recipe, speeds: dict[str, list[float]], options: argparse.Namespace) -> None:
    console = Console()
    arguments = "".join(f" {key}={value}" for key, value in recipe.model.kwargs.items())
    console.print(
        f"{recipe.model.name}{arguments}, batch {options.batch}, {options.rounds} rounds of {options.steps} steps, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    table = Table("loop", "images/s (median)", "lowest", "highest", "fit is faster by", "target", "met")
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    for name, values in speeds.items():
        row = [name, f"{middle[name]:,.0f}", f"{min(values):,.0f}", f"{max(values):,.0f}"]
        if name in TARGETS:
            ratio = middle[OURS] / middle[name]
            row += [f"{ratio:.2f} x", f"{TARGETS[name]:.2f} x", "yes" if ratio >= TARGETS[name] else "no"]
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
