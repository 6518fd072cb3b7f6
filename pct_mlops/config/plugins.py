"""Parts that others bring: found by entry point or written module:callable, imported when used and not before.

A distribution offers a part under a name of its own through an entry point of one of the groups
`pct_mlops.distances`, `pct_mlops.focuses`, `pct_mlops.datasets` and `pct_mlops.architectures`. A recipe may also name
code directly, as `my_pkg.losses:MyDistance`. Either way the code must be importable in the user's own environment:
nothing of the current folder or of a recipe's folder is put on the path.

What is trusted: an installed entry point, because someone installed it, and code that the user's own recipe or command
line names. A recipe or an architecture record that came out of a registry is data. Code that it alone names is refused,
and never imported.
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
    """A part that is not built in. `target` is module:callable, `distribution` its name and version, empty: unknown.

    `problem` is why it can never be used, whatever its code does; empty when nothing is known against it.
    """

    kind: str
    name: str
    target: str
    distribution: str = ""
    problem: str = ""

    @property
    def origin(self) -> str:
        """What to log of it: where its code is and which version that is."""
        version = self.distribution or _distribution_of(self.target)
        return f"{self.target} ({version})" if version else self.target

    def load(self) -> Callable[..., Any]:
        """Import it; PctError, one sentence, for whatever goes wrong while its code runs."""
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
            raise ConfigError(f"{self} is no callable but of type {type(found).__name__}: {self.mend}.")
        return found

    def failed(self, error: BaseException) -> PctError:
        """What is said when its code raises something while it is used."""
        return ConfigError(f"{self} failed ({_brief(error)}): {self.mend}; --debug shows where.")

    def gave(self, made: object, wanted: str) -> PctError:
        """What is said when its callable returns something else than its contract asks for."""
        return ConfigError(
            f"{self} gave an object of type {type(made).__name__} and should give {wanted}: {self.mend}."
        )

    @property
    def mend(self) -> str:
        """What the user can do about it."""
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
        """The subject of a sentence about it."""
        where = f" of {self.distribution} ({self.target})" if self.distribution else ""
        return f"The {self.kind} '{self.name}'{where}"


def is_code(name: str) -> bool:
    """Whether a name is meant as module:callable; no built-in name and no entry point has a colon."""
    return ":" in name


def installed(group: str, kind: str, built_in: Iterable[str] = ()) -> list[Plugin]:
    """The entry points of a group, by name; nothing is imported.

    Those that can never be used carry the reason: a name that is built in, has a colon, or is offered twice.
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
    """(name, target, distribution) of each; `path` is part of the key because it decides what is installed."""
    from importlib.metadata import entry_points

    found = set()
    for point in entry_points(group=group):
        who = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown distribution"
        found.add((point.name, point.value.partition("[")[0].strip().replace(" ", ""), who))
    return tuple(sorted(found))


def _distribution_of(target: str) -> str:
    """Name and version of the distribution that brings a module; empty where none says so, as on PYTHONPATH alone."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    for name in packages_distributions().get(target.partition(":")[0].partition(".")[0], ()):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return ""


def code_in(data: object) -> Iterator[str]:
    """Every module:callable that a recipe, or a part of one, names as plain data."""
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
    """PctError for code that `source`, which came from elsewhere, names and that is not in `named`, the user's words.

    `how` says in what way the user can name it.
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
