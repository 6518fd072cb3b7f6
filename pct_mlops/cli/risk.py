"""Implements pct risk, which estimates before any candidate exists which examples are at risk of a negative flip."""

from __future__ import annotations

from pathlib import Path

import click

from pct_mlops.cli.options import empty_is_none, reading_options, tracking_uri
from pct_mlops.cli.streams import show
from pct_mlops.errors import ConfigError


@click.command()
@click.argument("model")
@click.option(
    "--members",
    multiple=True,
    metavar="FILE",
    help="Predictions of a retraining of the same recipe, a file or a version; repeatable, at least 2.  [default: the "
    "retrainings of 'pct floor']",
)
@click.option(
    "--by",
    type=click.Choice(["members", "margin"]),
    help="Score that gives the risk.  [default: members where there are any]",
)
@click.option(
    "--against",
    callback=empty_is_none,
    metavar="NEW",
    help="A candidate: also say how well the risk ranks its negative flips.",
)
@click.option("--output", callback=empty_is_none, metavar="FILE", help="Write every example here: .parquet or .csv.")
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@reading_options()
@tracking_uri
def risk(
    *,
    model: str,
    members: tuple[str, ...],
    by: str | None,
    against: str | None,
    output: str | None,
    split: str,
    columns: str | None,
    classes: str | None,
    tracking_uri: str | None,
) -> None:
    """Show which examples are likely to flip.

    Needs no candidate. The risk of an example is the share of retrainings of the model's own recipe that are wrong
    although MODEL is right. 'pct floor' measures them once. Without retrainings, the margin of MODEL's own
    probabilities orders the examples. An example that MODEL gets wrong cannot flip: its risk is 0.

    OUTPUT holds sample_id, label, prediction, confidence, margin, risk and num_members, the highest risk first.

    \b
    Examples:
      pct risk fashion-mnist@production --output risk.csv
      pct risk fashion-mnist@production --by margin
      pct risk old.parquet --members seed1.parquet --members seed2.parquet
      pct risk fashion-mnist@production --against fashion-mnist@candidate
    """
    if output is not None and Path(output).suffix.lower() not in (".parquet", ".csv"):
        raise ConfigError(f"--output {output} names no format: end it with .parquet or .csv.")
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.reports import render_risk
    from pct_mlops.workflows.runtime.atomic_files import keep_off
    from pct_mlops.workflows.tables.measure_risk import measure_risk

    target = Path(output) if output else None
    keep_off([target], [model, *members, against])
    found = measure_risk(
        model,
        members=members,
        by=by,
        against=against,
        split=split,
        tracking_uri=tracking_uri,
        reading=ReadOptions.parse(columns, classes, split),
    )
    if target is not None:
        found.risk.save(target)
    show(
        render_risk(
            found.risk,
            notes=found.notes,
            rankings=found.rankings,
            against=found.against,
        )
    )
    if target is not None:
        click.echo(f"Every example: {target}")
