"""Implements pct list: the names that a recipe or policy may use, one a line."""

from __future__ import annotations

import click


@click.command("list")
@click.argument("kind", type=click.Choice(["losses", "models", "datasets", "metrics", "distances", "focuses"]))
def list_names(kind: str) -> None:
    """Show the names that a recipe or policy may use.

    Parts from entry points of installed distributions come last. Each line names the distribution, and says why a part
    is broken.

    \b
    Example:
      pct list losses
    """
    from pct_mlops.workflows.listing import list_names

    found = list_names(kind)
    width = max(len(name) for name, _ in found)
    for name, summary in found:
        click.echo(f"{name:{width}}  {summary}".rstrip())
