"""Options of a person about a file of predictions: its columns, its class names and its split."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pct_mlops.config import unknown
from pct_mlops.config.texts import read_text
from pct_mlops.errors import ConfigError

# What a column can hold, and the names under which it is looked for; upper and lower case are alike.
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "sample_id": ("sample_id", "id", "example_id"),
    "label": ("label", "target", "y_true", "true_label"),
    "prediction": ("prediction", "pred", "y_pred", "predicted"),
    "confidence": ("confidence", "score"),
    "label_confidence": ("label_confidence",),
    "probabilities": ("probabilities",),
    "logits": ("logits",),
}
# Names of arrays of all examples. They are looked for where a table could not be read otherwise.
PLURAL_NAMES: dict[str, tuple[str, ...]] = {
    "sample_id": ("sample_ids", "ids", "example_ids"),
    "label": ("labels", "targets", "true_labels"),
    "prediction": ("predictions", "preds"),
}
# One column a class, named by the class: prob_cat, prob_dog.
PREFIXES = {"probabilities": "prob_", "logits": "logit_"}
MAX_CLASSES = 100_000
_MAX_BYTES = 64 * 1024**2
_EXAMPLE = "--columns label=gold,prediction=said"


@dataclass(frozen=True)
class ReadOptions:
    """Options for files of predictions that another program wrote. Tables of this package need none.

    Attributes:
        columns: (meaning, column) pairs. Several columns for one meaning serve files that spell it differently.
        classes: class names in the order of the class numbers. None takes them from the file.
        split: which part of the data set the examples are.
        are_shared: the options are about several files. One of them may lack a column that is named here. Then its
            usual name is looked for.
    """

    columns: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] | None = None
    split: str = "test"
    are_shared: bool = False

    @classmethod
    def make(
        cls,
        columns: Mapping[str, str] | None = None,
        class_names: Sequence[str] | None = None,
        split: str = "test",
    ) -> ReadOptions:
        """Build options from the arguments of a Python call. Raise PctError for an unknown word or repeated class."""
        pairs = tuple((_meaning(key), value) for key, value in (columns or {}).items())
        classes = None if class_names is None else checked_names([str(name) for name in class_names], "class_names")
        return cls(pairs, classes, split)

    @classmethod
    def parse(cls, columns: str | None = None, classes: str | None = None, split: str | None = None) -> ReadOptions:
        """Build options from the words of a command line. PctError says what to write instead."""
        return cls(parse_columns(columns), parse_classes(classes), split or "test")


def parse_columns(text: str | None) -> tuple[tuple[str, str], ...]:
    """Read "label=gold,prediction=said" as pairs. None and "" hold no pair."""
    pairs = []
    for word in text.split(",") if text else []:
        meaning, equals, column = (part.strip() for part in word.partition("="))
        if not (meaning and equals and column):
            raise ConfigError(f"--columns '{text}' is no list of pairs: write for example {_EXAMPLE}.")
        pairs.append((_meaning(meaning), column))
    return tuple(pairs)


def parse_classes(text: str | None) -> tuple[str, ...] | None:
    """Read class names from "cat,dog,owl" or from a file with one name a line. Return None for None and ""."""
    if not text:
        return None
    if os.path.exists(text):
        wanted = "a file of class names, one a line"
        return checked_names(read_text(Path(text), wanted=wanted, max_bytes=_MAX_BYTES).splitlines(), text)
    if "," not in text:
        raise ConfigError(
            f"There is no file {text}: give --classes a file of names, one a line, or a list like cat,dog."
        )
    return checked_names([name.strip() for name in text.split(",")], "--classes")


def checked_names(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Return the names as they are. Raise PctError for no name, an empty one, a repeated one or too many."""
    found = tuple(names)
    if not found or not all(found):
        raise ConfigError(f"{where} holds no class name, or an empty one: give each class a name.")
    if len(found) > MAX_CLASSES:
        raise ConfigError(f"{where} holds {len(found):,} names, and at most {MAX_CLASSES:,} classes can be compared.")
    if len(set(found)) < len(found):
        repeated = next(name for index, name in enumerate(found) if name in found[:index])
        raise ConfigError(f"{where} names a class twice ('{repeated}'): give each its own name.")
    return found


def _meaning(word: str) -> str:
    """Return what a column can hold, under its first name. Raise PctError for an unknown word."""
    for meaning, names in USUAL_NAMES.items():
        if word in names:
            return meaning
    raise unknown("meaning of a column", word, list(USUAL_NAMES))
