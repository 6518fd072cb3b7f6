"""Sweeps many methods against production, each with several seeds. Nothing is tuned.

The result is a parent run with nested runs, one table and one picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group

from pct_mlops.config import Recipe
from pct_mlops.config.numbers import percent
from pct_mlops.errors import ConfigError, RegistryNotFoundError
from pct_mlops.registry import PRODUCTION, parent_run, read_floor
from pct_mlops.reports import (
    MethodRow,
    SeedResult,
    contrasts,
    render_contrasts,
    render_methods,
    summarise,
)
from pct_mlops.workflows.runtime.distributed import main_process_logger, on_main
from pct_mlops.workflows.studies.deployed_pairs import deployed_pairs
from pct_mlops.workflows.studies.fingerprints import first_inputs
from pct_mlops.workflows.studies.methods_file import NamedMethod
from pct_mlops.workflows.studies.old_model import Old
from pct_mlops.workflows.studies.plan import (
    FIRST_SEED,
    SAME_WEIGHT,
    Member,
    Method,
    chosen_losses,
    digest,
    num_seeds,
    plan_members,
    plan_methods,
    settings,
    weighed,
)
from pct_mlops.workflows.studies.study_files import keep_files, make_folder, seed_result, study_files
from pct_mlops.workflows.studies.sweep_progress import TimeLimit
from pct_mlops.workflows.studies.trials import Bench, TrialResult, failure_of, open_bench

logger = main_process_logger(__name__)


@dataclass(frozen=True)
class Sweep:
    """Result of a sweep: a row for each method, every training, and the notes below the table.

    `num_left` trainings were left for the next start, because the time was up.
    """

    title: str
    rows: list[MethodRow]
    results: list[SeedResult]
    notes: list[str]
    num_left: int = 0


@dataclass(frozen=True)
class _Job:
    bench: Bench
    old: Old
    methods: Sequence[Method]
    named: Sequence[NamedMethod]
    number: int
    output: Path | None
    show: Callable[[Any], None]


def sweep(
    recipe: Recipe,
    losses: str | None,
    *,
    named: Sequence[NamedMethod] = (),
    seeds: str | int = 3,
    minutes: float | None = None,
    warm_start: bool = False,
    controls: bool = True,
    output: Path | None = None,
    tracking_uri: str | None = None,
    show: Callable[[Any], None] = print,
) -> Sweep | None:
    """Train every loss of 'none,kl,...' and every named method with `seeds` seeds, on all processes.

    Return the result on the main process only. Trainings that an earlier start of the same sweep completed are kept. No
    version is registered and no alias moves. After `minutes` no further training begins, and the table holds what is
    complete. When a training fails, PctError names it after the others are done and the table is written.
    """
    number, limit = num_seeds(seeds), TimeLimit(minutes)
    methods = _of_losses(recipe, losses, named, warm_start=warm_start, controls=controls)
    bench = open_bench(recipe, tracking_uri)
    session, accelerator = bench.session, bench.session.accelerator
    needs_share = any(method.control == SAME_WEIGHT for method in methods)
    old = on_main(accelerator, lambda: _read_old(recipe, bench, needs_share))
    methods = [weighed(method, old.share or 0.0) for method in methods]
    planned = plan_members(recipe, methods, number, purpose="sweep", old_uri=old.uri, teacher_uri=old.production)
    members = first_inputs([*planned, *_of_names(named, number, old)], old, session)
    on_main(accelerator, lambda: make_folder(output))
    logger.info(
        f"{len(members)} training(s): {len(members) // number} method(s) with {number} seed(s), measured against "
        f"{old.uri} (accuracy {percent(old.accuracy)} on {old.num_examples:,} test examples)."
    )
    with ExitStack() as stack:
        on_main(accelerator, lambda: _open_parent(stack, bench, recipe, old))
        outcomes = bench.run(members, limit)
        job = _Job(bench, old, methods, named, number, output, show)
        found = on_main(accelerator, lambda: _conclude(job, outcomes))
        problem = failure_of(outcomes, "the same command does these again and keeps the rest")
        if problem is not None:
            raise problem
    return found if session.is_main else None


def _of_losses(
    recipe: Recipe, losses: str | None, named: Sequence[NamedMethod], *, warm_start: bool, controls: bool
) -> list[Method]:
    """Return the methods of the losses. None are needed where there are named methods."""
    from pct_mlops.losses import PRESETS, loss_names

    if named and losses is None:
        return []
    # 'all' means the built-in losses. Those of plugins are swept when they are named.
    known = list(PRESETS) if (losses or "").strip() == "all" else loss_names()
    methods = plan_methods(recipe, chosen_losses(losses, known), warm_start=warm_start, controls=controls)
    taken = {method.name for method in methods} & {one.name for one in named}
    if taken:
        raise ConfigError(f"--losses makes a row '{min(taken)}' as well: give the one in --methods another name.")
    return methods


def _of_names(named: Sequence[NamedMethod], number: int, old: Old) -> list[Member]:
    return [
        member
        for one in named
        if one.recipe is not None
        for member in plan_members(
            one.recipe,
            [Method(one.recipe.objective.loss, one.recipe.objective, title=one.name)],
            number,
            purpose="sweep",
            old_uri=old.uri,
            teacher_uri=old.production,
        )
    ]


def _read_old(recipe: Recipe, bench: Bench, needs_share: bool) -> Old:
    old = bench.read_old(recipe, "A sweep")
    if not needs_share:
        return old
    if "val" not in bench.old:
        raise RegistryNotFoundError(
            f"{old.uri} carries no predictions on val, which the weights of the controls need: make them with "
            f"'pct score {old.uri.removeprefix('models:/')} --split val', or sweep with --no-controls."
        )
    return replace(old, share=bench.old["val"].accuracy())


def _open_parent(stack: ExitStack, bench: Bench, recipe: Recipe, old: Old) -> None:
    """Open the one parent run of this recipe and old version. It collects the losses and seeds of all such sweeps."""
    from pct_mlops.workflows.training.train import flat

    registry = bench.session.registry
    assert registry is not None
    key = digest(recipe, "sweep", old.uri, seeds=False)
    bench.parent = stack.enter_context(parent_run(registry, recipe.model_name, "sweep", key))
    bench.parent.log_params(flat(settings(recipe, seeds=False)))
    bench.parent.set_tags({"pct.baseline": old.uri})


def _conclude(job: _Job, outcomes: Sequence[TrialResult]) -> Sweep:
    """Summarise the results, write and show them. Call it on the main process only."""
    assert job.bench.parent is not None
    done = [outcome for outcome in outcomes if outcome.metrics is not None or outcome.error]
    left = len(outcomes) - len(done)
    results = [seed_result(outcome, "test") for outcome in done]
    results = deployed_pairs(job.bench, done, job.named, results)
    name = outcomes[0].member.recipe.model_name
    title = f"{name}: methods against {job.old.uri}"
    notes = _notes(job, name, partial=bool(left))
    if left:
        notes.append(f"{left} of {len(outcomes)} trainings are left: the same command continues.")
    found = Sweep(title, summarise(results), results, notes, left)
    files = study_files(found.rows, found.results, found.title, found.notes)
    keep_files(files, job.bench.parent, "sweep", job.output)
    job.show(Group(render_methods(found.rows, found.title, found.notes), *render_contrasts(contrasts(results))))
    return found


def _notes(job: _Job, name: str, *, partial: bool) -> list[str]:
    registry, old, number = job.bench.session.registry, job.old, job.number
    assert registry is not None
    last = FIRST_SEED + number - 1
    seeds = (
        f"{number} seeds ({FIRST_SEED} to {last})" if number > 1 else f"1 seed ({last}), which says nothing about noise"
    )
    seeds = f"up to {seeds}" if partial else seeds
    notes = [
        f"Mean ± standard deviation over {seeds}, on the {old.num_examples:,} test examples; {old.uri} has accuracy "
        f"{percent(old.accuracy)}. Test is read for this report only: no number of a loss was chosen on it."
    ]
    floor = read_floor(registry, name, old.digest)
    if floor is not None:
        notes.append(f"For comparison: {floor.sentence}.")
    if any(method.control for method in job.methods):
        text = "Controls: the shuffled focus gives as many examples of each class more weight, at random"
        if old.share is not None:
            text += f"; without focus all weigh the same, base + scale × {old.share:.4f} (accuracy of {old.uri} on val)"
        notes.append(f"{text}.")
    now = registry.find(name, PRODUCTION)
    if now is not None and now.name == name and now.uri != old.uri:
        notes.append(f"Production is {now.uri} by now; all of this was measured against {old.uri}.")
    return notes
