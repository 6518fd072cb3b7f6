"""Options that several verbs share."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import click

from pct_mlops.config import PctError


def empty_is_none(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """MLflow Projects hand over '' for what was not given."""
    return value or None


def split_overrides(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Each --set may hold several key=value words, as a project parameter does."""
    try:
        return [word for value in values for word in shlex.split(value)]
    except ValueError as error:
        raise PctError(f"--set {' '.join(values)} has an open quote ({error}): close it.") from error


def tracking_uri(command: Callable[..., Any]) -> Callable[..., Any]:
    """--tracking-uri."""
    return click.option(
        "--tracking-uri",
        callback=empty_is_none,
        metavar="URI",
        help="Registry to use instead of MLFLOW_TRACKING_URI.",
    )(command)


def overrides(command: Callable[..., Any]) -> Callable[..., Any]:
    """--set key=value, repeatable."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        callback=split_overrides,
        metavar="KEY=VALUE",
        help="Change one value of the recipe, for example --set optim.lr=0.05; repeatable.",
    )(command)
