"""Implements pct rollback, pct history and pct verify.

They show which version is in production and how it came there, and undo a promotion.
"""

from __future__ import annotations

import click

from pct_mlops.cli.options import empty_is_none, tracking_uri
from pct_mlops.cli.streams import show
from pct_mlops.config.numbers import number_of, percent
from pct_mlops.errors import ConfigError


@click.command()
@click.argument("name")
@click.option("--reason", required=True, metavar="TEXT", help="Reason, kept in the history.")
@tracking_uri
def rollback(name: str, reason: str, tracking_uri: str | None) -> None:
    """Put the previous production version of NAME back.

    \b
    Example:
      pct rollback fashion-mnist --reason "night images regressed"
    """
    from pct_mlops.registry import Registry
    from pct_mlops.registry import rollback as run

    move = run(Registry(tracking_uri), name, reason)
    click.echo(f"Rolled back: {name}/{move.to_version} is production again (it was {name}/{move.from_version}).")


@click.command()
@click.argument("name")
@click.option("--versions", is_flag=True, help="Show the registered versions instead: alias, loss, accuracy, date.")
@tracking_uri
def history(name: str, versions: bool, tracking_uri: str | None) -> None:
    """Show every move of production of the model NAME.

    Each line holds from, to, verdict, who, when and why. No line is ever removed. With --versions, each line is a
    registered version, the newest first.

    \b
    Examples:
      pct history fashion-mnist
      pct history fashion-mnist --versions
    """
    if versions:
        _show_versions(name, tracking_uri)
        return
    from rich.table import Table
    from rich.text import Text

    from pct_mlops.registry import Registry
    from pct_mlops.registry import history as read
    from pct_mlops.reports.terminal import clean

    moves = read(Registry(tracking_uri), name)
    if not moves:
        first = f"pct gate {name}@candidate --policy FILE --promote"
        click.echo(f"Production of {name} has never moved: '{first}' makes the first.")
        return
    table = Table("when (UTC)", "from", "to", "verdict", "who", "reason", box=None, pad_edge=False, header_style="dim")
    for move in moves:
        start, end = (str(version) if version else "-" for version in (move.from_version, move.to_version))
        when = move.when[:19].replace("T", " ")
        verdict = f"{move.verdict} (override)" if move.override else move.verdict
        table.add_row(*(Text(clean(cell)) for cell in (when, start, end, verdict, move.who, move.reason)))
    show(table)


def _show_versions(name: str, tracking_uri: str | None) -> None:
    """Show the registered versions of a model, with what their tags say of them."""
    from datetime import datetime, timezone

    from rich.table import Table
    from rich.text import Text

    from pct_mlops.registry import Registry
    from pct_mlops.reports.terminal import clean

    found = Registry(tracking_uri).versions(name)
    if not found:
        click.echo(f"{name} has no versions: 'pct train RECIPE --model-name {name}' makes one.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("version", "aliases", "loss", "val", "test", "made (UTC)"):
        table.add_column(title, justify="right" if title in ("version", "val", "test") else "left", overflow="fold")
    for version in found:
        made = datetime.fromtimestamp(version.created / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M")
        loss = version.tags.get("pct.loss") or "-"
        accuracies = (_accuracy(version.tags.get(f"pct.{split}/accuracy")) for split in ("val", "test"))
        cells = (str(version.version), ", ".join(version.aliases) or "-", loss, *accuracies, made)
        table.add_row(*(Text(clean(cell)) for cell in cells))
    show(table)
    click.echo("val and test: accuracy when the version was registered.")


def _accuracy(text: str | None) -> str:
    """Return an accuracy of a tag as percent, "-" where there is none."""
    try:
        return percent(float(text)) if text else "-"
    except ValueError:
        return "-"


@click.command()
@click.argument("name")
@click.option("--repair", is_flag=True, help="Complete a move that was cut off, or undo it.")
@click.option("--adopt", is_flag=True, help="Accept a move of production past the gate; needs --reason.")
@click.option("--reason", callback=empty_is_none, metavar="TEXT", help="Why it is adopted, kept in the history.")
@tracking_uri
def verify(name: str, repair: bool, adopt: bool, reason: str | None, tracking_uri: str | None) -> None:
    """Check that production of NAME went through the gate.

    The evidence of its moves is read again and compared with what was judged: tables, weights and served models.

    Exit code 0: production is where its last recorded move put it, and the evidence is what was judged. Exit code 1:
    somebody moved it past the gate, a move was cut off, or evidence was changed. Nothing else can be promoted until a
    move is settled. Deleted evidence is listed.

    \b
    Examples:
      pct verify fashion-mnist
      pct verify fashion-mnist --repair
      pct verify fashion-mnist --adopt --reason "moved by hand while CI was down"
    """
    from pct_mlops import registry as production
    from pct_mlops.reports.terminal import clean

    if adopt != (reason is not None) or (adopt and repair):
        raise ConfigError("--adopt and --reason TEXT belong together, and --repair stands alone.")
    registry = production.Registry(tracking_uri)
    if adopt:
        production.adopt(registry, name, reason or "")
        click.echo(f"Adopted: moves of production of {name} go on from here.")
    found = production.repair(registry, name) if repair else production.verify(registry, name)
    click.echo(found.sentence)
    evidence = production.verify_evidence(registry, name)
    for line in (*evidence.faults, *evidence.notes):
        click.echo(clean(line))
    if evidence.compared and not evidence.faults:
        tables = number_of(evidence.compared, "table")
        click.echo(f"The evidence is what was recorded ({tables} compared, weights and served models included).")
    click.get_current_context().exit(0 if found.is_right and not evidence.faults else 1)
