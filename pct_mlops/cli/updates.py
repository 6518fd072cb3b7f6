"""Implements pct interpolate, pct update-predictions and pct import.

They update a model or its labels without training, and read tables of the original code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pct_mlops.cli.options import empty_is_none, overrides, reading_options, tracking_uri
from pct_mlops.cli.streams import show
from pct_mlops.errors import ConfigError

if TYPE_CHECKING:
    from pct_mlops.workflows.tables.interpolate import Interpolation


def _file(name: str, text: str) -> Callable[..., Any]:
    """Return an option that takes a path. An empty text counts as not given."""
    return click.option(name, callback=empty_is_none, metavar="FILE", help=text)


def _grid(context: click.Context, parameter: click.Parameter, value: str | None) -> list[float] | None:
    if not value:
        return None
    try:
        return [float(word) for word in value.split(",")]
    except ValueError:
        raise ConfigError(f"--grid '{value}' is not a list of numbers: write for example --grid 0,0.25,0.5.") from None


@click.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--steps",
    type=click.IntRange(2, 1001),
    default=11,
    show_default=True,
    help="Number of even shares of OLD, from 0 to 1.",
)
@click.option("--grid", callback=_grid, metavar="LIST", help="Use these shares of OLD instead, for example 0,0.1,0.25.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=0.002,
    show_default=True,
    help="Accuracy on val that a mix may lose against NEW.",
)
@click.option(
    "--batches",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Number of training batches to estimate BatchNorm statistics on.",
)
@click.option("--register", is_flag=True, help="Register the chosen mix as a version, with the alias candidate.")
@_file("--plot", "Write the curve here as a web page.")
@_file("--json", "Also write the numbers here.")
@overrides
@tracking_uri
def interpolate(
    *,
    old: str,
    new: str,
    steps: int,
    grid: list[float] | None,
    tolerance: float,
    batches: int,
    register: bool,
    plot: str | None,
    json: str | None,
    overrides: list[str],
    tracking_uri: str | None,
) -> None:
    """Mix two versions' weights: fewer flips, no training.

    NEW should be fine-tuned from OLD. Each mix is judged on val. Among those whose accuracy stays within the tolerance,
    the one with the lowest NFR is chosen and reported on test.

    \b
    Examples:
      pct interpolate fashion-mnist@production fashion-mnist@candidate --plot curve.html
      pct interpolate fashion-mnist/1 fashion-mnist/2 --grid 0.1,0.2,0.3 --register
      torchrun --nproc_per_node 2 -m pct_mlops interpolate fashion-mnist/1 fashion-mnist/2
    """
    from pct_mlops.workflows.runtime.atomic_files import keep_off
    from pct_mlops.workflows.tables.interpolate import interpolate as run
    from pct_mlops.workflows.tables.interpolate import register as make_version

    files = [Path(name) if name else None for name in (json, plot)]
    keep_off(files, [old, new])
    result = run(
        old,
        new,
        shares=[i / (steps - 1) for i in range(steps)] if grid is None else grid,
        tolerance=tolerance,
        batchnorm_batches=batches,
        overrides=overrides,
        tracking_uri=tracking_uri,
    )
    if result is None:
        return
    _show_interpolation(result, tolerance)
    if json:
        _write_interpolation(result, tolerance, Path(json))
    if plot:
        _plot(result, tolerance, Path(plot))
    if register:
        version = make_version(result)
        click.echo(f"Registered {version.uri} ({result.chosen.share:.4g} of {result.old}) as {version.name}@candidate.")


@click.command("update-predictions")
@click.argument("stored")
@click.argument("new")
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The table to write (.parquet)."
)
@click.option("--strategy", type=click.Choice(["mb", "mbme", "cr"]), default="mb", show_default=True)
@click.option(
    "--cost-ratio",
    callback=empty_is_none,
    metavar="X",
    help="With cr: change a label only if the other one is X times as likely.  [default: 2]",
)
@click.option(
    "--smoothing",
    type=float,
    help="Added to every cell of the confusion matrices.  [default: 1 / number of classes]",
)
@_file("--stored-val", "Val predictions of the model that made the stored labels.  [default: the version's own]")
@_file("--new-val", "Val predictions of the new model.  [default: the version's own]")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@_file("--json", "Also write the metrics here.")
@reading_options()
@tracking_uri
def update_predictions(
    *,
    stored: str,
    new: str,
    output: Path,
    strategy: str,
    cost_ratio: str | None,
    smoothing: float | None,
    stored_val: str | None,
    new_val: str | None,
    split: str,
    json: str | None,
    columns: str | None,
    classes: str | None,
    tracking_uri: str | None,
) -> None:
    """Update STORED labels by NEW where that helps.

    Both models' confusion matrices on val say how likely each label is. The likeliest one replaces the stored
    label: always (mb), only if it is then more certain (mbme), or only if it is clearly likelier (cr).

    \b
    Examples:
      pct update-predictions fashion-mnist/1 fashion-mnist/2 --output updated.parquet
      pct update-predictions a.parquet b.parquet --stored-val a-val.parquet --new-val b-val.parquet \\
        --strategy cr --cost-ratio 5 --output updated.parquet
    """
    from pct_mlops.predictions import ReadOptions, UpdateRule, default_smoothing
    from pct_mlops.reports import prediction_update_to_json, render_against
    from pct_mlops.workflows.runtime.atomic_files import keep_off, write_json
    from pct_mlops.workflows.tables.update_predictions import update_predictions as run

    keep_off([output, Path(json) if json else None], [stored, new, stored_val, new_val])
    rule = UpdateRule(strategy, _ratio(strategy, cost_ratio))
    result = run(
        stored,
        new,
        output,
        stored_val=stored_val,
        new_val=new_val,
        rule=rule,
        smoothing=smoothing,
        split=split,
        tracking_uri=tracking_uri,
        reading=ReadOptions.parse(columns, classes),
    )
    if json:
        ratio = rule.cost_ratio if strategy == "cr" else None
        smoothing = default_smoothing(len(result.table.info.class_names)) if smoothing is None else smoothing
        content = prediction_update_to_json(
            result.replaced, result.updated, strategy=strategy, cost_ratio=ratio, smoothing=smoothing
        )
        write_json(Path(json), content)
    rows = [("new, everywhere", result.replaced), (f"updated ({rule})", result.updated)]
    show(render_against(rows, baseline="stored"))
    click.echo(f"{result.table.info.num_examples:,} predictions: {output}")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@_file("--ids", "sample_ids of a .result file, one a line.  [default: SPLIT/000000, ...]")
@reading_options("What the predictions are on.  [default: test]")
@click.option("--model-name", callback=empty_is_none, metavar="NAME", help="[default: the file's name]")
@click.option("--dataset", default="", metavar="NAME", help="Data set, kept in the table.")
def import_result(
    *,
    file: Path,
    output: Path,
    ids: str | None,
    columns: str | None,
    classes: str | None,
    split: str | None,
    model_name: str | None,
    dataset: str,
) -> None:
    """Turn a FILE of predictions into a table.

    FILE comes from any program (.parquet, .csv, .tsv, .jsonl, .npz, a folder of parts), or is a .result file of the
    original code. A file that would run code is refused. The other verbs read all of these directly.

    \b
    Examples:
      pct import predictions.csv new.parquet --columns id=name,label=gold,prediction=said
      pct import probabilities.npz new.parquet --classes cat,dog,owl
      pct import model_best.result old.parquet --classes classes.txt --split val
    """
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.workflows.runtime.atomic_files import keep_off
    from pct_mlops.workflows.tables.import_predictions import import_predictions as run

    keep_off([output], [file, classes, ids])
    options = ReadOptions.parse(columns, classes, split)
    table = run(file, options, ids=Path(ids) if ids else None, model_name=model_name, dataset=dataset).save(output)
    classes_of = f"{table.info.num_examples:,} predictions of {len(table.info.class_names)} classes"
    click.echo(f"{classes_of}, accuracy {table.accuracy():.2%}: {output}")


def _ratio(strategy: str, text: str | None) -> float:
    if text is None:
        return 2.0 if strategy == "cr" else 1.0
    if strategy != "cr":
        raise ConfigError(
            f"--cost-ratio goes with --strategy cr, and the strategy is {strategy}: leave it out, or choose cr."
        )
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--cost-ratio should be a number, for example 2, and it is '{text}'.") from None


def _show_interpolation(result: Interpolation, tolerance: float) -> None:
    from pct_mlops.reports import render_against, render_curve

    show(render_curve(result.curve, result.chosen, old=result.old, new=result.new, tolerance=tolerance))
    rows = [("new", result.replaced), (f"chosen ({result.chosen.share:.4g} old)", result.mixed)]
    click.echo()
    show(render_against(rows, baseline="old"))


def _write_interpolation(result: Interpolation, tolerance: float, path: Path) -> None:
    from pct_mlops.reports import interpolation_to_json
    from pct_mlops.workflows.runtime.atomic_files import write_json

    test = {"new": result.replaced, "chosen": result.mixed}
    write_json(
        path,
        interpolation_to_json(
            result.curve, result.chosen, old=result.old, new=result.new, tolerance=tolerance, test=test
        ),
    )


def _plot(result: Interpolation, tolerance: float, path: Path) -> None:
    from pct_mlops.charts import interpolation_curve, page
    from pct_mlops.workflows.runtime.atomic_files import write_text

    figure = interpolation_curve(result.curve, result.chosen, tolerance=tolerance)
    write_text(path, page(figure, f"{result.new} mixed with {result.old}: accuracy and NFR on val"))
