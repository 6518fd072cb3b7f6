"""Names that a user types, and what they build."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from pct_mlops.errors import ConfigError

T = TypeVar("T")


def closest_first(name: str, known: list[str]) -> list[str]:
    """Known names, the ones most like `name` first, the rest in alphabetical order."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return near + sorted(set(known) - set(near))


def unknown(kind: str, name: str, known: list[str]) -> ConfigError:
    """The error for a name that does not exist: says which do, the closest first."""
    names = closest_first(name, known)
    shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    return ConfigError(f"Unknown {kind} '{name}': choose one of {shown}.")


def one_sentence(error: ValidationError) -> str:
    """A pydantic error as one line: 'where: what; where: what'."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "value"
        parts.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(parts)


class Catalog(Generic[T]):
    """A family of named factories, for example the distances or the data sets.

    `build({"name": "ldi", "margin": 0.5})` calls the factory with the remaining keys as keyword arguments.
    Unknown names and unknown or invalid parameters raise PctError and say what exists.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._factories: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: the factory is known as `name`; its docstring's first line is what `pct list` shows."""

        def add(factory: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._factories:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._factories[name] = factory
            return factory

        return add

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._factories))

    def __contains__(self, name: object) -> bool:
        return name in self._factories

    def __getitem__(self, name: str) -> Callable[..., T]:
        if name not in self._factories:
            raise unknown(self.kind, name, list(self._factories))
        return self._factories[name]

    def summary(self, name: str) -> str:
        """First line of the factory's docstring."""
        return (inspect.getdoc(self[name]) or "").split("\n", 1)[0]

    def build(self, spec: Mapping[str, Any]) -> T:
        """Build what `spec` names; every other key is a parameter of the factory."""
        params = dict(spec)
        name = params.pop("name", None)
        if not isinstance(name, str):
            raise ConfigError(f"A {self.kind} needs a 'name': choose one of {', '.join(self)}.")
        factory = self[name]
        accepted = inspect.signature(factory).parameters
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
            for key in params:
                if key not in accepted:
                    raise unknown(f"parameter of {self.kind} {name}", key, list(accepted) or ["none"])
        try:
            return factory(**params)
        except ValidationError as error:
            raise ConfigError(f"Invalid {self.kind} {name}: {one_sentence(error)}.") from error
