"""Implements pct sweep, pct tune and pct floor, which train many times to measure one thing."""

from __future__ import annotations

from pathlib import Path

import click

from pct_mlops.cli.options import empty_is_none, in_processes, overrides, positive_number, split_overrides, tracking_uri
from pct_mlops.cli.streams import show
from pct_mlops.cli.training import DEFAULT_RECIPE
from pct_mlops.config import Recipe


@click.command()
@click.argument("recipe", default=DEFAULT_RECIPE, metavar="[RECIPE]")
@click.option(
    "--losses",
    callback=empty_is_none,
    metavar="NAMES",
    help="Presets separated by commas, or all; see 'pct list losses'.",
)
@click.option(
    "--methods",
    callback=empty_is_none,
    metavar="FILE",
    help="YAML file of 'NAME: [KEY=VALUE, ...]': a row of the table for each, with these values set.",
)
@click.option("--seeds", default="3", show_default=True, metavar="N", help="Number of trainings of each method.")
@click.option("--warm-start/--cold-start", help="Also train each loss from production's weights. Default: cold only.")
@click.option(
    "--controls/--no-controls",
    default=True,
    help="Also train focal losses without focus at the same total weight, and with shuffled focus. Default: yes.",
)
@click.option(
    "--minutes",
    callback=positive_number,
    metavar="N",
    help="Begin no training that would end later, after the first one. The same command continues.",
)
@click.option("--output", callback=empty_is_none, metavar="DIR", help="Also write the tables here.")
@click.option("--num-processes", callback=empty_is_none, metavar="N", help="Processes on this machine (one a GPU).")
@overrides
@tracking_uri
def sweep(
    *,
    recipe: str,
    losses: str | None,
    methods: str | None,
    seeds: str,
    minutes: float | None,
    warm_start: bool,
    controls: bool,
    output: str | None,
    num_processes: str | None,
    overrides: list[str],
    tracking_uri: str | None,
) -> None:
    """Compare losses against production over several seeds.

    Every training becomes a run below one parent run. The parent holds a picture and the tables: mean and standard
    deviation of accuracy, NFR and PFR on test, and each method against the first one. Seeds change initial weights and
    order, never the data split.

    No version is registered and nothing is tuned. Each preset keeps its own numbers, and the recipe's apply only to the
    recipe's own loss. In --methods you choose them yourself, and 'NAME: {mean_of: OTHER}' measures two models deployed:
    production and OTHER.

    The same command continues a sweep that was stopped. Exit code 2: a training failed, and the others are in the
    table. 3: the time of --minutes was up before all were trained.

    \b
    Examples:
      pct sweep --losses none,kl,cna --seeds 3
      pct sweep my/recipe.yaml --losses none,ldi --seeds 5 --warm-start --no-controls --output results
      torchrun --nproc_per_node 8 -m pct_mlops sweep my/recipe.yaml --losses none,cna
      pct sweep my/recipe.yaml --methods methods.yaml --seeds 5 --minutes 9
      mlflow run . -e sweep -P losses=none,kl -P seeds=3 -P start=warm-start -P controls=no-controls
    """
    from pct_mlops.workflows.studies.methods_file import read_methods

    read = Recipe.read(recipe, overrides)
    named = read_methods(methods, recipe, overrides) if methods else []
    in_processes(click.get_current_context(), num_processes)
    from pct_mlops.workflows.studies.sweep import sweep as run

    found = run(
        read,
        losses,
        named=named,
        seeds=seeds,
        minutes=minutes,
        warm_start=warm_start,
        controls=controls,
        output=Path(output) if output else None,
        tracking_uri=tracking_uri,
        show=show,
    )
    if found is not None and found.num_left:
        click.get_current_context().exit(3)


@click.command()
@click.argument("recipe", default=DEFAULT_RECIPE, metavar="[RECIPE]")
@click.option(
    "--try",
    "grids",
    multiple=True,
    callback=split_overrides,
    metavar="KEY=A,B",
    help="Values to try for one key of the recipe; repeatable, all combinations are trained.",
)
@click.option(
    "--max-accuracy-loss",
    callback=empty_is_none,
    metavar="POINTS",
    help="Choose the fewest flips at this loss against an untreated update.  [default: 0.1]",
)
@click.option(
    "--nfr-target",
    callback=empty_is_none,
    metavar="RATE",
    help="Choose the best accuracy at this NFR: 0.015, 1.5%, or -50% of the untreated update's.",
)
@click.option("--seeds", default="1", show_default=True, metavar="N", help="Number of trainings of each setting.")
@click.option(
    "--output", callback=empty_is_none, metavar="DIR", help="Also write tables, picture and chosen.yaml here."
)
@click.option("--num-processes", callback=empty_is_none, metavar="N", help="Processes on this machine (one a GPU).")
@overrides
@tracking_uri
def tune(
    *,
    recipe: str,
    grids: list[str],
    max_accuracy_loss: str | None,
    nfr_target: str | None,
    seeds: str,
    output: str | None,
    num_processes: str | None,
    overrides: list[str],
    tracking_uri: str | None,
) -> None:
    """Try settings on val and choose one by a wish.

    An untreated update is trained beside them. Everything is measured on val against production, and test stays unread
    for the gate. The table, a picture of accuracy against NFR, and the chosen recipe are kept with one parent run.

    No version is registered. The same command continues a tuning that was stopped. 'pct train chosen.yaml' trains what
    was chosen. Exit code 1: no setting meets the wish. 2: a training failed.

    \b
    Examples:
      pct tune my/recipe.yaml --set objective.loss=update --try objective.mix=0.05,0.15,0.3,0.5 --output tuning
      pct tune my/recipe.yaml --set objective.loss=update --try objective.mix=0.15,0.3 \\
        --try objective.distance.temperature=1,2,4 --try model.init=production,random --nfr-target -50%
    """
    from pct_mlops.workflows.studies.grid import read_wish

    wish = read_wish(max_accuracy_loss, nfr_target)
    in_processes(click.get_current_context(), num_processes)
    from pct_mlops.workflows.studies.tune import tune as run

    found = run(
        recipe,
        grids,
        overrides=overrides,
        wish=wish,
        seeds=seeds,
        output=Path(output) if output else None,
        tracking_uri=tracking_uri,
        show=show,
    )
    if found is not None and found.chosen is None:
        click.get_current_context().exit(1)


@click.command()
@click.argument("recipe", required=False, callback=empty_is_none)
@click.option("--seeds", default="5", show_default=True, metavar="N", help="Number of trainings, at least 2.")
@click.option("--num-processes", callback=empty_is_none, metavar="N", help="Processes on this machine (one a GPU).")
@overrides
@tracking_uri
def floor(
    recipe: str | None, seeds: str, num_processes: str | None, overrides: list[str], tracking_uri: str | None
) -> None:
    """Measure what retraining alone flips.

    The recipe of the model in production is trained again with other seeds. Each pair of the retrained models is
    compared on test. The result is kept with the registered model, and 'pct gate' shows it beside a candidate's NFR.

    For each example it keeps how many retrainings are right. By that, compare, gate and explore tell which negative
    flips are noise, and 'pct risk' which examples are likely to flip. From 4 seeds on these numbers are of use.

    RECIPE is a file or a version (name@production). It may be left out if only one model is in production.

    \b
    Examples:
      pct floor --seeds 5
      pct floor fashion-mnist@production --seeds 3
      pct floor projects/fashion_mnist/baseline.yaml --set optim.epochs=2
    """
    in_processes(click.get_current_context(), num_processes)
    from pct_mlops.workflows.studies.floor import measure_floor

    found = measure_floor(recipe, seeds=seeds, overrides=overrides, tracking_uri=tracking_uri, show=show)
    if found is not None:
        click.echo(f"Stored with the model: {found.sentence}.")
