"""Writes what a study of many trainings found: tables, a picture, and every training as CSV."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.errors import OutputError
from pct_mlops.reports import (
    MethodRow,
    SeedResult,
    contrasts,
    contrasts_csv,
    contrasts_markdown,
    methods_csv,
    methods_markdown,
    seeds_csv,
)
from pct_mlops.workflows.runtime.atomic_files import write_text
from pct_mlops.workflows.studies.trials import SECONDS

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from pct_mlops.registry import ParentRun
    from pct_mlops.workflows.studies.trials import TrialResult


def make_folder(output: Path | None) -> None:
    """Make the folder of --output. Raise OutputError where nothing can be written in it."""
    if output is None:
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise OutputError(f"{output} cannot be written ({error.strerror}): choose another --output.") from error


def seed_result(outcome: TrialResult, split: str) -> SeedResult:
    """Return a training with its metrics on one split."""
    member, metrics = outcome.member, outcome.metrics
    found = None
    if metrics is not None:
        prefix = f"{split}/"
        found = {key.removeprefix(prefix): value for key, value in metrics.items() if key.startswith(prefix)}
    return SeedResult(member.method.name, member.seed, found, outcome.error, (metrics or {}).get(SECONDS))


def study_files(
    rows: Sequence[MethodRow], results: Sequence[SeedResult], title: str, notes: Sequence[str]
) -> dict[str, str]:
    """Return the text of each file of a study, by its name: tables, every training, and a picture."""
    from pct_mlops.charts import page

    changes = contrasts(results)
    text = methods_markdown(rows, title, notes)
    return {
        "methods.md": "\n".join(part for part in (text, contrasts_markdown(changes)) if part),
        "methods.csv": methods_csv(rows),
        "changes.csv": contrasts_csv(changes),
        "trainings.csv": seeds_csv(results),
        "pareto.html": page(_picture(rows), title),
    }


def keep_files(files: Mapping[str, str], parent: ParentRun, name: str, output: Path | None) -> None:
    """Log files with the parent run under `name`, and write them to the folder `output` where there is one."""
    with tempfile.TemporaryDirectory() as temporary:
        for folder in (Path(temporary), *([output] if output else [])):
            for file, text in files.items():
                write_text(folder / file, text)
        parent.log_files(Path(temporary), name)


def _picture(rows: Sequence[MethodRow]) -> go.Figure:
    from pct_mlops.charts import MethodPoint, pareto

    points = []
    for row in rows:
        accuracy, nfr = row.spreads["accuracy"], row.spreads["nfr"]
        if accuracy.mean is not None and nfr.mean is not None:
            points.append(MethodPoint(row.method, accuracy.mean, nfr.mean, accuracy.std, nfr.std))
    return pareto(points)
