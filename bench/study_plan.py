"""Says what the study of updates consists of: its methods, its trainings by importance, and their results in a file."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

OLD, UNTREATED, OLD_SEED = "old", "untreated", 101
DATA, NETWORK = "data growth", "architecture growth"


class Method(NamedTuple):
    """A way to train the new model: its loss, whether it starts from the old model, and its share of the epochs."""

    objective: dict[str, object]  # as in a recipe
    starts: bool = False
    length: float = 1.0


# Fixed before the first training, because the study reports test: nothing may be chosen there. The most important
# ones come first, because the time may not suffice for all.
METHODS: dict[str, dict[str, Method]] = {
    DATA: {
        UNTREATED: Method({"loss": "none"}),
        "update": Method({"loss": "update"}, starts=True),
        "untreated, 1.5 x epochs": Method({"loss": "none"}, length=1.5),
        "warm start": Method({"loss": "none"}, starts=True),
        "update, mix 0.3": Method({"loss": "update", "mix": 0.3}, starts=True),
        "cold kl": Method({"loss": "update"}),
    },
    NETWORK: {
        UNTREATED: Method({"loss": "none"}),
        "update": Method({"loss": "update"}, starts=True),
        "untreated, 1.5 x epochs": Method({"loss": "none"}, length=1.5),
    },
}
ORDINARY = Method({"loss": "none"})  # how old models are trained
TEACHER_COST = 1.4  # a first guess, as the cost of the wider network is: measured times replace both


@dataclass(frozen=True)
class Settings:
    """Settings that change the numbers of a training. Its seed is not among them."""

    arch: str
    width: int
    wider: int
    stem_stride: int
    epochs: int
    batch: int
    lr: float
    images: int
    precision: str

    @property
    def digest(self) -> str:
        """Fingerprint of the settings, the methods and the seed of the old models."""
        text = json.dumps([asdict(self), METHODS, OLD_SEED], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Training(NamedTuple):
    """One training of the study. `method` is OLD for the old model of a change."""

    change: str
    method: str
    seed: int

    @property
    def how(self) -> Method:
        """Loss, start and length."""
        return ORDINARY if self.method == OLD else METHODS[self.change][self.method]

    @property
    def is_wide(self) -> bool:
        """True when the network is the wider one."""
        return self.change == NETWORK and self.method != OLD

    @property
    def share(self) -> float:
        """Share of the training data."""
        return 0.5 if (self.change, self.method) == (DATA, OLD) else 1.0

    def epochs(self, settings: Settings) -> int:
        """Return the epochs of this training, at least 1."""
        return max(1, round(self.how.length * settings.epochs))

    def work(self, settings: Settings) -> float:
        """Guess how long it takes, in epochs of an ordinary training of the narrow network on all data."""
        width = settings.wider / settings.width if self.is_wide else 1.0
        teacher = 1.0 if self.how.objective["loss"] == "none" else TEACHER_COST
        return self.epochs(settings) * self.share * width**2 * teacher


@dataclass(frozen=True)
class Row:
    """Result of a training on test. Rates are fractions. Those of flips are None for an old model."""

    change: str
    method: str
    seed: int
    epochs: int
    accuracy: float
    nfr: float | None
    pfr: float | None
    seconds: float

    @property
    def training(self) -> Training:
        """The training that gave it."""
        return Training(self.change, self.method, self.seed)


def plan(changes: Iterable[str], num_seeds: int) -> list[Training]:
    """Return the trainings by importance: the old models, then all methods of a seed before the next seed."""
    changes = list(changes)
    old = [Training(change, OLD, OLD_SEED) for change in changes]
    seeds = range(1, num_seeds + 1)
    return old + [Training(change, method, seed) for seed in seeds for change in changes for method in METHODS[change]]


def expected_seconds(training: Training, done: Sequence[Row], settings: Settings) -> float:
    """Estimate the seconds of a training from the last like one of `done`, or from the last of all. 0 without any.

    Like are trainings of the same network, both with a teacher or both without. The last one counts, because the first
    ones also choose kernels.
    """

    def kind(one: Training) -> tuple[bool, bool]:
        return one.is_wide, one.how.objective["loss"] == "none"

    like = [row for row in done if kind(row.training) == kind(training)] or done
    if not like:
        return 0.0
    return like[-1].seconds / like[-1].training.work(settings) * training.work(settings)


def old_folder(output: Path, change: str) -> Path:
    """Return the folder of the old model of a change."""
    return output / f"old-{change.replace(' ', '-')}"


def read_rows(path: Path) -> list[Row]:
    """Return the trainings of a file. There are none where the file does not exist."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, str]) -> Row:
    numbers = {key: float(line[key]) if line[key] else None for key in ("accuracy", "nfr", "pfr", "seconds")}
    return Row(line["change"], line["method"], int(line["seed"]), int(line["epochs"]), **numbers)  # type: ignore[arg-type]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write the trainings to a file. It is replaced at once, so that it is whole after a kill."""
    aside = path.with_suffix(".partial")
    with aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)  # None becomes an empty cell
    aside.replace(path)
