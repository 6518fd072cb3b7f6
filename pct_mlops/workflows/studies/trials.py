"""Runs many trainings under one parent run. Each is scored against the same old model, and none is done twice."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.comparison import compare
from pct_mlops.config import Recipe
from pct_mlops.errors import NotComparableError, PctError, RegistryNotFoundError, TrainingError
from pct_mlops.predictions import Predictions
from pct_mlops.registry import (
    PRODUCTION,
    ChildRun,
    ParentRun,
    Registry,
    close_child,
    find_child,
    open_child,
    run_file,
    run_metric,
)
from pct_mlops.workflows.runtime.distributed import met_by_all, on_main
from pct_mlops.workflows.runtime.session import Session, open_session
from pct_mlops.workflows.studies.old_model import Old, old_tables, old_version
from pct_mlops.workflows.studies.plan import Member, settings
from pct_mlops.workflows.studies.sweep_progress import Pace, TimeLimit, pace
from pct_mlops.workflows.training.register import predictions_table
from pct_mlops.workflows.training.train import flat, train_once

if TYPE_CHECKING:
    from pct_mlops.workflows.training.job import Trained

SPLITS = ("val", "test")
SECONDS = "time/training_seconds"  # metric of a child that was trained without a break
Metrics = dict[str, float | None]


@dataclass(frozen=True)
class TrialResult:
    """Result of a training, the same on all processes: metrics as split/name (None: undefined), or an error.

    `num_epochs` were trained now. `run_id` is the child run that carries the tables. Without metrics and error, the
    time was up before the training began.
    """

    member: Member
    metrics: Metrics | None = None
    run_id: str = ""
    num_epochs: int = 0
    error: str = ""


@dataclass
class Bench:
    """Place where trainings are measured: the session and, on the main process, the parent run and the old tables.

    Metrics are those of the splits in `measured`, and the last of them is shown. A choice is made on val, with test out
    of sight.
    """

    session: Session
    measured: Sequence[str] = SPLITS
    parent: ParentRun | None = None
    old: dict[str, Predictions] = field(default_factory=dict)

    def read_old(self, recipe: Recipe, purpose: str) -> Old:
        """Keep the tables of the model that all are measured against, and return what is known of it.

        `purpose` begins the error where nothing is in production. Call it on the main process only.
        """
        registry = self.session.registry
        assert registry is not None
        version = old_version(recipe, registry, purpose)
        self.old = old_tables(registry, version)
        test = self.old["test"]
        production = registry.find(recipe.model_name, PRODUCTION)
        return Old(
            version.uri,
            version.version,
            test.info.digest,
            test.info.num_examples,
            test.accuracy(),
            None,
            class_names={split: table.info.class_names for split, table in self.old.items()},
            production="" if production is None else production.uri,
        )

    def run(self, members: Sequence[Member], limit: TimeLimit | None = None) -> list[TrialResult]:
        """Complete all members on all processes. One that fails on all of them alike does not stop the others.

        When no time is left, no further training begins. What was complete before is still found.
        A PctError that one process alone meets is raised there: the process ends, and the launcher ends the rest.
        """
        outcomes = []
        with pace(len(members), visible=self.session.is_main) as steps:
            for member in members:
                steps.begin(member.title)
                outcome = self._complete(member, steps, limit or TimeLimit())
                outcomes.append(outcome)
                skipped = outcome.metrics is None and not outcome.error
                steps.end(_in_words(outcome, self.measured[-1]), trained=outcome.num_epochs > 0, goes_on=not skipped)
        return outcomes

    def table(self, outcome: TrialResult) -> Predictions:
        """Return the test predictions of a completed member. Call it on the main process only."""
        assert self.parent is not None
        return _stored(self.parent.registry, outcome.run_id, "test")

    def _complete(self, member: Member, steps: Pace, limit: TimeLimit) -> TrialResult:
        try:
            found = on_main(self.session.accelerator, lambda: self._find(member))
            if found:
                return TrialResult(member, *found)
            # Processes have clocks of their own, and all must agree.
            if on_main(self.session.accelerator, limit.is_up):
                return TrialResult(member)
            with limit.training():
                return self._train(member, steps)
        except PctError as error:
            if not met_by_all(error, self.session.accelerator, member.key):
                raise
            return TrialResult(member, error=str(error))

    def _find(self, member: Member) -> tuple[Metrics, str] | None:
        """Return metrics and run of a member that an earlier start completed. Return None when there is none."""
        assert self.parent is not None
        run_id = find_child(self.parent, member.key)
        if run_id is None:
            return None
        tables = {split: _stored(self.parent.registry, run_id, split) for split in SPLITS}
        seconds = run_metric(self.parent.registry, run_id, SECONDS)
        return {**self._measure(tables), SECONDS: seconds}, run_id

    def _train(self, member: Member, steps: Pace) -> TrialResult:
        accelerator = self.session.accelerator
        opened: list[ChildRun] = []
        try:
            on_main(accelerator, lambda: self._open(member, opened))
            child = opened[0] if opened else None
            start = time.monotonic()
            with steps.training():
                trained = train_once(member.recipe, self.session, run=child)
            # A training that continued from a checkpoint took longer than this.
            whole = trained.num_epochs == member.recipe.optim.epochs
            seconds = time.monotonic() - start if whole else None
            metrics, run_id = on_main(accelerator, lambda: self._record(member, trained, child, seconds))
        except BaseException as error:
            for begun in opened:
                close_child(begun, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", str(error))
            raise
        return TrialResult(member, metrics, run_id, trained.num_epochs)

    def _open(self, member: Member, opened: list[ChildRun]) -> None:
        assert self.parent is not None
        child = open_child(self.parent, member.key, member.title)
        opened.append(child)
        child.log_params(flat(settings(member.recipe)))
        method = member.method
        start = "warm" if member.recipe.model.starts_from else "scratch"
        tags = {"method": method.name, "loss": method.loss, "control": method.control, "start": start}
        child.set_tags({f"pct.{key}": text for key, text in {**tags, "seed": str(member.seed)}.items()})

    def _record(
        self, member: Member, trained: Trained, child: ChildRun | None, seconds: float | None
    ) -> tuple[Metrics, str]:
        """Keep the tables and their metrics with the child, and close it."""
        assert child is not None
        splits = trained.splits
        with tempfile.TemporaryDirectory() as folder:
            tables = {}
            for split in (splits.val, splits.test):
                logits, uri = trained.logits[split.name], f"runs:/{child.run_id}"
                table = predictions_table(logits, split, splits, model_name=member.title, uri=uri)
                tables[split.name] = table.save(Path(folder) / f"{split.name}.parquet")
            metrics = {**self._measure(tables), SECONDS: seconds}
            child.log_files(Path(folder), "predictions")
        child.log_final(metrics, trained.step)
        close_child(child)
        return metrics, child.run_id

    def _measure(self, tables: dict[str, Predictions]) -> Metrics:
        """Return accuracy, and flips against the old model. Flips on val need the same examples in both tables.

        Classes are compared by name. An old model that was scored before a class came has them in its own order.
        """
        tables = {name: tables[name] for name in self.measured}
        metrics: Metrics = {f"{name}/accuracy": table.accuracy() for name, table in tables.items()}
        for split, table in tables.items():
            if split not in self.old:
                continue
            try:
                comparison = compare(self.old[split], table)
            except NotComparableError:
                if split != "val":
                    raise
                continue
            for name in ("nfr", "pfr", "relative_nfr"):
                metrics[f"{split}/{name}"] = comparison.estimate(name).value
        return metrics


def open_bench(recipe: Recipe, tracking_uri: str | None, measured: Sequence[str] = SPLITS) -> Bench:
    """Join the processes, and open the registry on the main one."""
    from pct_mlops.engine import make_accelerator

    return Bench(open_session(make_accelerator(recipe.engine), tracking_uri, create=False), measured)


def failure_of(outcomes: Sequence[TrialResult], again: str) -> PctError | None:
    """Build one error that names what failed. Return None when nothing did.

    `again` ends the sentence: it says what the same command does next time.
    """
    wrong = [outcome for outcome in outcomes if outcome.error]
    if not wrong:
        return None
    names = "; ".join(outcome.member.title for outcome in wrong[:4])
    more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    reason = wrong[0].error.rstrip(".")
    return TrainingError(
        f"{len(wrong)} of {len(outcomes)} trainings failed ({names}{more}), the first because: {reason}; {again}."
    )


def _stored(registry: Registry, run_id: str, split: str) -> Predictions:
    path = run_file(registry, run_id, f"predictions/{split}.parquet")
    if path is None:
        raise RegistryNotFoundError(
            f"The run {run_id} lost its predictions on {split}: delete the run and start again."
        )
    return Predictions.load(path)


def _in_words(outcome: TrialResult, split: str) -> str:
    if outcome.metrics is None:
        return f"failed: {outcome.error}" if outcome.error else "left for the next start, because the time is up"
    numbers = [f"accuracy {outcome.metrics[f'{split}/accuracy']:.2%}"]
    nfr = outcome.metrics.get(f"{split}/nfr")
    if nfr is not None:
        numbers.append(f"NFR {nfr:.2%}")
    before = "" if outcome.num_epochs else ", complete before"
    return ", ".join(numbers) + before
