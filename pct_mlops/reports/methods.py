"""Reports on methods over several seeds, and on the flips of retraining alone.

The formats are terminal, Markdown and CSV.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pct_mlops.errors import RegistryError
from pct_mlops.reports.terminal import clean, metric_text

# Metric -> title of its column, factor for display, and digits.
COLUMNS = {
    "accuracy": ("accuracy %", 100.0, 2),
    "nfr": ("NFR %", 100.0, 2),
    "relative_nfr": ("relative NFR", 1.0, 3),
    "pfr": ("PFR %", 100.0, 2),
}
NONE = "–"


@dataclass(frozen=True)
class SeedResult:
    """One training.

    `metrics` maps a metric to its value on test, where None is undefined. For a failed training it is None, and `error`
    is the reason. `seconds` is the time that the training took, None where it is unknown.
    """

    method: str
    seed: int
    metrics: Mapping[str, float | None] | None
    error: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (divisor n - 1) over seeds. Each is None if undefined."""

    mean: float | None
    std: float | None


@dataclass(frozen=True)
class MethodRow:
    """A method over its seeds. Failed trainings take no part in the spreads."""

    method: str
    num_seeds: int
    num_failed: int
    spreads: Mapping[str, Spread]


def spread(values: Sequence[float | None]) -> Spread:
    """Return the spread over all values. One undefined value makes both mean and deviation undefined."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return Spread(None, None)
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


def summarise(results: Sequence[SeedResult]) -> list[MethodRow]:
    """Return a row for each method, in the order of their first results."""
    rows = []
    for method in dict.fromkeys(result.method for result in results):
        mine = [result for result in results if result.method == method]
        done = [result.metrics for result in mine if result.metrics is not None]
        spreads = {key: spread([metrics[key] for metrics in done]) for key in COLUMNS}
        rows.append(MethodRow(method, len(done), len(mine) - len(done), spreads))
    return rows


def render_methods(rows: Sequence[MethodRow], title: str, notes: Sequence[str] = ()) -> RenderableType:
    """Render the table for a terminal of 80 columns."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("method", overflow="fold")
    for name in ("seeds", *(column[0] for column in COLUMNS.values())):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(Text(clean(row.method)), *_cells(row))
    dim = [Text(clean(note), style="dim") for note in notes]
    return Group(Text(clean(title), style="bold"), Padding(table, (1, 0)), *dim)


def methods_markdown(rows: Sequence[MethodRow], title: str, notes: Sequence[str] = ()) -> str:
    """Return the table as a Markdown document."""
    names = ["method", "seeds", *(column[0] for column in COLUMNS.values())]
    lines = [f"# {markdown_cell(title)}", "", f"| {' | '.join(names)} |", "|---|" + "---:|" * (len(names) - 1)]
    lines += [f"| {markdown_cell(row.method)} | {' | '.join(_cells(row))} |" for row in rows]
    lines += ["", *(f"{markdown_cell(note)}\n" for note in notes)]
    return "\n".join(lines).rstrip() + "\n"


def methods_csv(rows: Sequence[MethodRow]) -> str:
    """Return means and standard deviations as CSV: fractions in full precision, empty where undefined."""
    header = ["method", "num_seeds", "num_failed", *(f"{key}_{part}" for key in COLUMNS for part in ("mean", "std"))]
    body = [
        [row.method, row.num_seeds, row.num_failed]
        + [part for key in COLUMNS for part in (row.spreads[key].mean, row.spreads[key].std)]
        for row in rows
    ]
    return csv_text([header, *body])


def read_methods_csv(text: str) -> list[MethodRow]:
    """Read what `methods_csv` wrote. Raise RegistryError for any other table."""

    def read(row: Mapping[str, str], key: str) -> float | None:
        return float(row[key]) if row[key] else None

    try:
        return [
            MethodRow(
                row["method"],
                int(row["num_seeds"]),
                int(row["num_failed"]),
                {key: Spread(read(row, f"{key}_mean"), read(row, f"{key}_std")) for key in COLUMNS},
            )
            for row in csv.DictReader(io.StringIO(text))
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise RegistryError(
            "The sweep's table of methods was altered: run the sweep again, which keeps its trainings."
        ) from error


def seeds_csv(results: Sequence[SeedResult]) -> str:
    """Return every training as CSV, so that anyone can compute the table again."""
    header = ["method", "seed", *COLUMNS, "seconds", "error"]
    body = [[r.method, r.seed, *((r.metrics or {}).get(key) for key in COLUMNS), r.seconds, r.error] for r in results]
    return csv_text([header, *body])


def render_floor(report: Mapping[str, Any]) -> RenderableType:
    """Render the NFR of each retraining (columns) against each old model (rows).

    The first old model is the baseline.
    """
    seeds = [part["seed"] for part in report["against_baseline"]]
    old_name = report["baseline"].removeprefix("models:/")
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("old model", no_wrap=True)
    for seed in seeds:
        table.add_column(f"seed {seed}", justify="right", no_wrap=True)
    table.add_row("accuracy", *(metric_text(part["accuracy"], "share") for part in report["against_baseline"]))
    table.add_row(Text(clean(old_name)), *(metric_text(part["nfr"], "share") for part in report["against_baseline"]))
    values = {(pair["old"], pair["new"]): pair["nfr"] for pair in report["pairs"]}
    for old in seeds:
        table.add_row(f"seed {old}", *(metric_text(values.get((old, new)), "share") for new in seeds))
    title = f"NFR of retraining {report['baseline']} with other seeds, {report['num_examples']:,} test examples"
    deviation = metric_text(report["std"], "share")
    note = (
        f"Between retrainings, all {len(report['pairs'])} ordered pairs: mean {metric_text(report['mean'], 'share')}, "
        f"standard deviation {deviation}, at most {metric_text(report['max'], 'share')}. Pairs share models, so they "
        "are not independent."
    )
    return Group(Text(clean(title), style="bold"), Padding(table, (1, 0)), Text(note, style="dim"))


def _cells(row: MethodRow) -> list[str]:
    seeds = f"{row.num_seeds}" + (f" ({row.num_failed} failed)" if row.num_failed else "")
    return [seeds, *(_spread(row.spreads[key], scale, digits) for key, (_, scale, digits) in COLUMNS.items())]


def _spread(value: Spread, scale: float, digits: int) -> str:
    if value.mean is None:
        return NONE
    deviation = NONE if value.std is None else f"{scale * value.std:.{digits}f}"
    return f"{scale * value.mean:.{digits}f} ± {deviation}"


def markdown_cell(text: str) -> str:
    """Return a text as a cell of a Markdown table."""
    return clean(text.replace("\n", " ")).replace("|", "\\|")


def csv_text(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
