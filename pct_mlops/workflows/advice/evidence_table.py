"""Reads the decision table: what updates were measured to cost and to flip, for each kind of change and data set."""

from __future__ import annotations

import csv
import io
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

from pct_mlops.errors import ConfigError

# Kinds of change, in the order in which they are looked for and shown.
CLASS_GROWTH, ARCHITECTURE_GROWTH, LABEL_CLEANING, DATA_GROWTH = (
    "class growth",
    "architecture growth",
    "label cleaning",
    "data growth",
)
CHANGES = (DATA_GROWTH, ARCHITECTURE_GROWTH, CLASS_GROWTH, LABEL_CLEANING)
UNTREATED, TWO_MODELS = "untreated", "two models deployed"
MAX_LOSS = 0.002  # of accuracy, that an update may lose and still be said to keep it; as in the policy of the demo


@dataclass(frozen=True)
class UpdateEvidence:
    """One row of the decision table: an update that was trained with several seeds for one change of one data set.

    Rates are fractions. Changes and ratios are against the untreated update of the same change and data set, and
    `low` and `high` bound them at 95% over seeds. None is what was not measured.

    Attributes:
        change: the kind of change, for example "data growth".
        data_set: name of the data set.
        method: name of the update. The one that the others are compared with is "untreated".
        words: what --set takes to train it. Empty for what is not one training.
        seeds: number of trainings.
        accuracy: mean accuracy on test.
        accuracy_std: its standard deviation.
        nfr: mean NFR on test against the old model.
        nfr_std: its standard deviation.
        accuracy_change: mean change of accuracy.
        accuracy_change_low: lower end of its interval.
        accuracy_change_high: upper end of its interval.
        nfr_ratio: mean NFR by that of the untreated update.
        nfr_ratio_low: lower end of its interval.
        nfr_ratio_high: upper end of its interval.
        cost: training time by that of the untreated update.

    Example:
        >>> from pct_mlops import UpdateEvidence
        >>> words = ("objective.loss=update",)
        >>> row = UpdateEvidence("data growth", "shoes", "update", words, 5, accuracy_change=-0.004)
        >>> row.keeps_accuracy
        False
    """

    change: str
    data_set: str
    method: str
    words: tuple[str, ...]
    seeds: int
    accuracy: float | None = None
    accuracy_std: float | None = None
    nfr: float | None = None
    nfr_std: float | None = None
    accuracy_change: float | None = None
    accuracy_change_low: float | None = None
    accuracy_change_high: float | None = None
    nfr_ratio: float | None = None
    nfr_ratio_low: float | None = None
    nfr_ratio_high: float | None = None
    cost: float | None = None

    @property
    def is_untreated(self) -> bool:
        """True for the update that the others are compared with."""
        return self.method == UNTREATED

    @property
    def keeps_accuracy(self) -> bool:
        """True where mean accuracy falls by 0.2 points at most.

        The interval plays no part: that of few seeds is wide, and would excuse any loss.
        """
        return self.is_untreated or (self.accuracy_change is not None and self.accuracy_change >= -MAX_LOSS)


HEADER = tuple(field.name for field in fields(UpdateEvidence))
_NUMBERS = HEADER[HEADER.index("accuracy") :]


def read_evidence(path: str | Path | None = None) -> list[UpdateEvidence]:
    """Read the decision table.

    Args:
        path: A CSV file with the header of the packaged one. None reads the packaged one.

    Returns:
        The rows in the order of the file. The list is empty where no evidence is packaged.

    Raises:
        PctError: The file is not there, or a line of it is none of a decision table.

    Example:
        >>> from pct_mlops import read_evidence
        >>> all(row.seeds > 0 for row in read_evidence())
        True
    """
    source = "the packaged decision table" if path is None else str(path)
    try:
        place = resources.files(__package__).joinpath("evidence.csv") if path is None else Path(path)
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source} cannot be read ({error}): give a decision table as CSV in UTF-8.") from error
    lines = csv.DictReader(io.StringIO(text))
    if tuple(lines.fieldnames or ()) != HEADER:
        raise ConfigError(f"{source} is no decision table: its first line should be {','.join(HEADER)}.")
    return [_row(line, f"{source}, line {lines.line_num}") for line in lines]


def _row(line: Mapping[str, str | None], where: str) -> UpdateEvidence:
    if None in line or None in line.values():
        raise ConfigError(f"{where} should have {len(HEADER)} cells: correct it.")
    cells = {key: (text or "").strip() for key, text in line.items()}
    if cells["change"] not in CHANGES:
        raise ConfigError(f"{where} names the change '{cells['change']}': write one of {', '.join(CHANGES)}.")
    if not cells["data_set"] or not cells["method"]:
        raise ConfigError(f"{where} names no data set or no method: correct it.")
    try:
        seeds, words = int(cells["seeds"]), tuple(shlex.split(cells["words"]))
        numbers = {key: _number(cells[key]) for key in _NUMBERS}
    except ValueError as error:
        raise ConfigError(f"{where} holds what is no number or no list of words ({error}): correct it.") from error
    if seeds < 1 or any("=" not in word for word in words):
        raise ConfigError(f"{where} should have one seed or more, and words as key=value: correct it.")
    return UpdateEvidence(cells["change"], cells["data_set"], cells["method"], words, seeds, **numbers)


def _number(text: str) -> float | None:
    value = float(text) if text else None
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return value
