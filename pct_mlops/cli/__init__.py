"""What a person types: parses, prints, and turns every outcome into an exit code."""

from pct_mlops.cli.main import main

__all__ = ["main"]
