"""Parses what a person types, prints the result, and turns every outcome into an exit code."""

from pct_mlops.cli.main import main

__all__ = ["main"]
