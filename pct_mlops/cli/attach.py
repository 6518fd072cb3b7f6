"""Implements pct attach, which stores predictions of any program with a version."""

from __future__ import annotations

import click

from pct_mlops.cli.options import empty_is_none, reading_options, tracking_uri


@click.command()
@click.argument("model")
@click.argument("file")
@reading_options("What the predictions are about.  [default: test]")
@click.option(
    "--thumbnails", callback=empty_is_none, metavar="FILE", help="Pictures to show (Parquet: sample_id, png)."
)
@click.option("--texts", callback=empty_is_none, metavar="FILE", help="Texts or rows to show, with a column of ids.")
@click.option("--replace", is_flag=True, help="Replace a table that is there; the former one is kept.")
@tracking_uri
def attach(
    *,
    model: str,
    file: str,
    split: str | None,
    columns: str | None,
    classes: str | None,
    thumbnails: str | None,
    texts: str | None,
    replace: bool,
    tracking_uri: str | None,
) -> None:
    """Store your own predictions with the version MODEL.

    MODEL is a registered version of any flavour, FILE a predictions file of any format that 'pct compare' reads. The
    table becomes a part of the version, and the gate, the explorer and all other verbs read it there. Nothing of the
    model itself is loaded or changed.

    \b
    Examples:
      pct attach shoes/3 predictions.csv
      pct attach shoes/3 scores.npz --classes boot,sandal,sneaker
      pct attach shoes@candidate val.parquet --split val
      pct attach shoes/3 new.parquet --replace
      pct attach reviews/7 predictions.parquet --texts texts.csv
    """
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.reports.terminal import clean
    from pct_mlops.workflows.tables.attach import attach as run

    options = ReadOptions.parse(columns, classes, split)
    done = run(
        model,
        file,
        options.split,
        columns=dict(options.columns),
        class_names=options.classes,
        thumbnails=thumbnails,
        texts=texts,
        replace=replace,
        tracking_uri=tracking_uri,
    )
    info = done.table.info
    lines = [
        f"{done.model} carries {done.path}: {info.num_examples:,} examples of {len(info.class_names):,} classes, "
        f"accuracy {done.table.accuracy():.2%}, digest {info.digest[:12]}.",
        *done.notes,
        *([f"Next: {done.next_step}"] if done.next_step else []),
    ]
    for line in lines:
        click.echo(clean(line))
