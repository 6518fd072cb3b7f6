"""Plans the settings that a tuning tries, and chooses one by a wish. It is pure: no training, no files."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from pct_mlops.errors import ConfigError

MAX_SETTINGS = 1000


@dataclass(frozen=True)
class Wish:
    """The wish that a setting is chosen by. One of the two is set.

    Attributes:
        max_accuracy_loss: Choose the lowest NFR among settings that lose at most this much accuracy against the
            untreated update. A fraction.
        nfr_target: Choose the highest accuracy among settings of at most this NFR. A fraction, or a share of the
            untreated update's NFR where `relative` is true.
        relative: True if `nfr_target` is a share of the untreated update's NFR.
    """

    max_accuracy_loss: float | None = None
    nfr_target: float | None = None
    relative: bool = False

    @property
    def sentence(self) -> str:
        """The wish in words."""
        if self.nfr_target is None:
            return f"the fewest flips at {100 * (self.max_accuracy_loss or 0):.4g} points of accuracy less at the most"
        share = f"{100 * self.nfr_target:.4g}%"
        of_what = " of that of the untreated update" if self.relative else ""
        return f"the best accuracy at an NFR of at most {share}{of_what}"


@dataclass(frozen=True)
class Setting:
    """One combination of values: its name, and the 'dotted.key=value' words that set it. None of both is a control."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """Mean accuracy and NFR of a setting on val, as fractions."""

    name: str
    accuracy: float
    nfr: float


def read_wish(max_accuracy_loss: str | None, nfr_target: str | None) -> Wish:
    """Read a wish as typed: points of accuracy, and an NFR such as 0.015, 1.5% or -50% (half of the untreated one).

    Without either, up to 0.1 points of accuracy may be lost. Raise ConfigError for both, or for something else.
    """
    if max_accuracy_loss is not None and nfr_target is not None:
        raise ConfigError("Give either --max-accuracy-loss or --nfr-target, not both: one wish chooses the setting.")
    if nfr_target is None:
        points = _number(max_accuracy_loss or "0.1", "--max-accuracy-loss", "points of accuracy, for example 0.1")
        if not 0 <= points <= 100:
            raise ConfigError(f"--max-accuracy-loss is {points:g} points: give 0 to 100.")
        return Wish(max_accuracy_loss=points / 100)
    text = nfr_target.strip()
    value = _number(text.removesuffix("%"), "--nfr-target", "a rate such as 0.015 or 1.5%, or a change such as -50%")
    value = value / 100 if text.endswith("%") else value
    relative = text.startswith("-")
    value = 1 + value if relative else value
    if (relative and not text.endswith("%")) or not 0 <= value < 1 + relative * 1e-9:
        raise ConfigError(
            f"--nfr-target is '{nfr_target}': give a rate such as 0.015 or 1.5%, or a change such as -50%."
        )
    return Wish(nfr_target=value, relative=relative)


def settings_of(grids: Sequence[str]) -> list[Setting]:
    """Return every combination of the values of grids such as 'objective.mix=0.05,0.15'.

    Commas inside brackets and braces belong to a value. Raise ConfigError for no grid, one without values, a key twice,
    or more than MAX_SETTINGS combinations.
    """
    axes = [_axis(grid) for grid in grids]
    keys = [key for key, _ in axes]
    if not axes:
        raise ConfigError("--try names no setting: write for example --try objective.mix=0.05,0.15,0.3.")
    if len(set(keys)) < len(keys):
        raise ConfigError("--try names one key twice: give all its values in one --try.")
    number = 1
    for _, values in axes:
        number *= len(values)
    if number > MAX_SETTINGS:
        raise ConfigError(f"--try makes {number:,} combinations, and {MAX_SETTINGS:,} are the most: leave some out.")
    found = []
    for chosen in itertools.product(*(values for _, values in axes)):
        name = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in zip(keys, chosen, strict=True))
        found.append(Setting(name, tuple(f"{key}={value}" for key, value in zip(keys, chosen, strict=True))))
    return found


def choose_setting(measured: Sequence[Measured], untreated: Measured, wish: Wish) -> Measured | None:
    """Return the setting that meets the wish best, None where none meets it. Of equals take the first."""
    # Rounding must not exclude a setting that lies exactly on the limit.
    slack = 1e-12
    if wish.nfr_target is None:
        least = untreated.accuracy - (wish.max_accuracy_loss or 0.0) - slack
        allowed = [one for one in measured if one.accuracy >= least]
        return min(allowed, key=lambda one: (one.nfr, -one.accuracy), default=None)
    most = wish.nfr_target * (untreated.nfr if wish.relative else 1.0) + slack
    allowed = [one for one in measured if one.nfr <= most]
    return max(allowed, key=lambda one: (one.accuracy, -one.nfr), default=None)


def _axis(grid: str) -> tuple[str, list[str]]:
    key, equals, text = grid.partition("=")
    values: list[str] = []
    for part in text.split(","):
        if values and _depth(values[-1]) > 0:
            values[-1] += f",{part}"
        else:
            values.append(part.strip())
    values = list(dict.fromkeys(value for value in values if value))
    if not equals or not key.strip() or not values:
        raise ConfigError(f"--try {grid} names no values: write for example --try objective.mix=0.05,0.15,0.3.")
    return key.strip(), values


def _depth(text: str) -> int:
    return sum(text.count(mark) for mark in "{[") - sum(text.count(mark) for mark in "}]")


def _number(text: str, option: str, example: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ConfigError(f"{option} should be {example}, and it is '{text}'.")
    return value
