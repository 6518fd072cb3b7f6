"""One of several processes that run trainings of a sweep, all but the last of which fail: `errors_worker.py CASES OUT`.

What the trainings would do is replaced, so no registry and no data are needed; what remains is how errors travel.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import click
from accelerate.utils import broadcast_object_list

from pct_mlops.cli import main as command
from pct_mlops.cli.main import pct
from pct_mlops.config import EngineConfig, Recipe, SeedConfig
from pct_mlops.engine import make_accelerator
from pct_mlops.errors import DataError, PctError
from pct_mlops.registry import Registry, training_run
from pct_mlops.workflows.runtime import distributed
from pct_mlops.workflows.runtime.distributed import on_all, on_main
from pct_mlops.workflows.runtime.session import Session
from pct_mlops.workflows.studies import trials
from pct_mlops.workflows.studies.plan import Member, Method

RECIPE = Recipe(model_name="digits")


class Child:
    """A run that is written nowhere."""

    run_id = "run"

    def set_tags(self, tags):
        pass


def failing(case, rank, accelerator):
    """What a training does that fails: its PctError is met by the processes that `case` names."""

    def fail():
        raise DataError(f"It fails ({case}).")

    try:
        if case == "main work":
            on_main(accelerator, fail)
        elif case == "work of one":
            on_all(accelerator, fail if rank == 1 else lambda: None)
    except PctError as error:
        if type(error) is not DataError:
            raise RuntimeError("its class was lost on the way to the other process") from error
        raise
    if case == "alike" or case == f"alone {rank}":
        fail()


def bench(case, accelerator):
    """The outcomes of a training for each of these cases and of one that goes well, as this process has them."""
    kinds = [*case.split(", "), "well"]

    def train_once(recipe, session, *, run=None):
        failing(kinds[recipe.seed.model], accelerator.process_index, accelerator)
        # A training is full of these.
        assert on_main(accelerator, lambda: recipe.seed.model) == recipe.seed.model
        broadcast_object_list([None])
        return SimpleNamespace(num_epochs=1)

    trials.train_once = train_once
    trials.close_child = lambda *rest: None
    measured = trials.Bench(Session(accelerator, None))
    measured._find = lambda member: None
    measured._open = lambda member, opened: opened.append(Child())
    measured._record = lambda member, trained, child, seconds: ({"test/accuracy": 1.0}, "run")
    method = Method("none", RECIPE.objective)
    recipes = {seed: RECIPE.model_copy(update={"seed": SeedConfig(model=seed)}) for seed in range(len(kinds))}
    return measured.run([Member(method, seed, recipe, str(seed)) for seed, recipe in recipes.items()])


def with_run(folder, accelerator):
    """The main process has a run open and is busy when the other one fails."""
    if not accelerator.is_main_process:
        broadcast_object_list([None])  # the run is open
        raise PctError("It fails (with run).")
    with training_run(Registry(f"sqlite:///{folder / 'mlflow.db'}", create=True), "digits", "none"):
        broadcast_object_list([None])
        time.sleep(60)  # it computes, and does not notice that the other one is gone


@pct.command()
@click.argument("cases")
@click.argument("folder", type=Path)
def errors(cases: str, folder: Path) -> None:
    """Write what each process found; or fail on all, where the main one takes its time to end."""
    accelerator = make_accelerator(EngineConfig(cpu=True))
    if cases == "with run":
        with_run(folder, accelerator)
    if cases != "slow main":
        found = [[outcome.error, outcome.metrics] for outcome in bench(cases, accelerator)]
        (folder / f"{accelerator.process_index}.json").write_text(json.dumps(found))
        return
    try:
        failing("main work", 0, accelerator)
    finally:
        if accelerator.is_main_process:
            time.sleep(0.5)  # as closing runs does
            (folder / "closed").touch()


if __name__ == "__main__":
    alone = sys.argv[1].startswith(("alone", "with run"))  # the only ones that wait for what does not come
    distributed.AGREEMENT = distributed.GOODBYE = timedelta(seconds=1 if alone else 20)
    sys.argv[1:1] = ["errors"]
    sys.exit(command())
