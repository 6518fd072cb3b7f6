"""Class names as a person gives them: a list, or a file with one name a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator

from pct_mlops.config.texts import read_text
from pct_mlops.errors import ConfigError

MAX_BYTES = 16 * 1024**2


def _texts(value: Any) -> Any:
    """Turn the items of a list into texts: a YAML file may hold classes called 0, 1 and 2."""
    return tuple(str(item) for item in value) if isinstance(value, list) else value


ClassNames = Annotated[tuple[str, ...], BeforeValidator(_texts)]
GivenClasses = Annotated[tuple[str, ...] | Path, BeforeValidator(_texts)]


def is_none(value: Any) -> bool:
    """Tell whether a key has no value. It is left out of a recipe then, so that older recipes keep their digest."""
    return value is None


class FileClasses(NamedTuple):
    """The classes of a file of weights in the order of its outputs, as a person gives them, and where they give them.

    `given` is None where the person says nothing. `key` is what errors call it: "teacher.classes" or "--classes".
    """

    given: tuple[str, ...] | Path | None
    key: str

    def names(self) -> tuple[str, ...] | None:
        """Return the names, read from their file if need be. Return None where nothing is given.

        Raise ConfigError unless these are two or more different names.
        """
        if self.given is None:
            return None
        names, where = self.given, f"{self.key} lists"
        if isinstance(names, Path):
            text = read_text(names, wanted="a file of class names, one a line", max_bytes=MAX_BYTES)
            names, where = tuple(line.strip() for line in text.splitlines() if line.strip()), f"{self.given} lists"
        if len(names) < 2 or not all(names):
            raise ConfigError(f"{where} {len(names)} class names, or an empty one: list two or more.")
        if len(set(names)) < len(names):
            twice = next(name for place, name in enumerate(names) if name in names[:place])
            raise ConfigError(f"{where} the class '{twice}' twice: give each class its own name.")
        return names


def class_list(text: str | None) -> tuple[str, ...] | Path | None:
    """Read the text of an option: "cat,dog,owl", or the path of a file. Return None for None and ""."""
    if not text:
        return None
    if "," not in text or os.path.exists(text):
        return Path(text)
    return tuple(name.strip() for name in text.split(","))
