"""Makes the errors for a model that a registry does not have, and for a reply that is none of MLflow's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pct_mlops.config.catalog import closest_first
from pct_mlops.config.commands import train_command
from pct_mlops.errors import ConfigError, PctError, RegistryError, RegistryNotFoundError
from pct_mlops.registry.causes import StoreAddress, without_secrets
from pct_mlops.registry.model_version import Version

REFERENCE = re.compile(r"^(?:models:/)?(?P<name>[^/@:]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]{1,9}))\Z")

MAX_SHOWN = 5  # versions or models in one sentence


def unknown_model(name: str, models: Sequence[str], store: StoreAddress) -> PctError:
    """Make the error for a model that is not among `models`, which are those of the store. The closest are named."""
    reference = REFERENCE.match(name)
    if reference:
        return ConfigError(f"'{name}' names a version, and a model is asked for: write {reference['name']}.")
    has = ", ".join(closest_first(name, list(models))[:MAX_SHOWN]) or "none yet"
    return RegistryNotFoundError(
        f"The registry {without_secrets(store.uri)} has no model '{name}' (it has {has}): "
        f"correct the name, or train it with {train_command()}."
    )


def no_version(name: str, number: int, versions: Sequence[Version], store: StoreAddress) -> RegistryNotFoundError:
    """Make the error for a version that is not among `versions`, which are those of the store, the newest first."""
    shown = ", ".join(f"{name}/{version.version}" for version in versions[:MAX_SHOWN]) or "none"
    more = len(versions) - MAX_SHOWN
    return RegistryNotFoundError(
        f"{name} has no version {number} in {without_secrets(store.uri)} (it has {shown}"
        f"{f' and {more:,} more' if more > 0 else ''}): name one of these; 'pct history {name} --versions' lists them."
    )


def foreign_reply(asked: str, store: StoreAddress) -> RegistryError:
    """Make the error for a reply that has not what was asked for."""
    text = store.text
    return RegistryError(
        f"{text[0].upper()}{text[1:]} was asked for {asked} and sent something else: "
        f"set {store.variable} to an MLflow server."
    )
