"""Implements pct advise: which update to train for which change, and at what price."""

from __future__ import annotations

from pathlib import Path

import click

from pct_mlops.cli.options import ReportFile, empty_is_none, overrides, tracking_uri
from pct_mlops.cli.streams import keep_stdout_free, show


@click.command()
@click.argument("name", required=False, callback=empty_is_none)
@click.option("--recipe", callback=empty_is_none, metavar="FILE", help="What would be trained.  [default: candidate's]")
@click.option("--all", "every", is_flag=True, help="Show all updates, and not those that fit on a screen.")
@click.option("--json", "json_file", type=ReportFile(), metavar="FILE", help="Also write it here; - is stdout.")
@click.option("--markdown", "markdown_file", type=ReportFile(), metavar="FILE", help="Also write it as Markdown.")
@overrides
@tracking_uri
def advise(
    *,
    name: str | None,
    recipe: str | None,
    every: bool,
    json_file: Path | None,
    markdown_file: Path | None,
    overrides: list[str],
    tracking_uri: str | None,
) -> None:
    """Show which update to train for which change.

    Without NAME, show what was measured for four changes: more data, a larger architecture, more classes, cleaned
    labels. Each update has its accuracy and NFR against an untreated update, and its training time.

    With the registered model NAME, tell what the recipe would change against production, and give one line to type
    with its price. Then list how earlier updates of this model went: what changed, loss, accuracy, NFR and verdict.
    Without --recipe it is about the candidate. NAME may be left out beside --recipe, which names a model.

    \b
    Examples:
      pct advise
      pct advise fashion-mnist
      pct advise fashion-mnist --recipe projects/fashion_mnist/recipe.yaml
      pct advise --recipe my/recipe.yaml --set model.name=small_resnet20
      pct advise fashion-mnist --all --json advice.json
      pct advise fashion-mnist --json - | jq -r .recommendation.command
    """
    from pct_mlops.errors import ConfigError
    from pct_mlops.workflows.advice.advise import advise as run
    from pct_mlops.workflows.runtime.atomic_files import is_stdout, keep_off, write_json, write_text

    if overrides and recipe is None:
        raise ConfigError("--set changes a recipe: give it with --recipe FILE.")
    files = [json_file, markdown_file]
    keep_off(files, [recipe])
    if err := any(file is not None and is_stdout(file) for file in files):
        keep_stdout_free()
    found = run(name, recipe_file=recipe, overrides=overrides, every=every, tracking_uri=tracking_uri)

    from pct_mlops.workflows.advice.advice_documents import advice_markdown, advice_to_json
    from pct_mlops.workflows.advice.advice_text import render_advice

    if json_file is not None:
        write_json(json_file, advice_to_json(found))
    if markdown_file is not None:
        write_text(markdown_file, advice_markdown(found))
    show(render_advice(found, every=every), err=err)
