"""Reads the arguments that the explorer is started with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Arguments of the explorer.

    Attributes:
        old: Old table, a file or a registry reference. Without it the reader picks two versions in the explorer.
        new: New table, likewise.
        model: Registered model that is opened first.
        tracking_uri: MLflow tracking server or database, None for MLflow's own setting.
        policy: Policy file whose verdict is shown.
        images: Folder of the data set, or a Parquet file of sample_id and png.
        texts: File with the text or the row of each example.
        read_only: Whether reviews are shown and cannot be written.
        columns: What files of other programs call their columns, as PAIRS of --columns.
        classes: Class names of such files, as NAMES of --classes.
        split: Split that such files are predictions on.
    """

    old: str | None = None
    new: str | None = None
    model: str | None = None
    tracking_uri: str | None = None
    policy: str | None = None
    images: str | None = None
    texts: str | None = None
    read_only: bool = False
    columns: str | None = None
    classes: str | None = None
    split: str | None = None


def read_options(arguments: Sequence[str]) -> Options:
    """Parse the command line. A usage error prints the usage and the mistake, and exits with code 2."""
    parser = argparse.ArgumentParser(prog="pct explore", description="See every flip between two models.")
    parser.add_argument("old", nargs="?", metavar="OLD", help="file, models:/name@alias, name@alias or name/3")
    parser.add_argument("new", nargs="?", metavar="NEW", help="the same for the new model")
    parser.add_argument("--model", metavar="NAME", help="registered model to open first")
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow tracking server or database")
    parser.add_argument("--policy", metavar="FILE", help="promotion policy whose verdict is shown")
    parser.add_argument(
        "--images", metavar="PATH", help="the data set's folder, or a Parquet file of sample_id and png"
    )
    parser.add_argument("--texts", metavar="FILE", help="texts or rows of the examples, with a column of ids")
    parser.add_argument("--columns", metavar="PAIRS", help="what files of other programs call their columns")
    parser.add_argument("--classes", metavar="NAMES", help="the class names of such files, in order")
    parser.add_argument("--split", metavar="NAME", help="what such files are predictions on")
    parser.add_argument("--read-only", action="store_true", help="show reviews, but let nobody write one")
    options = Options(**vars(parser.parse_args(list(arguments))))
    if options.old and not options.new:
        parser.error("give OLD and NEW, or neither")
    return options
