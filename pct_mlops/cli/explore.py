"""Implements pct explore and pct demo."""

from __future__ import annotations

import click

from pct_mlops.cli.options import empty_is_none, overrides, reading_options, tracking_uri


@click.command()
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option("--model", callback=empty_is_none, metavar="NAME", help="Registered model to open first.")
@click.option("--policy", callback=empty_is_none, metavar="FILE", help="Judge with this policy, as the gate does.")
@click.option(
    "--images",
    callback=empty_is_none,
    metavar="PATH",
    help="Folder of the data set, for full images, or a Parquet file (sample_id, png) for two files.",
)
@click.option(
    "--texts",
    callback=empty_is_none,
    metavar="FILE",
    help="Texts or rows of the examples (.csv, .tsv, .jsonl, .parquet), with a column of ids.",
)
@click.option("--read-only", is_flag=True, help="Show reviews, but let nobody write one.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option("--headless", is_flag=True, help="Do not open a browser.")
@reading_options("What the files of other programs are predictions on.  [default: test]")
@tracking_uri
def explore(
    *,
    old: str | None,
    new: str | None,
    model: str | None,
    policy: str | None,
    images: str | None,
    texts: str | None,
    read_only: bool,
    port: int,
    headless: bool,
    columns: str | None,
    classes: str | None,
    split: str | None,
    tracking_uri: str | None,
) -> None:
    """Open the explorer on two versions or two files.

    \b
    Examples:
      pct explore                                     over the registry
      pct explore --model fashion-mnist --policy projects/fashion_mnist/policy.yaml
      pct explore old.parquet new.csv                 two files, no registry
      pct explore --images /data/pets                 full images from the data set's folder
      pct explore old.csv new.csv --texts mail.csv    examples show their text, or their columns
    """
    from pct_mlops.workflows.explore import start

    start(
        old=old,
        new=new,
        model=model,
        policy=policy,
        port=port,
        headless=headless,
        tracking_uri=tracking_uri,
        images=images,
        texts=texts,
        read_only=read_only,
        reading={"--columns": columns, "--classes": classes, "--split": split},
        show=click.echo,
    )


@click.command()
@click.option("--folder", default="demo", show_default=True, metavar="DIR", help="Folder for the demo's registry.")
@overrides
def demo(folder: str, overrides: list[str]) -> None:
    """Tell the whole story on Fashion-MNIST.

    A baseline becomes production. Three candidates are trained and judged, and the best that passes is promoted. Run it
    in a checkout, because it starts each training with 'mlflow run .', as a user would.

    \b
    Examples:
      pct demo
      pct demo --folder quick --set optim.epochs=1      a minute, and worse models
    """
    from rich.console import Console
    from rich.text import Text

    from pct_mlops.workflows.demo import tell

    console = Console(highlight=False, markup=False)
    # Do not wrap lines, so that a user can copy a command. Tables fit the terminal's width by themselves.
    tell(folder or "demo", lambda item: console.print(item, soft_wrap=isinstance(item, str | Text)), overrides)
