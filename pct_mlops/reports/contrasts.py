"""Compares the methods of a study with its first one: accuracy, flips and cost, with intervals over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pct_mlops.reports.methods import NONE, SeedResult, csv_text, markdown_cell
from pct_mlops.reports.terminal import clean

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Between:
    """A value with its 95 % interval. Each part is None where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Contrast:
    """A method against the reference, which is the first method of a study.

    Attributes:
        method: Name of the method.
        seeds: Number of trainings.
        accuracy: Mean accuracy.
        accuracy_std: Its standard deviation over seeds, None for one seed.
        nfr: Mean negative flip rate.
        nfr_std: Its standard deviation over seeds, None for one seed.
        accuracy_change: Accuracy minus the reference's, with Welch's interval.
        nfr_ratio: Ratio of the geometric means of NFR, with Welch's interval of the logarithms.
        cost: Ratio of the median training times, None where they are unknown.
    """

    method: str
    seeds: int
    accuracy: float
    accuracy_std: float | None
    nfr: float
    nfr_std: float | None
    accuracy_change: Between
    nfr_ratio: Between
    cost: float | None


def contrasts(results: Sequence[SeedResult]) -> list[Contrast]:
    """Return a contrast for each method that has an accuracy and an NFR, the reference first.

    Without the reference's own results the list is empty.
    """
    groups: dict[str, list[SeedResult]] = {}
    for result in results:
        groups.setdefault(result.method, []).append(result)
    known = {method: _values(group) for method, group in groups.items()}
    first = next(iter(known), None)
    if first is None or not known[first][0]:
        return []
    return [_contrast(method, known[method], known[first], method == first) for method in known if known[method][0]]


def welch(new: Sequence[float], old: Sequence[float]) -> Between:
    """Return the difference of two means with Welch's interval (Welch 1947). Fewer than two values give no interval.

    Values without any spread, such as one training counted twice, give none either.
    """
    difference = statistics.fmean(new) - statistics.fmean(old)
    if min(len(new), len(old)) < 2:
        return Between(difference)
    parts = [statistics.variance(values) / len(values) for values in (new, old)]
    if not sum(parts):
        return Between(difference)
    from scipy.special import stdtrit

    freedom = sum(parts) ** 2 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, (new, old), strict=True))
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(sum(parts))
    return Between(difference, difference - half, difference + half)


def render_contrasts(found: Sequence[Contrast]) -> list[RenderableType]:
    """Render the table for a terminal of 80 columns. The list is empty where there is nothing to compare."""
    if len(found) < 2:
        return []
    reference, *others = found
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column(f"against {clean(reference.method)}", overflow="fold")
    for name in TITLES:
        table.add_column(name, justify="right", no_wrap=True)
    for one in others:
        table.add_row(Text(clean(one.method)), *_cells(one))
    return [Padding(table, (1, 0)), Text(NOTE, style="dim")]


def contrasts_markdown(found: Sequence[Contrast]) -> str:
    """Return the table and its note as Markdown, "" where there is nothing to compare."""
    if len(found) < 2:
        return ""
    lines = [
        f"| {' | '.join([f'against {markdown_cell(found[0].method)}', *TITLES])} |",
        "|---|" + "---:|" * len(TITLES),
        *(f"| {' | '.join([markdown_cell(one.method), *_cells(one)])} |" for one in found[1:]),
    ]
    return "\n".join([*lines, "", NOTE]) + "\n"


TITLES = ("accuracy, points", "flips", "time")
NOTE = (
    "In brackets: 95 % intervals over seeds (Welch). They leave out that another old model or another test set would "
    "differ too. Time is that of a training."
)


def contrasts_csv(found: Sequence[Contrast]) -> str:
    """Return the contrasts as CSV: fractions in full precision, empty where undefined."""
    parts = ("accuracy_change", "nfr_ratio")
    header = ["method", "seeds", "accuracy", "accuracy_std", "nfr", "nfr_std"]
    header += [name for part in parts for name in (part, f"{part}_low", f"{part}_high")] + ["cost"]
    body = [
        [one.method, one.seeds, one.accuracy, one.accuracy_std, one.nfr, one.nfr_std]
        + [value for part in (one.accuracy_change, one.nfr_ratio) for value in (part.value, part.low, part.high)]
        + [one.cost]
        for one in found
    ]
    return csv_text([header, *body])


_Values = tuple[list[float], list[float], list[float]]


def _values(group: Sequence[SeedResult]) -> _Values:
    """Return accuracies, NFRs and seconds of the trainings that have both rates."""
    done = [
        r for r in group if r.metrics and r.metrics.get("accuracy") is not None and r.metrics.get("nfr") is not None
    ]
    accuracies = [float(r.metrics["accuracy"] or 0) for r in done if r.metrics]
    rates = [float(r.metrics["nfr"] or 0) for r in done if r.metrics]
    return accuracies, rates, [r.seconds for r in done if r.seconds is not None]


def _contrast(method: str, mine: _Values, reference: _Values, same: bool) -> Contrast:
    accuracies, rates, seconds = mine
    cost = statistics.median(seconds) / statistics.median(reference[2]) if seconds and reference[2] else None
    return Contrast(
        method,
        len(accuracies),
        statistics.fmean(accuracies),
        statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        statistics.fmean(rates),
        statistics.stdev(rates) if len(rates) > 1 else None,
        Between(0.0) if same else welch(accuracies, reference[0]),
        Between(1.0) if same else _ratio(rates, reference[1]),
        cost,
    )


def _ratio(new: Sequence[float], old: Sequence[float]) -> Between:
    """Return the ratio of geometric means. Where a rate is zero, return that of the means, without an interval."""
    if not all(new) or not all(old):
        return Between(statistics.fmean(new) / statistics.fmean(old) if any(old) else None)
    logs = welch([math.log(value) for value in new], [math.log(value) for value in old])
    return Between(*(None if part is None else math.exp(part) for part in (logs.value, logs.low, logs.high)))


def _cells(one: Contrast) -> list[str]:
    change, ratio = one.accuracy_change, one.nfr_ratio
    points = NONE if change.value is None else f"{100 * change.value:+.2f}"
    if change.low is not None and change.high is not None:
        points += f" ({100 * change.low:+.2f} to {100 * change.high:+.2f})"
    flips = NONE if ratio.value is None else f"{100 * (ratio.value - 1):+.0f}%"
    if ratio.low is not None and ratio.high is not None:
        flips += f" ({100 * (ratio.low - 1):+.0f} to {100 * (ratio.high - 1):+.0f})"
    return [points, flips, NONE if one.cost is None else f"{one.cost:.1f} x"]
