"""Implements pct sweep and pct floor, which train many times to measure one thing."""

from __future__ import annotations

from pathlib import Path

import click

from pct_mlops.cli.options import empty_is_none, in_processes, overrides, tracking_uri
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
@click.option("--seeds", default="3", show_default=True, metavar="N", help="Number of trainings of each method.")
@click.option("--warm-start/--cold-start", help="Also train each loss from production's weights. Default: cold only.")
@click.option(
    "--controls/--no-controls",
    default=True,
    help="Also train focal losses without focus at the same total weight, and with shuffled focus. Default: yes.",
)
@click.option("--output", callback=empty_is_none, metavar="DIR", help="Also write the tables here.")
@click.option("--num-processes", callback=empty_is_none, metavar="N", help="Processes on this machine (one a GPU).")
@overrides
@tracking_uri
def sweep(
    *,
    recipe: str,
    losses: str | None,
    seeds: str,
    warm_start: bool,
    controls: bool,
    output: str | None,
    num_processes: str | None,
    overrides: list[str],
    tracking_uri: str | None,
) -> None:
    """Compare losses against production over several seeds.

    Every training becomes a run below one parent run. The parent holds a picture and the table: mean and standard
    deviation of accuracy, NFR and PFR on test. Seeds change initial weights and order, never the data split.

    No version is registered and nothing is tuned. Each preset keeps its own numbers, and the recipe's apply only to the
    recipe's own loss. The same command continues a sweep that was stopped. Exit code 2: a training failed, and the
    others are in the table.

    \b
    Examples:
      pct sweep --losses none,kl,cna --seeds 3
      pct sweep my/recipe.yaml --losses none,ldi --seeds 5 --warm-start --no-controls --output results
      torchrun --nproc_per_node 8 -m pct_mlops sweep my/recipe.yaml --losses none,cna
      mlflow run . -e sweep -P losses=none,kl -P seeds=3 -P start=warm-start -P controls=no-controls
    """
    read = Recipe.read(recipe, overrides)
    in_processes(click.get_current_context(), num_processes)
    from pct_mlops.workflows.studies.sweep import sweep as run

    run(
        read,
        losses,
        seeds=seeds,
        warm_start=warm_start,
        controls=controls,
        output=Path(output) if output else None,
        tracking_uri=tracking_uri,
        show=show,
    )


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
