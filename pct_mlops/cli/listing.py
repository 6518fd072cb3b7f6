"""pct list: what there is, one line each."""

from __future__ import annotations

import click


@click.command("list")
@click.argument("kind", type=click.Choice(["losses", "models", "datasets", "metrics", "distances", "focuses"]))
def list_names(kind: str) -> None:
    """Show what can be named in a recipe or policy.

    Parts that installed distributions bring by entry points come last,
    each with the distribution that brings it; one that is broken says why.

    \b
    Example:
      pct list losses
    """
    from pct_mlops.workflows.listing import list_names

    found = list_names(kind)
    width = max(len(name) for name, _ in found)
    for name, summary in found:
        click.echo(f"{name:{width}}  {summary}".rstrip())
