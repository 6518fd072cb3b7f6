"""pct train, pct score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from pct_mlops.cli.options import empty_is_none, overrides, tracking_uri
from pct_mlops.config import PctError, Recipe
from pct_mlops.pipeline.processes import inside_launcher, is_main_process, relaunch

DEFAULT_RECIPE = "projects/fashion_mnist/recipe.yaml"


@click.command()
@click.argument("recipe", default=DEFAULT_RECIPE, metavar="[RECIPE]")
@click.option("--loss", callback=empty_is_none, metavar="NAME", help="Loss preset; 'pct list losses' shows them.")
@click.option(
    "--arch", callback=empty_is_none, metavar="NAME", help="Another architecture, with its default arguments."
)
@click.option("--epochs", callback=empty_is_none, metavar="N", help="Passes over the training data.")
@click.option("--model-name", callback=empty_is_none, metavar="NAME", help="Registered model to make a version of.")
@click.option("--num-processes", callback=empty_is_none, metavar="N", help="Processes on this machine (one a GPU).")
@click.option("--resume", is_flag=True, help="Go on from the last complete checkpoint of this very recipe.")
@overrides
@tracking_uri
def train(
    *,
    recipe: str,
    loss: str | None,
    arch: str | None,
    epochs: str | None,
    model_name: str | None,
    num_processes: str | None,
    resume: bool,
    overrides: list[str],
    tracking_uri: str | None,
) -> None:
    """Train a candidate against production.

    It is scored on val and test and registered as a version with the alias @candidate.

    \b
    Examples:
      pct train --loss none                       a first baseline, plain cross-entropy
      pct train --loss cna                        against the production version
      pct train my/recipe.yaml --loss ldi --set optim.lr=0.05 --set seed.model=3
      pct train --loss cna --num-processes 2      two processes on this machine
      torchrun --nproc_per_node 8 -m pct_mlops train my/recipe.yaml --loss cna
    """
    given = {
        "objective.loss": loss,
        "model.name": arch,
        "model.kwargs": "{}" if arch else None,
        "optim.epochs": epochs,
        "model_name": model_name,
    }
    # --set comes last: the most specific wins.
    read = Recipe.read(recipe, [f"{key}={value}" for key, value in given.items() if value] + overrides)
    processes = _positive(num_processes, "--num-processes")
    if processes > 1 and not inside_launcher():
        context = click.get_current_context()
        context.exit(relaunch(_without_processes(context.obj), processes))
    from pct_mlops.pipeline.train import train as run

    run(read, tracking_uri=tracking_uri, resume=resume, say=click.echo)


@click.command()
@click.argument("model")
@click.option("--split", type=click.Choice(["test", "val", "train"]), default="test", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Write the table here and not to the registry.")
@overrides
@tracking_uri
def score(model: str, split: str, output: Path | None, overrides: list[str], tracking_uri: str | None) -> None:
    """Predict with a registered MODEL, and store that with it.

    The data are those of the model's own recipe; --set data.root=... points elsewhere.

    \b
    Examples:
      pct score fashion-mnist@production
      pct score fashion-mnist/3 --split val --output val.parquet
      torchrun --nproc_per_node 2 -m pct_mlops score fashion-mnist/3
    """
    from pct_mlops.pipeline.score import score as run

    table = run(model, split=split, overrides=overrides, output=output, tracking_uri=tracking_uri)
    if table is not None and is_main_process():
        where = output or f"{model}, predictions/{split}.parquet"
        click.echo(f"{table.info.num_examples:,} predictions, accuracy {table.accuracy():.2%}: {where}")


def _positive(text: str | None, name: str) -> int:
    if text is None:
        return 1
    if not text.isdigit() or int(text) < 1:
        raise PctError(f"{name} should be a whole number from 1 up, and it is '{text}'.")
    return int(text)


def _without_processes(words: Sequence[str]) -> list[str]:
    """The command line without --num-processes: what each of the processes runs."""
    kept, skip = [], False
    for word in words:
        if skip or word == "--num-processes":
            skip = not skip and word == "--num-processes"
        elif not word.startswith("--num-processes="):
            kept.append(word)
    return kept
