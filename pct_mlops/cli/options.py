"""Defines options that several verbs share."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from pct_mlops.errors import ConfigError
from pct_mlops.workflows.runtime.distributed import inside_launcher, relaunch

MAX_DIGITS = 9  # of a number of processes; Python refuses to read a number of thousands of digits


def empty_is_none(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return None for an empty text, because MLflow Projects pass '' for what was not given."""
    return value or None


def positive_number(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Read a number above zero. Return None for an empty text."""
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigError(f"{parameter.opts[0]} should be a number above zero, and it is '{value}'.")
    return number


class ReportFile(click.Path):
    """The type of an option that names a file for a report. `-` is standard output."""

    name = "file"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the path, without opening it."""
        return super().convert("/dev/stdout" if value == "-" else value, parameter, context)


def split_overrides(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Split the values of --set into key=value words.

    One --set may hold several words, as a project parameter does. A value such as {a: 1, b: 2} stays one word.
    """
    try:
        words = [word for value in values for word in shlex.split(value)]
    except ValueError as error:
        raise ConfigError(f"--set {' '.join(values)} has an open quote ({error}): close it.") from error
    whole: list[str] = []
    for word in words:
        if whole and _is_open(whole[-1]):
            whole[-1] += f" {word}"
        else:
            whole.append(word)
    return whole


def _is_open(word: str) -> bool:
    """Tell whether a brace or bracket is still open."""
    return sum(word.count(mark) for mark in "{[") > sum(word.count(mark) for mark in "}]")


def tracking_uri(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option --tracking-uri to a command."""
    return click.option(
        "--tracking-uri",
        callback=empty_is_none,
        metavar="URI",
        help="Registry to use instead of MLFLOW_TRACKING_URI.",
    )(command)


def reading_options(split: str = "") -> Callable[..., Any]:
    """Add --columns and --classes, about files that another program wrote. A text in `split` adds --split with it."""

    def added(command: Callable[..., Any]) -> Callable[..., Any]:
        if split:
            command = click.option("--split", callback=empty_is_none, metavar="NAME", help=split)(command)
        command = click.option(
            "--classes",
            callback=empty_is_none,
            metavar="NAMES",
            help="Class names by class number: a list as cat,dog, or a file with one a line.  [default: the file's]",
        )(command)
        return click.option(
            "--columns",
            callback=empty_is_none,
            metavar="PAIRS",
            help="What the file calls its columns, for example label=gold,prediction=said.  [default: usual names]",
        )(command)

    return added


def overrides(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the repeatable option --set key=value to a command."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        callback=split_overrides,
        metavar="KEY=VALUE",
        help="Change one value of the recipe, for example --set optim.lr=0.05; repeatable.",
    )(command)


def positive(text: str | None, name: str) -> int:
    """Return the text of option `name` as a whole number of at least 1. Return 1 if there is no text."""
    if text is None:
        return 1
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS or int(text) < 1:
        raise ConfigError(f"{name} should be a whole number from 1 up, and it is '{text}'.")
    return int(text)


def in_processes(context: click.Context, num_processes: str | None) -> None:
    """Run this same command in several processes and end with their exit code, if several are asked for.

    Do nothing for one process, or where a launcher has already started this process as one of several.
    """
    processes = positive(num_processes, "--num-processes")
    if processes > 1 and not inside_launcher():
        context.exit(relaunch(without_processes(context.obj), processes))


def without_processes(words: Sequence[str]) -> list[str]:
    """Return the command line without --num-processes, as each of the processes runs it."""
    kept, skip = [], False
    for word in words:
        if skip or word == "--num-processes":
            skip = not skip and word == "--num-processes"
        elif not word.startswith("--num-processes="):
            kept.append(word)
    return kept
