"""Finds parts that are not built in, and imports them only when they are used.

A distribution offers a part under its own name through an entry point of one of the groups `pct_mlops.distances`,
`pct_mlops.focuses`, `pct_mlops.datasets` and `pct_mlops.architectures`. A recipe may also name code directly, as
`my_pkg.losses:MyDistance`. Either way the code must be importable in the user's own environment: the current folder and
the recipe's folder are never put on the path.

Two sources are trusted: an installed entry point, because someone installed it, and code that the user's own recipe or
command line names. A recipe or an architecture record from a registry is data. Code that only such a file names is
refused and never imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pct_mlops.errors import ConfigError, PctError

CODE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
# The keys of a recipe whose values name parts.
KEYS = {"name", "arch", "loss"}


@dataclass(frozen=True)
class Plugin:
    """A part that is not built in.

    Attributes:
        kind: The kind of part in words, for errors: "distance".
        name: The name by which a recipe asks for it.
        target: Its code, as module:callable.
        distribution: Name and version of the distribution that offers it. Empty if unknown.
        problem: The reason why it can never be used, whatever its code does. Empty if none is known.
    """

    kind: str
    name: str
    target: str
    distribution: str = ""
    problem: str = ""

    @property
    def origin(self) -> str:
        """Its code, and the version of the distribution that holds it, as one text for the log."""
        version = self.distribution or _distribution_of(self.target)
        return f"{self.target} ({version})" if version else self.target

    def load(self) -> Callable[..., Any]:
        """Import the code and return the callable. Raise ConfigError, in one sentence, if anything fails."""
        if self.problem:
            raise ConfigError(self.problem)
        if not CODE.fullmatch(self.target):
            raise ConfigError(f"{self} is not written module:callable, for example my_pkg.losses:MyLoss: {self.mend}.")
        import importlib

        module_name, _, path = self.target.partition(":")
        try:
            found: Any = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:
            raise ConfigError(self._not_imported(module_name, error)) from error
        for part in path.split("."):
            if not hasattr(found, part):
                raise ConfigError(f"{self} does not exist, because {module_name} has no {path}: {self.mend}.")
            found = getattr(found, part)
        if not callable(found):
            raise ConfigError(f"{self} is not callable (its type is {type(found).__name__}): {self.mend}.")
        return found

    def failed(self, error: BaseException) -> PctError:
        """Return the error for an exception that its code raised during use."""
        return ConfigError(f"{self} failed ({_brief(error)}): {self.mend}; --debug shows where.")

    def gave(self, made: object, wanted: str) -> PctError:
        """Return the error for a callable that returned an object of another type than `wanted`."""
        return ConfigError(
            f"{self} gave an object of type {type(made).__name__} and should give {wanted}: {self.mend}."
        )

    @property
    def mend(self) -> str:
        """Advice for the user, as the end of an error."""
        if self.distribution:
            return f"update or uninstall {self.distribution}"
        return "correct the name in the recipe or the code that it names"

    def _not_imported(self, module: str, error: BaseException) -> str:
        missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
        if self.distribution or not f"{module}.".startswith(f"{missing}.") or not missing:
            return f"{self} cannot be imported ({_brief(error)}): {self.mend}."
        return (
            f"{self} cannot be imported (there is no module {missing}): install its package into this environment "
            "(pip install -e FOLDER) or set PYTHONPATH, because nothing of the current folder is imported by itself."
        )

    def __str__(self) -> str:
        """Return the subject of a sentence about this part."""
        where = f" of {self.distribution} ({self.target})" if self.distribution else ""
        return f"The {self.kind} '{self.name}'{where}"


def is_code(name: str) -> bool:
    """Tell whether a name means module:callable. Built-in names and entry points have no colon."""
    return ":" in name


def installed(group: str, kind: str, built_in: Iterable[str] = ()) -> list[Plugin]:
    """Return the entry points of a group in order of their names, without importing any.

    A part that can never be used carries the reason as its `problem`: its name is built in, has a colon, or is offered
    by several distributions.
    """
    import sys

    taken = set(built_in)
    found = _entry_points(group, tuple(sys.path))
    return [Plugin(kind, name, target, who, _problem(kind, name, who, taken, found)) for name, target, who in found]


def _problem(kind: str, name: str, who: str, taken: set[str], found: Iterable[tuple[str, str, str]]) -> str:
    if name in taken:
        return f"'{name}' is a built-in {kind}, which {who} cannot override: rename its entry point."
    if is_code(name):
        return f"'{name}', an entry point of {who}, has a colon, which a recipe reads as code: rename it."
    offered = sorted({other for same, _, other in found if same == name})
    if len(offered) > 1:
        return f"The {kind} '{name}' is offered by {' and '.join(offered)}: uninstall all but one of them."
    return ""


@lru_cache(maxsize=32)
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
    """Return (name, target, distribution) of each. `path` belongs to the cache key: it decides what is installed."""
    from importlib.metadata import entry_points

    found = set()
    for point in entry_points(group=group):
        who = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown distribution"
        found.add((point.name, point.value.partition("[")[0].strip().replace(" ", ""), who))
    return tuple(sorted(found))


def _distribution_of(target: str) -> str:
    """Return name and version of the distribution that holds a module.

    The text is empty if no distribution lists the module, for example if it is only on PYTHONPATH.
    """
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    for name in packages_distributions().get(target.partition(":")[0].partition(".")[0], ()):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return ""


def code_in(data: object) -> Iterator[str]:
    """Yield every module:callable that a recipe, or a part of one, names as plain data."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key in KEYS and isinstance(value, str) and is_code(value):
                yield value
            else:
                yield from code_in(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from code_in(value)


def refuse_code(names: Iterable[str], named: Collection[str], source: str, how: str) -> None:
    """Raise ConfigError for code that only a stored file names.

    Args:
        names: The code that the file names.
        named: The code that the user named, which is trusted.
        source: The file, as the subject of the error.
        how: How the user can name the code, as the end of the error.
    """
    for name in names:
        if name not in named:
            raise ConfigError(
                f"{source} names the code '{name}', and nothing is imported because a stored file says so: if you "
                f"trust it, install it as an entry point or {how}."
            )


def _brief(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
