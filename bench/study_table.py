"""Writes the results of the study of updates as a table: means, spreads, and differences with Welch's intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from study_plan import METHODS, OLD, UNTREATED, Row

HEAD = (
    "| change | method | seeds | accuracy % | NFR % | PFR % | accuracy minus untreated | NFR minus untreated "
    "| NFR / untreated |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n"
)


def results_table(rows: Sequence[Row]) -> str:
    """Return a table in Markdown.

    Rates are in percent, with their standard deviation over seeds. Differences are in points, with a 95 % interval.
    """
    lines = []
    for change, methods in METHODS.items():
        found = {name: [row for row in rows if row.training[:2] == (change, name)] for name in (OLD, *methods)}
        lines += [[change, "old model", "1", percent([row.accuracy]), *[""] * 5] for row in found.pop(OLD)]
        for name, group in found.items():
            if group:
                untreated = [] if name == UNTREATED else found[UNTREATED]
                lines.append([change, name, str(len(group)), *rates(group), *differences(group, untreated)])
    return HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def rates(rows: Sequence[Row]) -> list[str]:
    """Return the cells of accuracy, NFR and PFR."""
    return [percent([getattr(row, key) for row in rows]) for key in ("accuracy", "nfr", "pfr")]


def differences(rows: Sequence[Row], untreated: Sequence[Row]) -> list[str]:
    """Return the cells that compare a method with the untreated update, empty where there is none."""
    if not untreated:
        return [""] * 3
    cells = []
    for key in ("accuracy", "nfr"):
        values, others = ([100 * getattr(row, key) for row in group] for group in (rows, untreated))
        interval = welch(values, others)
        inside = f" ({interval[0]:+.2f} to {interval[1]:+.2f})" if interval else ""
        cells.append(f"{statistics.mean(values) - statistics.mean(others):+.2f}{inside}")
    flips, before = (statistics.mean(row.nfr or 0.0 for row in group) for group in (rows, untreated))
    return [*cells, f"{flips / before:.2f}" if before else ""]


def percent(fractions: Sequence[float]) -> str:
    """Return the mean in percent, and the standard deviation where there are several values."""
    values = [100 * value for value in fractions]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def welch(values: Sequence[float], others: Sequence[float]) -> tuple[float, float] | None:
    """Return Welch's 95 % interval of mean(values) - mean(others), None with fewer than two or without any spread."""
    if min(len(values), len(others)) < 2:
        return None
    parts = [(statistics.variance(found) / len(found), len(found) - 1) for found in (values, others)]
    total = sum(part for part, _ in parts)
    difference = statistics.mean(values) - statistics.mean(others)
    if total == 0:
        return None  # equal values say nothing of the spread
    degrees = total**2 / sum(part**2 / freedom for part, freedom in parts)
    reach = t_quantile(degrees) * math.sqrt(total)
    return difference - reach, difference + reach


def t_quantile(degrees: float, level: float = 0.95) -> float:
    """Return the t with P(|T| <= t) = level, for a T of Student's distribution with `degrees` >= 1 of freedom.

    scipy has it too, but a machine with a GPU may lack scipy. With T = sqrt(degrees) tan(a), the density of the angle a
    is proportional to cos(a)^(degrees - 1). It is integrated by Simpson's rule.
    """

    def integral(end: float) -> float:
        steps = 400
        values = [math.cos(end * step / steps) ** (degrees - 1) for step in range(steps + 1)]
        return end / steps / 3 * (values[0] + values[-1] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]))

    low, high, whole = 0.0, math.pi / 2, integral(math.pi / 2)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if integral(middle) < level * whole else (low, middle)
    return math.sqrt(degrees) * math.tan(low)
