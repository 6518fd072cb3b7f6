"""Measures two models deployed together: the mean of production's logits and those of a trained model."""

from __future__ import annotations

from collections.abc import Sequence

from pct_mlops.comparison import compare
from pct_mlops.errors import PctError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.mean_logits import weighted_mean
from pct_mlops.reports import SeedResult
from pct_mlops.workflows.studies.methods_file import NamedMethod
from pct_mlops.workflows.studies.trials import Bench, TrialResult


def deployed_pairs(
    bench: Bench, outcomes: Sequence[TrialResult], named: Sequence[NamedMethod], results: Sequence[SeedResult]
) -> list[SeedResult]:
    """Return `results` with those of the methods that average a trained model with production, in the order of `named`.

    Nothing is trained for them. Call it on the main process only.
    """
    order = {one.name: place for place, one in enumerate(named)}
    added = [
        _measure(one.name, bench.old["test"], bench.table(outcome), outcome.member.seed)
        for one in named
        if one.mean_of
        for outcome in outcomes
        if outcome.member.method.title == one.mean_of and outcome.metrics is not None
    ]
    # Rows of losses have no place in the file and stay first.
    return sorted([*results, *added], key=lambda result: order.get(result.method, -1))


def _measure(method: str, old: Predictions, new: Predictions, seed: int) -> SeedResult:
    try:
        both = weighted_mean([old, new], [1.0, 1.0])
    except PctError as error:
        return SeedResult(method, seed, None, str(error))
    found = compare(old, both)
    metrics = {name: found.estimate(name).value for name in ("nfr", "pfr", "relative_nfr")}
    return SeedResult(method, seed, {"accuracy": both.accuracy(), **metrics})
