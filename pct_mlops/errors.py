"""Defines a tree of errors that a person can mend, each with a code by which programs tell them apart.

This is the lowest layer. It imports nothing of the package.
"""

from __future__ import annotations

import errno
import re
from typing import ClassVar

# What libraries say of a full disk: Rust's and SQLite's texts, and torch's for a file that it could not write whole.
_FULL = re.compile("No space left on device|database or disk is full|PytorchStreamWriter failed writing")


class PctError(Exception):
    """Something that a user can mend. The message is one sentence that says what to do.

    The command line prints it on stderr and exits with code 2. Any other exception is a bug. It exits with code 2 as
    well, and `--debug` shows its traceback.

    Attributes:
        code: Names the class in reports and logs, dotted by ancestry. It stays the same from version to version. A
            class without a code of its own carries that of its parent.

    Example:
        >>> from pct_mlops.errors import PctError, TableError
        >>> try:
        ...     raise TableError("new.parquet is empty: write the table again.")
        ... except PctError as error:
        ...     print(error.code)
        table
    """

    code: ClassVar[str] = "error"

    def reworded(self, text: str) -> PctError:
        """Make an error of the same class with another text.

        Args:
            text: The sentence, usually with this error's own in it.

        Returns:
            The new error. Raise it `from` this one.
        """
        return error_of(self.code, text)


class ConfigError(PctError):
    """A recipe, a policy, a file that it lists, an option, a word of the command line or an argument does not fit."""

    code = "config"


class DataError(PctError):
    """Examples, images, weights or a checkpoint are missing, damaged, or do not fit the model."""

    code = "data"


class TableError(PctError):
    """A prediction table or `.result` file is missing, damaged, or lacks what is asked of it."""

    code = "table"


class NotComparableError(TableError):
    """Two tables are about different examples, labels or classes, so that no flip can be counted."""

    code = "table.not_comparable"


class RegistryError(PctError):
    """The model registry refused, or holds what cannot be read."""

    code = "registry"


class RegistryUnavailableError(RegistryError):
    """No registry replies at the tracking URI. Trying again later, or at another URI, may help."""

    code = "registry.unavailable"


class RegistryForbiddenError(RegistryError):
    """The registry does not let this user do it."""

    code = "registry.forbidden"


class RegistryNotFoundError(RegistryError):
    """The registry has no such model, version or alias, or the version does not carry what is asked of it."""

    code = "registry.not_found"


class PromotionError(PctError):
    """Production cannot move: it has moved meanwhile, its record is open, its lock is held, or a reason is missing."""

    code = "promotion"


class TrainingError(PctError):
    """A training could not go on, for example because its loss was not finite."""

    code = "training"


class OutputError(PctError):
    """A file or stream cannot be written."""

    code = "output"


_BY_CODE: dict[str, type[PctError]] = {
    kind.code: kind
    for kind in (
        PctError,
        ConfigError,
        DataError,
        TableError,
        NotComparableError,
        RegistryError,
        RegistryUnavailableError,
        RegistryForbiddenError,
        RegistryNotFoundError,
        PromotionError,
        TrainingError,
        OutputError,
    )
}


def error_of(code: str, text: str) -> PctError:
    """Make the error that has this code, for example on a process that did not meet it.

    Args:
        code: A class's `code`. For a code that this version does not know, the nearest ancestor is taken.
        text: The sentence.

    Returns:
        An error of that class.
    """
    while code not in _BY_CODE and "." in code:
        code = code.rpartition(".")[0]
    return _BY_CODE.get(code, PctError)(text)


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error, or one that it was made from, says that a disk or a quota is full."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:  # an error may be its own cause
        seen.add(id(link))
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if _FULL.search(str(link)) and "shared memory" not in str(link):
            return True
        link = link.__cause__ or link.__context__
    return False


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's text without its full stop, or its class where it has no text.

    Errors of other libraries are long and end in many ways. Their first line fits into a sentence of ours.
    """
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__
