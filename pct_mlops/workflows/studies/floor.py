"""Measures the floor: what retraining alone flips.

One recipe is trained with several seeds, and every pair of the trained models is compared.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.comparison import compare
from pct_mlops.config import Recipe
from pct_mlops.errors import ConfigError, RegistryNotFoundError
from pct_mlops.predictions.member_counts import save_counts
from pct_mlops.registry import (
    FLOOR_FOLDER,
    MEMBERS_FILE,
    PRODUCTION,
    Floor,
    Registry,
    Version,
    is_reference,
    parent_run,
    store_floor,
)
from pct_mlops.reports import REPORT_VERSION, render_floor
from pct_mlops.reports.methods import spread
from pct_mlops.workflows.runtime.atomic_files import write_json
from pct_mlops.workflows.runtime.distributed import main_process_logger, on_main
from pct_mlops.workflows.studies.fingerprints import first_inputs
from pct_mlops.workflows.studies.old_model import Old
from pct_mlops.workflows.studies.plan import Method, digest, num_seeds, plan_members
from pct_mlops.workflows.studies.trials import Bench, TrialResult, failure_of, open_bench
from pct_mlops.workflows.training.preset_sections import preset_teacher, with_preset

if TYPE_CHECKING:
    from pct_mlops.predictions import Predictions

logger = main_process_logger(__name__)

Report = dict[str, Any]


def measure_floor(
    reference: str | None,
    *,
    seeds: str | int = 5,
    overrides: Sequence[str] = (),
    tracking_uri: str | None = None,
    show: Callable[[Any], None] = print,
) -> Floor | None:
    """Retrain a recipe with `seeds` seeds on all processes. Return the floor on the main one, None on the others.

    `reference` is a recipe file, or a version whose own recipe is used. None means the only version in production of
    the whole registry. Trainings that an earlier start completed are kept. The floor is stored with the registered
    model, the report with a run.
    """
    number = num_seeds(seeds, least=2)
    recipe, origin, taught_by = read_recipe(reference, overrides, tracking_uri)
    bench = open_bench(recipe, tracking_uri)
    session, accelerator = bench.session, bench.session.accelerator
    old = on_main(accelerator, lambda: _read_old(recipe, bench, origin))
    method = Method(recipe.objective.loss, recipe.objective)
    planned = plan_members(
        recipe, [method], number, purpose="floor", old_uri=old.uri, teacher_uri=taught_by, ref_is_old=False
    )
    members = first_inputs(planned, old, session)
    logger.info(f"{number} retrainings of {old.uri} ({recipe.objective.loss}, {recipe.model.name}) with other seeds.")
    found: list[Floor] = []
    with ExitStack() as stack:
        on_main(accelerator, lambda: _open_parent(stack, bench, recipe, old))
        outcomes = bench.run(members)
        problem = failure_of(outcomes, "no floor is stored; the same command does these again and keeps the rest")
        if problem is not None:
            raise problem
        on_main(accelerator, lambda: found.append(_conclude(bench, outcomes, recipe, old, show)))
    return found[0] if found else None


def read_recipe(reference: str | None, overrides: Sequence[str], tracking_uri: str | None) -> tuple[Recipe, str, str]:
    """Return the recipe, its version, and the version that was in production when it was trained.

    The last is "" where neither teacher nor start was production. Both are "" for a recipe file. Every process reads
    the recipe, because they cannot be joined before it says what they run on.
    """
    if reference is not None and not is_reference(reference):
        return Recipe.read(reference, overrides), "", ""
    registry = Registry(tracking_uri)
    version = registry.resolve(reference) if reference else _only_production(registry)
    file = registry.download(version, "recipe.yaml")
    if file is None:
        raise RegistryNotFoundError(f"{version.uri} carries no recipe: give the recipe file that it was trained with.")
    if version.tags.get("pct.loss") == "ensemble":
        raise ConfigError(
            f"{version.uri} is the mean of several models, which no recipe trains: measure the floor of a member."
        )
    recipe = Recipe.read_stored(file, [f"model_name={version.name}", *overrides], version.uri, whole=True)
    then = production_then(recipe, version.tags)
    if recipe.model.init == PRODUCTION and not then:
        raise ConfigError(
            f"{version.uri} started from the weights of what was in production then: name that version, "
            "as in --set model.init=NAME/NUMBER."
        )
    return recipe, version.uri, then


def production_then(recipe: Recipe, tags: Mapping[str, str]) -> str:
    """Return the version that "production" meant to the teacher or the start of a recipe, "" where it has neither.

    Production may be another version by now. `tags` are those of the version that the recipe made: `pct.init` is the
    model that it started from, and `pct.teacher` the models that it learnt from, joined by " + " in the order of the
    recipe.
    """
    started = tags.get("pct.init", "")
    if recipe.model.init == PRODUCTION and is_reference(started):
        return started
    config = preset_teacher(recipe.teacher, recipe.objective.loss)
    named = [part.ref for part in config.refs] or [config.ref or ("" if config.num_members else PRODUCTION)]
    found = dict(zip(named, tags.get("pct.teacher", "").split(" + "), strict=False)).get(PRODUCTION, "")
    return found if is_reference(found) else ""


def between_equals(tables: dict[int, Predictions]) -> list[Report]:
    """Return the NFR of every ordered pair of tables: each seed is once the old and once the new model of a pair."""
    pairs = []
    for (one, left), (two, right) in itertools.combinations(tables.items(), 2):
        comparison = compare(left, right)
        # A negative flip in one direction is a positive flip in the other.
        pairs.append({"old": one, "new": two, "nfr": comparison.estimate("nfr").value})
        pairs.append({"old": two, "new": one, "nfr": comparison.estimate("pfr").value})
    return pairs


def _only_production(registry: Registry) -> Version:
    found = [version for name in registry.models() if (version := registry.find(name, PRODUCTION)) is not None]
    if len(found) != 1:
        names = ", ".join(f"{version.name}@{PRODUCTION}" for version in found[:5]) or "none"
        raise ConfigError(
            f"The registry has {len(found)} models in production ({names}): name one, as in "
            "'pct floor NAME@production', or give a recipe file."
        )
    return found[0]


def _read_old(recipe: Recipe, bench: Bench, origin: str) -> Old:
    plain = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"ref": origin or None})})
    return bench.read_old(plain, "The floor")


def _open_parent(stack: ExitStack, bench: Bench, recipe: Recipe, old: Old) -> None:
    registry = bench.session.registry
    assert registry is not None
    key = digest(recipe, "floor", old.uri, seeds=False)
    bench.parent = stack.enter_context(parent_run(registry, recipe.model_name, "floor", key))
    bench.parent.set_tags({"pct.baseline": old.uri})


def _conclude(
    bench: Bench, outcomes: Sequence[TrialResult], recipe: Recipe, old: Old, show: Callable[[Any], None]
) -> Floor:
    """Compare all pairs, store the floor and show it. Call it on the main process only."""
    parent = bench.parent
    assert parent is not None
    tables = {outcome.member.seed: bench.table(outcome) for outcome in outcomes}
    pairs = between_equals(tables)
    values = [pair["nfr"] for pair in pairs]
    over = spread(values)
    assert over.mean is not None  # test is never empty
    floor = Floor(
        digest=old.digest,
        num_seeds=len(outcomes),
        mean=over.mean,
        std=over.std,
        max=max(values),
        values=tuple(round(value, 9) for value in values),
        recipe_digest=_identity(recipe),
        same_recipe=_is_recipe_of(parent.registry, old, recipe),
        version=old.version,
        when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        run_id=parent.run_id,
    )
    report = _report(floor, outcomes, old, pairs)
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "floor.json", report)
        save_counts(bench.old["test"], list(tables.values()), Path(folder) / MEMBERS_FILE)
        parent.log_files(Path(folder), FLOOR_FOLDER)
    parent.log_metrics({"test/floor_nfr": floor.mean, "test/floor_nfr_max": floor.max}, 0)
    store_floor(parent.registry, recipe.model_name, floor)
    show(render_floor(report))
    return floor


def _is_recipe_of(registry: Registry, old: Old, recipe: Recipe) -> bool:
    """Tell whether the old model was trained by this recipe, apart from seeds."""
    file = registry.download(registry.resolve(old.uri), "recipe.yaml")
    if file is None:
        return False
    return _identity(Recipe.read(file, [f"model_name={recipe.model_name}"])) == _identity(recipe)


def _identity(recipe: Recipe) -> str:
    """Return a digest that is equal for recipes that differ in seeds only.

    The loss's own teacher and start are filled in first, because a version's recipe spells them out and a recipe file
    may not.
    """
    return digest(with_preset(recipe), seeds=False)


def _report(floor: Floor, outcomes: Sequence[TrialResult], old: Old, pairs: list[Report]) -> Report:
    metrics = [(outcome.member.seed, outcome.metrics or {}) for outcome in outcomes]
    return {
        "report_version": REPORT_VERSION,
        "kind": "floor",
        "baseline": old.uri,
        "num_examples": old.num_examples,
        "digest": floor.digest,
        "recipe_digest": floor.recipe_digest,
        "same_recipe": floor.same_recipe,
        "num_seeds": floor.num_seeds,
        "mean": floor.mean,
        "std": floor.std,
        "max": floor.max,
        "when": floor.when,
        "pairs": pairs,
        "against_baseline": [
            {"seed": seed, **{key: values[f"test/{key}"] for key in ("accuracy", "nfr", "pfr", "relative_nfr")}}
            for seed, values in metrics
        ],
    }
