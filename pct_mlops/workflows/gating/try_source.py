"""Tries a policy on what a person names: a version of the registry or a file of predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pct_mlops.gate import PolicyTrial, try_policy
from pct_mlops.workflows.runtime.references import is_file, open_sources

if TYPE_CHECKING:
    from pct_mlops.config import Policy
    from pct_mlops.predictions import Predictions, ReadOptions


def try_on_source(
    policy: Policy,
    like: str,
    *,
    candidates: int,
    nfr: Sequence[float] = (),
    accuracy_change: Sequence[float] = (),
    churn: float | None = None,
    seed: int = 0,
    tracking_uri: str | None = None,
    reading: ReadOptions | None = None,
) -> PolicyTrial:
    """Try a policy on candidates for the place of a version, or of the model behind a file of predictions.

    The floor of plain retraining that is stored with the version is the churn of candidates that are as good. It is
    also the floor of limits relative to it. Without a stored one, `churn` is both.

    Raises:
        PctError: the table cannot be read, or the policy does not fit it.
    """
    source = open_sources([like], split=policy.evaluation, tracking_uri=tracking_uri, reading=reading)[0]
    floor = None if is_file(like) else _floor(source.predictions, tracking_uri)
    with _bar("simulated candidates") as advance:
        return try_policy(
            policy,
            source.predictions,
            candidates=candidates,
            nfr=nfr,
            accuracy_change=accuracy_change,
            churn=churn,
            floor=churn if floor is None else floor,
            seed=seed,
            advance=advance,
        )


def _floor(old: Predictions, tracking_uri: str | None) -> float | None:
    from pct_mlops.registry import Registry, read_floor

    found = read_floor(Registry(tracking_uri), old.info.model_name, old.info.digest)
    return None if found is None else found.mean


@contextmanager
def _bar(title: str) -> Iterator[Any]:
    """Show how many tries are done, where a person looks."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
