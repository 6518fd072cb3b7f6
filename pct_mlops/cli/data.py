"""Implements pct data: reports on the image files that a recipe names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pct_mlops.cli.options import overrides
from pct_mlops.cli.streams import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pct_mlops.config import DataConfig
    from pct_mlops.data.file_report import FileFinding

SHOWN = 3  # files that are named of each finding, without --all


@click.group()
def data() -> None:
    """Check the image files of a recipe.

    \b
    Example:
      pct data check digits.yaml
    """


@data.command()
@click.argument("recipe")
@click.option("--strict", is_flag=True, help="Exit with 1 if there is a warning.")
@click.option("--all", "every", is_flag=True, help="Name all files, and not the first of each line.")
@overrides
def check(recipe: str, *, strict: bool, every: bool, overrides: list[str]) -> None:
    """List what is suspicious about the image files of RECIPE.

    Counts files by split and extension, and names those that are left out (with the reason), hidden, linked, rotated,
    of more than 8 bits, transparent or unreadable. It finds files of equal bytes in a split, and in train and test,
    where they make the test too easy. Headers are read, and all bytes of files of equal size.

    Exit codes: 0 nothing is in the way, 1 there is a warning (with --strict), 2 a file cannot be read, or an error.

    \b
    Examples:
      pct data check digits.yaml
      pct data check digits.yaml --all --strict
      pct data check digits.yaml --set data.root=/data/digits
    """
    from pct_mlops.config import Recipe

    found = _found(Recipe.read(recipe, overrides).data)
    _show(found, every)
    levels = {item.level for item in found}
    click.get_current_context().exit(2 if "error" in levels else 1 if strict and "warning" in levels else 0)


def _found(config: DataConfig) -> list[FileFinding]:
    """Check the files behind a bar, which is shown on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from pct_mlops.data.file_report import check_files

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        return check_files(
            config,
            begin=lambda title, total: bar.add_task(title, total=total),
            advance=lambda number: bar.advance(bar.task_ids[-1], number),
        )


def _show(found: Sequence[FileFinding], every: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from pct_mlops.reports.terminal import clean

    table = Table("", "files", "number", "which", box=None, pad_edge=False, header_style="dim")
    for item in found:
        shown = item.items if every or item.name == "by extension" else item.items[:SHOWN]
        more = f" and {len(item.items) - len(shown):,} more" if len(shown) < len(item.items) else ""
        cells = (item.level, item.name, f"{len(item.items):,}", ", ".join(shown) + more)
        table.add_row(*(Text(clean(cell)) for cell in cells))
    show(table)
