"""Implements pct compare and pct ensemble, which read prediction tables or the versions that carry them."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from pct_mlops.cli.options import ReportFile, overrides, reading_options, tracking_uri
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

    After 'pct floor' on the version OLD, a line tells how many negative flips are noise: retraining makes them too.

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
    from pct_mlops.workflows.tables.compare_sources import compare_sources, noise_beside

    keep_off([json_file], [old, new])
    if json_file is not None and is_stdout(json_file):
        keep_stdout_free()
    options = ReadOptions.parse(columns, classes, split)
    comparison = compare_sources(old, new, split=split, tracking_uri=tracking_uri, reading=options)
    noise, lines = noise_beside(old, comparison, tracking_uri)
    if json_file is not None:
        write_json(
            json_file, comparison_to_json(comparison, context={"flip_noise": noise.to_json()} if noise else None)
        )
    err = json_file is not None and is_stdout(json_file)
    show(render_metrics(comparison), err=err)
    for line in lines:
        click.echo(line, err=err)


def _numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> list[float] | None:
    if not value:
        return None
    try:
        return [float(word) for word in value.split(",")]
    except ValueError:
        raise ConfigError(f"--weights '{value}' is not a list of numbers: write for example --weights 2,1.") from None


@click.command()
@click.argument("output")
@click.argument("inputs", nargs=-1, required=True)
@click.option("--register", is_flag=True, help="Register the mean of versions as a version, with the alias candidate.")
@click.option(
    "--weights", callback=_numbers, metavar="LIST", help="With --register: weights of the versions, for example 2,1."
)
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@reading_options()
@overrides
@tracking_uri
def ensemble(
    *,
    output: str,
    inputs: tuple[str, ...],
    register: bool,
    weights: list[float] | None,
    split: str,
    columns: str | None,
    classes: str | None,
    overrides: list[str],
    tracking_uri: str | None,
) -> None:
    """Average the logits of INPUTS into one table.

    OUTPUT is the table, a .parquet file. With --register, OUTPUT and INPUTS are versions of one classifier. Their mean
    becomes a version of the first one's model, with one exported graph. Every prediction runs all members, and what
    that costs is printed.

    \b
    Examples:
      pct ensemble mean.parquet old.parquet fashion-mnist/2
      pct ensemble mean.parquet forest.csv boosting.npz --classes classes.txt
      pct ensemble --register fashion-mnist@production fashion-mnist@candidate
      pct ensemble --register --weights 2,1 fashion-mnist/1 fashion-mnist/2
    """
    if register:
        _refuse_given("--columns, --classes and --split go with tables, and --register", "split", "columns", "classes")
        _register((output, *inputs), weights, overrides, tracking_uri)
        return
    if Path(output).suffix != ".parquet":
        raise ConfigError(
            f"OUTPUT comes first and is a .parquet file, and {output} is not: name it, for example, mean.parquet."
        )
    _refuse_given("--weights and --set go with --register, and a table", "weights", "overrides")
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.workflows.runtime.atomic_files import keep_off
    from pct_mlops.workflows.tables.compare_sources import mean_of

    keep_off([Path(output)], inputs)
    options = ReadOptions.parse(columns, classes, split)
    table = mean_of(inputs, split=split, tracking_uri=tracking_uri, reading=options).save(output)
    click.echo(f"Mean of {len(inputs)} models: accuracy {table.accuracy():.2%}, written to {output}")


def _refuse_given(what: str, *names: str) -> None:
    """Raise ConfigError when the user gave one of these options of the command that runs now."""
    given = click.get_current_context().get_parameter_source
    if any(given(name) is ParameterSource.COMMANDLINE for name in names):
        raise ConfigError(f"{what} takes none of them: leave them out.")


def _register(
    references: tuple[str, ...], weights: list[float] | None, overrides: list[str], tracking_uri: str | None
) -> None:
    from pct_mlops.reports import render_cost
    from pct_mlops.reports.terminal import clean
    from pct_mlops.workflows.tables.measure_cost import how_measured
    from pct_mlops.workflows.tables.register_ensemble import register_ensemble

    done = register_ensemble(references, weights=weights, overrides=overrides, tracking_uri=tracking_uri)
    if done is None:
        return
    name = done.version.name
    members = " and ".join(f"{share:.1%} {source}" for source, share in done.members)
    click.echo(clean(f"Registered {done.version.uri} (the mean of {members}) as {name}@candidate."))
    accuracies = ", ".join(f"{split} {value:.2%}" for split, value in done.accuracy.items())
    click.echo(f"Accuracy: {accuracies}.\n")
    *costs, mean = done.costs
    show(render_cost(costs, mean, shares=done.shares, reference=done.reference, how=how_measured()))
    click.echo(clean(f"Next: pct gate {name}@candidate --policy policy.yaml"))
