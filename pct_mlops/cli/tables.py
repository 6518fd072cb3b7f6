"""Implements pct compare and pct ensemble, which read prediction tables."""

from __future__ import annotations

from pathlib import Path

import click

from pct_mlops.cli.options import ReportFile, reading_options, tracking_uri
from pct_mlops.cli.streams import keep_stdout_free, show
from pct_mlops.errors import ConfigError


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@click.option("--json", "json_file", type=ReportFile(), metavar="FILE", help="Also write metrics here; - is stdout.")
@reading_options()
@tracking_uri
def compare(
    *,
    old: str,
    new: str,
    split: str,
    json_file: Path | None,
    columns: str | None,
    classes: str | None,
    tracking_uri: str | None,
) -> None:
    """Show what changes when NEW replaces OLD.

    The table holds accuracy, flips and every other metric with its bounds. A file may come from any program: .parquet,
    .csv, .tsv, .jsonl, .npz or a folder of parts. Its columns are id, label and prediction, or the probabilities of
    every class. In a file that lacks a column of --columns, the usual name is looked for.

    Classes are compared by name. Where only one side knows a class, shared and new ones are told apart. A model is
    wrong on labels that it does not know.

    \b
    Examples:
      pct compare fashion-mnist@production fashion-mnist@candidate
      pct compare old.parquet new.parquet --json metrics.json
      pct compare old.parquet new.parquet --json - | jq .metrics.nfr
      pct compare old.csv new.jsonl --columns label=gold,prediction=said
    """
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.reports import comparison_to_json, render_metrics
    from pct_mlops.workflows.runtime.atomic_files import is_stdout, keep_off, write_json
    from pct_mlops.workflows.tables.compare_sources import compare_sources

    keep_off([json_file], [old, new])
    if json_file is not None and is_stdout(json_file):
        keep_stdout_free()
    options = ReadOptions.parse(columns, classes, split)
    comparison = compare_sources(old, new, split=split, tracking_uri=tracking_uri, reading=options)
    if json_file is not None:
        write_json(json_file, comparison_to_json(comparison))
    show(render_metrics(comparison), err=json_file is not None and is_stdout(json_file))


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True)
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@reading_options()
@tracking_uri
def ensemble(
    *,
    output: Path,
    inputs: tuple[str, ...],
    split: str,
    columns: str | None,
    classes: str | None,
    tracking_uri: str | None,
) -> None:
    """Average the logits of INPUTS, and write the table OUTPUT, a .parquet file.

    \b
    Examples:
      pct ensemble mean.parquet old.parquet new.parquet
      pct ensemble mean.parquet fashion-mnist/1 fashion-mnist/2
      pct ensemble mean.parquet forest.csv boosting.npz --classes classes.txt
    """
    if output.suffix != ".parquet":
        raise ConfigError(
            f"OUTPUT comes first and is a .parquet file, and {output} is not: name it, for example, mean.parquet."
        )
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.workflows.runtime.atomic_files import keep_off
    from pct_mlops.workflows.tables.compare_sources import mean_of

    keep_off([output], inputs)
    options = ReadOptions.parse(columns, classes, split)
    table = mean_of(inputs, split=split, tracking_uri=tracking_uri, reading=options).save(output)
    click.echo(f"Mean of {len(inputs)} models: accuracy {table.accuracy():.2%}, written to {output}")
