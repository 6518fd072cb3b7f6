"""Draws the result of a tried policy as a web page of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from pct_mlops.charts import page
from pct_mlops.charts.pass_rates import RatePanel, VerdictShares, verdict_shares
from pct_mlops.config.numbers import percent, points
from pct_mlops.gate import Verdict

if TYPE_CHECKING:
    from pct_mlops.gate import PolicyTrial, TrialRow

_DIGITS = 7
Rate = Callable[["TrialRow"], float]


def trial_page(trial: PolicyTrial) -> str:
    """Return the page: shares of the verdicts against the true NFR, and against the true change of accuracy."""
    return page(verdict_shares(trial_panels(trial)), trial.sentence)


def trial_panels(trial: PolicyTrial) -> list[RatePanel]:
    """Return a panel for each rate that varies while the other one stays."""
    flips, stays = _rows_over(trial, _nfr, _change)
    changes, rate = _rows_over(trial, _change, _nfr)
    found = [_panel(f"true NFR in percent, at an accuracy change of {points(stays)}", flips, _nfr)]
    if len(changes) > 1:
        found.append(_panel(f"true change of accuracy in points, at an NFR of {percent(rate)}", changes, _change))
    return found


def _nfr(row: TrialRow) -> float:
    return row.kind.nfr


def _change(row: TrialRow) -> float:
    return row.kind.accuracy_change


def _rows_over(trial: PolicyTrial, varies: Rate, stays: Rate) -> tuple[list[TrialRow], float]:
    """Return the rows that share the most frequent value of one rate, and that value."""
    (value, _), *_ = Counter(round(stays(row), _DIGITS) for row in trial.rows).most_common(1)
    rows = [row for row in trial.rows if round(stays(row), _DIGITS) == value]
    return sorted(rows, key=varies), value


def _panel(title: str, rows: list[TrialRow], rate: Rate) -> RatePanel:
    verdicts = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)
    found = tuple(
        VerdictShares(rate(row), {str(verdict): row.share(verdict) for verdict in verdicts}, row.kind.title)
        for row in rows
    )
    limits = tuple((f"limit of rule {number}", rate(row)) for row in rows for number in row.kind.on_limits)
    return RatePanel(title, found, limits)
