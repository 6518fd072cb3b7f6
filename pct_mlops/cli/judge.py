"""pct gate, pct rollback, pct history: decisions about production."""

from __future__ import annotations

from pathlib import Path

import click

from pct_mlops.cli.options import empty_is_none, tracking_uri
from pct_mlops.config import PctError, Policy

DEFAULT_POLICY = "policy.yaml"


@click.command()
@click.argument("candidate")
@click.option("--baseline", callback=empty_is_none, metavar="REF", help="Judge against this, not against production.")
@click.option("--policy", default=DEFAULT_POLICY, show_default=True, metavar="FILE", help="The rules.")
@click.option("--promote", is_flag=True, help="Move the production alias on PASS or BOOTSTRAP, and only then.")
@click.option("--reason", default="", metavar="TEXT", help="Kept in the history of production.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the report here too.")
@tracking_uri
def gate(
    *,
    candidate: str,
    baseline: str | None,
    policy: str,
    promote: bool,
    reason: str,
    json_file: Path | None,
    tracking_uri: str | None,
) -> None:
    """Decide whether CANDIDATE may replace production.

    Exit code 0: yes (PASS, or BOOTSTRAP where nothing is in production), 1: no, 2: error, 3: inconclusive.

    \b
    Examples:
      pct gate fashion-mnist@candidate --policy projects/fashion_mnist/policy.yaml
      pct gate fashion-mnist/4 --policy policy.yaml --promote --json report.json
      pct gate new.parquet --baseline old.parquet --policy policy.yaml
    """
    from rich.console import Console

    from pct_mlops.pipeline.compare import write_json
    from pct_mlops.pipeline.judge import judge
    from pct_mlops.reports import render_decision

    judged = judge(
        candidate,
        _read_policy(policy),
        baseline=baseline,
        promote=promote,
        reason=reason,
        tracking_uri=tracking_uri,
    )
    Console().print(render_decision(judged.decision, judged.comparison))
    if judged.floor is not None:
        click.echo(f"For comparison: {judged.floor.sentence}.")
    if judged.move is not None:
        click.echo(f"Promoted: {judged.candidate} is production now.")
    elif promote:
        click.echo("Not promoted: production stays as it is.")
    if json_file is not None:
        write_json(json_file, judged.report)
    click.get_current_context().exit(judged.decision.exit_code)


@click.command()
@click.argument("name")
@click.option("--reason", required=True, metavar="TEXT", help="Kept in the history.")
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
@tracking_uri
def history(name: str, tracking_uri: str | None) -> None:
    """Show every move of production of the model NAME.

    From, to, verdict, who, when and why; nothing is ever removed.

    \b
    Example:
      pct history fashion-mnist
    """
    from rich.console import Console
    from rich.table import Table

    from pct_mlops.registry import Registry
    from pct_mlops.registry import history as read

    moves = read(Registry(tracking_uri), name)
    if not moves:
        first = f"pct gate {name}@candidate --policy FILE --promote"
        click.echo(f"Production of {name} has never moved: '{first}' makes the first.")
        return
    table = Table("when (UTC)", "from", "to", "verdict", "who", "reason", box=None, pad_edge=False, header_style="dim")
    for move in moves:
        start = str(move.from_version) if move.from_version else "-"
        when = move.when[:19].replace("T", " ")
        table.add_row(when, start, str(move.to_version), move.verdict, move.who, move.reason)
    Console().print(table)


@click.command()
@click.argument("name")
@tracking_uri
def verify(name: str, tracking_uri: str | None) -> None:
    """Check that production of NAME went through the gate.

    Exit code 0: the last recorded move (PASS, BOOTSTRAP or a rollback) is what production points at; 1: somebody or
    something moved it otherwise.

    \b
    Example:
      pct verify fashion-mnist
    """
    from pct_mlops.registry import Registry
    from pct_mlops.registry import verify as run

    problem = run(Registry(tracking_uri), name)
    click.echo(problem or f"Production of {name} is where its last recorded move put it.")
    click.get_current_context().exit(1 if problem else 0)


def _read_policy(path: str) -> Policy:
    if path == DEFAULT_POLICY and not Path(path).exists():
        raise PctError(
            "There is no policy.yaml in this folder: give one with --policy, for example "
            "--policy projects/fashion_mnist/policy.yaml."
        )
    return Policy.read(path)
