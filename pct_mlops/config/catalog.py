"""Maps names that a user types to the parts that they build."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from pct_mlops.config.plugins import Plugin, installed, is_code
from pct_mlops.errors import ConfigError, PctError

T = TypeVar("T")


def closest_first(name: str, known: list[str]) -> list[str]:
    """Return the known names. Those most like `name` come first, and the rest follow in alphabetical order."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return near + sorted(set(known) - set(near))


def unknown(kind: str, name: str, known: list[str]) -> ConfigError:
    """Build the error for a name that does not exist. It lists the names that do, the closest first."""
    names = closest_first(name, known)
    shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    return ConfigError(f"Unknown {kind} '{name}': choose one of {shown}.")


def one_sentence(error: ValidationError) -> str:
    """Return a pydantic error as one line. Problems are written 'where: what' and joined by semicolons."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "value"
        parts.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(parts)


class Catalog(Generic[T]):
    """A family of named factories, for example the distances or the data sets.

    `build({"name": "ldi", "margin": 0.5})` calls the factory with the remaining keys as keyword arguments. Unknown
    names, and unknown or invalid parameters, raise ConfigError and list what exists.

    With `group`, installed entry points of that group and `module:callable` are factories too (plugins.py). They are
    imported when they are asked for, and cannot take a built-in name. `produces` is the type that they must return.
    `reserved` gives further built-in names, of factories that are kept elsewhere.
    """

    def __init__(
        self,
        kind: str,
        *,
        group: str = "",
        produces: type[Any] | tuple[type[Any], ...] = object,
        reserved: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.kind, self.group = kind, group
        self._produces, self._reserved = produces, reserved
        self._factories: dict[str, Callable[..., T]] = {}
        self._loaded: dict[Plugin, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that adds a factory under `name`.

        `pct list` shows the first line of the factory's docstring.
        """

        def add(factory: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._factories:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._factories[name] = factory
            return factory

        return add

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._factories, *(plugin.name for plugin in self.installed() if not plugin.problem)}))

    def __contains__(self, name: object) -> bool:
        return name in self._factories or any(plugin.name == name and not plugin.problem for plugin in self.installed())

    def __getitem__(self, name: str) -> Callable[..., T]:
        if name in self._factories:
            return self._factories[name]
        plugin = self.plugin(name)
        if plugin is None:
            raise unknown(self.kind, name, [*self])
        # Kept only for `name_of`: Python caches the import itself.
        self._loaded[plugin] = plugin.load()
        return self._loaded[plugin]

    def installed(self) -> list[Plugin]:
        """Return the parts that installed distributions offer, unusable ones included. Import nothing."""
        return installed(self.group, self.kind, {*self._factories, *self._reserved()}) if self.group else []

    def plugin(self, name: str) -> Plugin | None:
        """Return the part of that name that is not built in: an entry point, or module:callable.

        Return None if the name is built in or unknown.
        """
        if name in self._factories or not self.group:
            return None
        if is_code(name):
            return Plugin(self.kind, name, name)
        if name in self._reserved():
            return None
        return next((plugin for plugin in self.installed() if plugin.name == name), None)

    def name_of(self, part: object) -> str:
        """Return the name by which a user asks for this part's class, without importing anything.

        A class of no known name gives its own.
        """
        known = {**self._factories, **{plugin.name: factory for plugin, factory in self._loaded.items()}}
        return next((name for name, factory in known.items() if factory is type(part)), type(part).__name__)

    def summary(self, name: str) -> str:
        """Return the first line of the factory's docstring."""
        return (inspect.getdoc(self[name]) or "").split("\n", 1)[0]

    def lines(self) -> list[tuple[str, str]]:
        """Return (name, summary) of all factories for `pct list`, the built-in ones first."""
        found = [(name, self.summary(name)) for name in sorted(self._factories)]
        return found + self.plugin_lines()

    def plugin_lines(self) -> list[tuple[str, str]]:
        """Return (name, summary) of the parts that installed distributions offer.

        The summary names the distribution. For a broken part it gives the error.
        """
        found = []
        for plugin in self.installed():
            try:
                if plugin.problem:
                    raise ConfigError(plugin.problem)
                text = f"{self.summary(plugin.name)} ({plugin.distribution})".lstrip()
            except PctError as error:
                text = f"broken: {error}"
            found.append((plugin.name, text))
        return found

    def build(self, spec: Mapping[str, Any]) -> T:
        """Build what `spec` names. Every other key is a parameter of the factory."""
        params = dict(spec)
        name = params.pop("name", None)
        if not isinstance(name, str):
            raise ConfigError(f"A {self.kind} needs a 'name': choose one of {', '.join(self)}.")
        accepted = _parameters(self[name])
        if accepted is not None:
            for key in params:
                if key not in accepted:
                    raise unknown(f"parameter of {self.kind} {name}", key, list(accepted) or ["none"])
        return self.call(name, **params)

    def call(self, name: str, *args: Any, **params: Any) -> T:
        """Call the factory of that name.

        Raises:
            ConfigError: The name is unknown, a parameter is invalid, or a factory that is not built in failed or
                returned an object of another type.
        """
        factory, plugin = self[name], self.plugin(name)
        try:
            made = factory(*args, **params)
        except ValidationError as error:
            raise ConfigError(f"Invalid {self.kind} {name}: {one_sentence(error)}.") from error
        except Exception as error:
            if plugin is None or isinstance(error, PctError):
                raise
            raise plugin.failed(error) from error
        if plugin is not None and not isinstance(made, self._produces):
            kinds = self._produces if isinstance(self._produces, tuple) else (self._produces,)
            raise plugin.gave(made, " or ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds))
        return made


def _parameters(factory: Callable[..., Any]) -> list[str] | None:
    """Return the names of a factory's parameters. None means that it takes any, or does not say."""
    try:
        accepted = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return None
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values())
    return None if takes_any else list(accepted)
