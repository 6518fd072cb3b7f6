"""Runs the whole gate in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.config import Policy
from pct_mlops.workflows.gating.gate_run import GateRun
from pct_mlops.workflows.gating.report_files import ReportFiles

if TYPE_CHECKING:
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.workflows.gating.outcome import Outcome


def evaluate_candidate(
    candidate: str,
    policy: Policy,
    *,
    baseline: str | None = None,
    promote: bool = False,
    override: bool = False,
    reason: str = "",
    into: str | None = None,
    recompute: bool = False,
    pin: Path | None = None,
    files: ReportFiles | None = None,
    tracking_uri: str | None = None,
    reading: ReadOptions | None = None,
) -> Outcome:
    """Decide whether `candidate` may replace `baseline`.

    For a registered version, record the decision. Move production when that is asked for and allowed.

    Args:
        candidate: A version (`name@candidate`, `name/3`, `models:/...`), or a predictions file.
        policy: The rules.
        baseline: A version or file. By default it is the policy's alias of the candidate's model, or of `into`.
        promote: Move production on PASS or BOOTSTRAP.
        override: Move it on FAIL and INCONCLUSIVE too, never on ERROR. It needs a reason.
        reason: Kept in the history of production.
        into: The model that the candidate is copied to when it is promoted.
        recompute: Score both again where their tables are missing or do not fit.
        pin: The policy's list of pinned examples, to which blockers that are fixed are added after a PASS.
        files: The reports to write. By default there are none.
        tracking_uri: The registry.
        reading: Columns, classes and split of files that another program wrote.

    Returns:
        The decision with its evidence, and what became of production.

    Raises:
        PctError: The run could not even begin, or a report could not be written. Reports then say ERROR.

    Example:
        >>> from pct_mlops import Policy, Predictions, Rule, evaluate_candidate
        >>> ids, labels = ["a", "b", "c", "d"], [0, 1, 1, 0]
        >>> about = {"class_names": ("cat", "dog"), "split": "test"}
        >>> old = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [0, 2], [0, 2]], **about)
        >>> new = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [2, 0], [2, 0]], **about)
        >>> tables = old.save("old.parquet"), new.save("new.parquet")
        >>> policy = Policy(rules=(Rule(metric="nfr", max=0.02, bound="point"),))
        >>> outcome = evaluate_candidate("new.parquet", policy, baseline="old.parquet")
        >>> outcome.decision.verdict.value, outcome.report["checks"][0]["value"]
        ('FAIL', 0.25)
    """
    files = files or ReportFiles()
    return GateRun(
        candidate, policy, baseline, promote, override, reason, into, recompute, pin, files, tracking_uri, reading
    ).run()
