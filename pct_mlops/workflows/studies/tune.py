"""Tries settings of a recipe and chooses one by a wish. All is measured on val, and test stays unread.

An untreated update (cross-entropy from random weights) is trained beside them, since a wish compares with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pct_mlops.config import Recipe
from pct_mlops.config.numbers import percent, points
from pct_mlops.errors import RegistryNotFoundError
from pct_mlops.registry import parent_run
from pct_mlops.reports import MethodRow, SeedResult, render_methods, summarise
from pct_mlops.workflows.runtime.distributed import main_process_logger, on_main
from pct_mlops.workflows.studies.fingerprints import first_inputs
from pct_mlops.workflows.studies.grid import Measured, Wish, choose_setting, settings_of
from pct_mlops.workflows.studies.methods_file import check_same_measure
from pct_mlops.workflows.studies.old_model import Old
from pct_mlops.workflows.studies.plan import COLD, LONGER, Member, Method, digest, num_seeds, plan_members
from pct_mlops.workflows.studies.study_files import keep_files, make_folder, seed_result, study_files
from pct_mlops.workflows.studies.trials import Bench, TrialResult, failure_of, open_bench

logger = main_process_logger(__name__)

CHOSEN = "chosen.yaml"


@dataclass(frozen=True)
class Tuning:
    """Result of a tuning.

    Attributes:
        rows: A row for each setting and for the untreated update, measured on val.
        results: Every training.
        chosen: The name of the setting that meets the wish best, None where none meets it.
        recipe: The whole recipe of the chosen setting as YAML, "" where there is none.
        sentence: What was chosen and why.
    """

    rows: list[MethodRow]
    results: list[SeedResult]
    chosen: str | None
    recipe: str
    sentence: str


@dataclass(frozen=True)
class _Plan:
    """The recipes by the name of their setting, and the members to train: the untreated updates, then the settings."""

    recipes: dict[str, Recipe]
    members: list[Member]


def tune(
    file: str | Path,
    grids: Sequence[str],
    *,
    overrides: Sequence[str] = (),
    wish: Wish,
    seeds: str | int = 1,
    output: Path | None = None,
    tracking_uri: str | None = None,
    show: Callable[[Any], None] = print,
) -> Tuning | None:
    """Train every combination of `grids` on all processes. Return the result on the main one, None on the others.

    Trainings that an earlier start completed are kept. No version is registered and no alias moves.

    Args:
        file: The recipe file.
        grids: Values to try, as 'objective.mix=0.05,0.15'.
        overrides: Changes of the recipe that all settings share.
        wish: What to choose the setting for.
        seeds: The number of trainings of each setting.
        output: A folder for the tables, the picture and the chosen recipe.
        tracking_uri: The registry.
        show: Prints the table.

    Raises:
        PctError: A setting is not possible, or a training failed.
    """
    number, tried = num_seeds(seeds), settings_of(grids)
    recipes = {one.name: Recipe.read(file, [*overrides, *one.words]) for one in tried}
    recipe = Recipe.read(file, overrides)
    _check_measure(recipe, recipes)
    bench = open_bench(recipe, tracking_uri, measured=("val",))
    session, accelerator = bench.session, bench.session.accelerator
    old = on_main(accelerator, lambda: _read_old(recipe, bench))
    plan = _plan(recipe, recipes, number, old)
    members = first_inputs(plan.members, old, session)
    on_main(accelerator, lambda: _clear(output))
    logger.info(
        f"{len(members)} training(s): {len(tried)} setting(s) and the untreated update with {number} seed(s), measured "
        f"on val against {old.uri}."
    )
    with ExitStack() as stack:
        on_main(accelerator, lambda: _open_parent(stack, bench, recipe, old))
        outcomes = bench.run(members)
        problem = failure_of(outcomes, "the same command does these again and keeps the rest")
        if problem is not None:
            raise problem
        found = on_main(accelerator, lambda: _conclude(outcomes, plan, wish))
        on_main(accelerator, lambda: _keep(bench, found, f"{recipe.model_name}: settings on val", output, show))
    return found if session.is_main else None


def _read_old(recipe: Recipe, bench: Bench) -> Old:
    old = bench.read_old(recipe, "A tuning")
    if "val" not in bench.old:
        raise RegistryNotFoundError(
            f"{old.uri} carries no predictions on val, on which settings are chosen: make them with "
            f"'pct score {old.uri.removeprefix('models:/')} --split val'."
        )
    return replace(old, val_digest=bench.old["val"].info.digest)


def _clear(output: Path | None) -> None:
    """Make the folder, without the choice of an earlier tuning: this one may make none."""
    make_folder(output)
    if output is not None:
        (output / CHOSEN).unlink(missing_ok=True)


def _check_measure(recipe: Recipe, recipes: dict[str, Recipe]) -> None:
    for name, one in recipes.items():
        check_same_measure(recipe, one, f"The setting '{name}'")


def _plan(recipe: Recipe, recipes: dict[str, Recipe], number: int, old: Old) -> _Plan:
    """Plan the untreated update, with more epochs as well where a setting starts from other weights, and all settings.

    The untreated update has random weights and cross-entropy alone. Its other settings are the recipe's.
    """
    none = recipe.objective.of_loss("none")
    planned = plan_members(
        recipe, [Method("none", none, start=COLD)], number, purpose="tune", old_uri=old.uri, teacher_uri=old.production
    )
    tried = [
        member
        for name, one in recipes.items()
        for member in plan_members(
            one,
            [Method(one.objective.loss, one.objective, name)],
            number,
            purpose="tune",
            old_uri=old.uri,
            teacher_uri=old.production,
        )
    ]
    if any(member.recipe.model.starts_from for member in tried):
        longer = Method("none", none, start=COLD, length=LONGER)
        planned += plan_members(recipe, [longer], number, purpose="tune", old_uri=old.uri, teacher_uri=old.production)
    return _Plan(recipes, planned + tried)


def _open_parent(stack: ExitStack, bench: Bench, recipe: Recipe, old: Old) -> None:
    registry = bench.session.registry
    assert registry is not None
    key = digest(recipe, "tune", old.uri, seeds=False)
    bench.parent = stack.enter_context(parent_run(registry, recipe.model_name, "tune", key))
    bench.parent.set_tags({"pct.baseline": old.uri})


def _conclude(outcomes: Sequence[TrialResult], plan: _Plan, wish: Wish) -> Tuning:
    """Summarise the trainings on val and choose. Call it on the main process only."""
    results = [seed_result(outcome, "val") for outcome in outcomes]
    rows = summarise(results)
    measured = [_measured(row) for row in rows]
    untreated = measured[0]
    names = {_title(one, name): name for name, one in plan.recipes.items()}
    chosen = choose_setting([one for one in measured if one.name in names], untreated, wish)
    if chosen is None:
        return Tuning(rows, results, None, "", f"No setting of these gives {wish.sentence}: try others with --try.")
    recipe = yaml.safe_dump(plan.recipes[names[chosen.name]].model_dump(mode="json"), sort_keys=False)
    change = points(chosen.accuracy - untreated.accuracy)
    flips = f", {1 - chosen.nfr / untreated.nfr:.0%} below it" if 0 < chosen.nfr < untreated.nfr else ""
    sentence = (
        f"Chosen for {wish.sentence}: {chosen.name}, with {percent(chosen.accuracy)} accuracy on val ({change} against "
        f"the untreated update) and NFR {percent(chosen.nfr)} ({percent(untreated.nfr)} untreated{flips})."
    )
    return Tuning(rows, results, chosen.name, recipe, sentence)


def _keep(bench: Bench, found: Tuning, title: str, output: Path | None, show: Callable[[Any], None]) -> None:
    """Write the files and show the table. Call it on the main process only."""
    assert bench.parent is not None
    notes = [
        "All numbers are of val, where the chosen setting looks better than it is: judge it on test with pct gate.",
        found.sentence,
    ]
    files = study_files(found.rows, found.results, title, notes)
    if found.recipe:
        files[CHOSEN] = found.recipe
    # One parent holds all tunings of a recipe, each with files of its own.
    number = hashlib.sha256(repr(([row.method for row in found.rows], found.sentence)).encode()).hexdigest()[:8]
    keep_files(files, bench.parent, f"tune/{number}", output)
    show(render_methods(found.rows, title, notes))
    if output and found.recipe:
        show(f"Next: pct train {output / CHOSEN}")


def _title(recipe: Recipe, name: str) -> str:
    return Method(recipe.objective.loss, recipe.objective, name).name


def _measured(row: MethodRow) -> Measured:
    accuracy, nfr = row.spreads["accuracy"].mean, row.spreads["nfr"].mean
    if accuracy is None or nfr is None:
        raise RegistryNotFoundError(
            f"'{row.method}' has no NFR on val, because production was scored on other examples: choose the data of "
            "production, or score it on these with 'pct score --split val'."
        )
    return Measured(row.method, accuracy, nfr)
