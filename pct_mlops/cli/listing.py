"""pct list: what there is, one line each."""

from __future__ import annotations

import click


@click.command("list")
@click.argument("kind", type=click.Choice(["losses", "models", "datasets", "metrics"]))
def list_names(kind: str) -> None:
    """Show what can be named in a recipe or policy.

    \b
    Example:
      pct list losses
    """
    from pct_mlops.workflows.listing import list_names

    found = list_names(kind)
    width = max(len(name) for name in found)
    for name, summary in found.items():
        click.echo(f"{name:{width}}  {summary}".rstrip())
