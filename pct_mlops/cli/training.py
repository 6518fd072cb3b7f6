"""Implements pct train and pct score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pct_mlops.cli.options import empty_is_none, in_processes, overrides, tracking_uri
from pct_mlops.config import Recipe, class_list
from pct_mlops.config.base import read_yaml
from pct_mlops.workflows.runtime.distributed import is_main_process

if TYPE_CHECKING:
    from pct_mlops.predictions import Predictions

DEFAULT_RECIPE = "projects/fashion_mnist/recipe.yaml"


@click.command()
@click.argument("recipe", default=DEFAULT_RECIPE, metavar="[RECIPE]")
@click.option("--loss", callback=empty_is_none, metavar="NAME", help="Loss preset; 'pct list losses' shows them.")
@click.option(
    "--arch", callback=empty_is_none, metavar="NAME", help="Use this architecture, with its default arguments."
)
@click.option("--epochs", callback=empty_is_none, metavar="N", help="Number of passes over the training data.")
@click.option("--model-name", callback=empty_is_none, metavar="NAME", help="Registered model to add a version to.")
@click.option("--num-processes", callback=empty_is_none, metavar="N", help="Processes on this machine (one a GPU).")
@click.option("--teachers", callback=empty_is_none, metavar="N", help="Models to train first, as teachers for elodi.")
@click.option("--resume", is_flag=True, help="Go on from the last complete checkpoint of this recipe, and say which.")
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
    teachers: str | None,
    resume: bool,
    overrides: list[str],
    tracking_uri: str | None,
) -> None:
    """Train a candidate against production.

    It is scored on val and test, and registered as a version with the alias @candidate.

    \b
    Examples:
      pct train --loss none                       a first baseline, plain cross-entropy
      pct train --loss cna                        against the production version
      pct train my/recipe.yaml --loss ldi --set optim.lr=0.05 --set seed.model=3
      pct train --loss elodi --teachers 8         eight models first, then one that keeps to their mean
      pct train --arch small_resnet20 --set model.init=production --set model.init_mode=grow
      pct train --loss cna --num-processes 2      two processes on this machine
      torchrun --nproc_per_node 8 -m pct_mlops train my/recipe.yaml --loss cna
    """
    given = {
        "objective.loss": loss,
        "model.name": arch,
        "model.kwargs": "{}" if arch else None,
        "optim.epochs": epochs,
        "model_name": model_name,
        "teacher.num_members": teachers,
    }
    # --set comes last, so that it wins over the other options.
    words = [f"{key}={value}" for key, value in given.items() if value] + overrides
    read = Recipe.read(recipe, (_without_another_loss(recipe, loss) if loss else []) + words)
    in_processes(click.get_current_context(), num_processes)
    from pct_mlops.workflows.training.train import train as run

    run(read, tracking_uri=tracking_uri, resume=resume)


@click.command()
@click.argument("model")
@click.option("--split", type=click.Choice(["test", "val", "train"]), default="test", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Write the table here, and not to the registry.")
@click.option("--recipe", callback=empty_is_none, metavar="FILE", help="Use this recipe instead of the model's own.")
@click.option(
    "--data", callback=empty_is_none, metavar="FILE", help="Labelled examples: .csv, .tsv, .parquet, .jsonl or .npz."
)
@click.option("--columns", callback=empty_is_none, metavar="PAIRS", help="For example label=gold,sample_id=key.")
@click.option(
    "--classes",
    callback=empty_is_none,
    metavar="NAMES",
    help="Classes in the order of the model's outputs: a list, or a file with one a line.",
)
@click.option("--scores", type=click.Choice(["logits", "probabilities"]), help="[default: what they look like]")
@click.option("--allow-code", is_flag=True, help="Load a model whose loading runs code that came with it.")
@overrides
@tracking_uri
def score(
    *,
    model: str,
    split: str,
    output: Path | None,
    recipe: str | None,
    data: str | None,
    columns: str | None,
    classes: str | None,
    scores: str | None,
    allow_code: bool,
    overrides: list[str],
    tracking_uri: str | None,
) -> None:
    """Score MODEL and store its predictions with it.

    MODEL is a registered version or a checkpoint: a folder, or a file of weights (.pth.tar, .pt, .safetensors) in
    torchvision's layout. The data are those of its own recipe. --set data.root=... points elsewhere. Of image files,
    only those of the split need to be there. The data may have classes that MODEL does not know: it is wrong on them.

    With --data, MODEL is a version of any flavour that has a signature. The file has a column for the id and the label
    of each example, and the columns that the model takes. An .npz file has arrays of these names and 'images'. Nothing
    that came with a model is run, unless you trust its authors and say --allow-code.

    \b
    Examples:
      pct score fashion-mnist@production
      pct score fashion-mnist/3 --split val --output val.parquet
      pct score reviews/7 --data test.csv --columns label=stars --allow-code
      pct score model_best.pth.tar --recipe imagenet.yaml --output old.parquet
      pct score model_best.pth.tar --recipe imagenet.yaml --classes names.txt --output old.parquet
      torchrun --nproc_per_node 2 -m pct_mlops score fashion-mnist/3
    """
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.workflows.runtime.atomic_files import keep_off
    from pct_mlops.workflows.tables.score import score as run
    from pct_mlops.workflows.tables.score_data import check_words, score_data

    keep_off([output], [model, recipe, data, classes])
    given = {"--columns": columns, "--scores": scores, "--allow-code": allow_code}
    check_words(data=data, recipe=recipe, overrides=overrides, given=given)
    common: dict[str, Any] = {"split": split, "output": output, "tracking_uri": tracking_uri}
    if data is not None:
        reading = ReadOptions.parse(columns, classes, split)
        found: dict[str, Any] = {"columns": dict(reading.columns), "classes": reading.classes, "scores": scores}
        _show_scored(score_data(model, Path(data), allow_code=allow_code, **found, **common), model, split, output)
        return
    own = Path(recipe) if recipe else None
    scored = run(model, overrides=overrides, recipe_file=own, classes=class_list(classes), **common)
    if scored is not None and is_main_process():
        _show_scored(scored, model, split, output)


def _show_scored(table: Predictions, model: str, split: str, output: Path | None) -> None:
    where = output or f"{model}, predictions/{split}.parquet"
    click.echo(f"{table.info.num_examples:,} predictions, accuracy {table.accuracy():.2%}: {where}")


def _without_another_loss(recipe: str, loss: str) -> list[str]:
    """Return overrides that drop the recipe's settings of its own loss, if another loss is asked for.

    The other loss does not know them.
    """
    own = read_yaml(recipe).get("objective")
    if not isinstance(own, dict) or own.get("loss", "none") == loss:
        return []
    return [f"objective.{key}=null" for key in ("distance", "focus", "weight", "mix") if key in own]
