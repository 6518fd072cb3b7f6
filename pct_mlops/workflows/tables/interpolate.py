"""Interpolates the weights of two versions: a * old + (1 - a) * new (BCWI, Schumann et al., arXiv 2301.10546).

This fits a new model that was fine-tuned from the old one. Between models that were trained apart, accuracy collapses
midway.

The weights in between have no BatchNorm statistics of their own. These are estimated on a seeded random part of the
training data of the new version's recipe. The data is not augmented, because the images to be predicted are not either.
The ends of the curve are the two versions as they are, statistics included.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.comparison import Comparison, compare
from pct_mlops.config import EngineConfig, Recipe
from pct_mlops.config.recipe import named_code
from pct_mlops.errors import ConfigError, DataError, RegistryNotFoundError
from pct_mlops.registry import Registry, Version, training_run
from pct_mlops.reports import CurvePoint
from pct_mlops.workflows.runtime.distributed import on_main
from pct_mlops.workflows.runtime.model_weights import classifier_files
from pct_mlops.workflows.runtime.weight_path import WeightPath
from pct_mlops.workflows.training.job import Trained
from pct_mlops.workflows.training.register import predictions_table, publish

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.data import Splits
    from pct_mlops.models import Classifier


@dataclass(frozen=True)
class Interpolation:
    """Result of an interpolation: the curve on val, the point chosen there, and two comparisons on test.

    `replaced` compares old with new, and `mixed` compares old with the chosen model.
    """

    old: str
    new: str
    curve: tuple[CurvePoint, ...]
    chosen: CurvePoint
    replaced: Comparison
    mixed: Comparison
    _made: _Made


@dataclass(frozen=True)
class _Made:
    """Parts that are needed to register the chosen model."""

    registry: Registry
    name: str
    recipe: Recipe
    splits: Splits
    model: Classifier
    logits: dict[str, NDArray[np.float32]]


def choose(curve: Sequence[CurvePoint], tolerance: float) -> CurvePoint:
    """Choose the point with the lowest NFR among those at most `tolerance` below the accuracy of new (share 0).

    Of equal points choose the more accurate one, then the one with less of old.
    """
    (new,) = (point for point in curve if point.share == 0)
    # Rounding must not exclude a point that lies exactly on the limit.
    allowed = [point for point in curve if point.accuracy >= new.accuracy - tolerance - 1e-12]
    return min(allowed, key=lambda point: (point.nfr, -point.accuracy, point.share))


def interpolate(
    old: str,
    new: str,
    *,
    shares: Sequence[float],
    tolerance: float = 0.002,
    batchnorm_batches: int = 50,
    overrides: Sequence[str] = (),
    tracking_uri: str | None = None,
) -> Interpolation | None:
    """Sweep `shares` of the old weights, choose a point on val, and report on test.

    Return the result on the main process, None on the others. Old and new are always on the curve, but old is chosen
    only when 1 is among the shares. All processes share the evaluation, and each estimates the same statistics.
    """
    from pct_mlops.data import load_data
    from pct_mlops.engine import make_accelerator

    check_shares(shares)
    opened: list[Registry] = []
    # Full precision, as in scoring.
    accelerator = make_accelerator(EngineConfig())
    versions, recipe, files = on_main(accelerator, lambda: _fetch(opened, (old, new), overrides, tracking_uri))
    models = _rebuild(versions, files, named_code(overrides))
    splits = load_data(recipe.data, recipe.seed.data)
    architecture = models[0].architecture
    if (architecture.class_names, architecture.image_shape) != (splits.class_names, splits.image_shape):
        raise DataError(
            f"{versions[1].uri} knows other classes or image shapes than {splits.name}: "
            "--set data.name or data.root to its own data."
        )
    path = WeightPath(models, recipe, splits, accelerator, batchnorm_batches)
    curve = path.curve(shares)
    # Old is on the curve for comparison. It may be chosen only where the shares include it.
    chosen = choose([point for point in curve if point.share < 1 or 1 in shares], tolerance)
    model = path.model(chosen.share)
    logits = {split.name: path.predict(model, split) for split in (splits.val, splits.test)}
    tables = {
        name: predictions_table(values, splits.test, splits, model_name=versions[1].name, version=version, uri=uri)
        for name, values, version, uri in (
            ("old", path.predict(path.model(1), splits.test), str(versions[0].version), versions[0].uri),
            ("new", path.predict(path.model(0), splits.test), str(versions[1].version), versions[1].uri),
            ("chosen", logits["test"], f"{versions[1].version} mixed, {chosen.share:g} old", ""),
        )
    }
    if not accelerator.is_main_process:
        return None
    return Interpolation(
        versions[0].uri,
        versions[1].uri,
        curve,
        chosen,
        compare(tables["old"], tables["new"]),
        compare(tables["old"], tables["chosen"]),
        _Made(opened[0], versions[1].name, recipe, splits, model, logits),
    )


def check_shares(shares: Sequence[float]) -> None:
    """Raise ConfigError unless there are shares and each is from 0 to 1."""
    wrong = [share for share in shares if not 0 <= share <= 1]
    if wrong or not shares:
        what = f"{wrong[0]:g} is outside" if wrong else "it is empty"
        raise ConfigError(
            f"The grid holds shares of the old weights from 0 to 1, and {what}: give for example 0,0.25,0.5."
        )


def register(result: Interpolation) -> Version:
    """Register the chosen model under the new version's name and set the alias candidate. Call it on the main process.

    Raises:
        ConfigError: The choice is the old or the new version itself.
    """
    share = result.chosen.share
    if share in (0, 1):
        raise ConfigError(
            f"The choice is {result.old if share else result.new} itself, which is registered already, so nothing was "
            "registered: raise --tolerance, or give a finer --grid."
        )
    made = result._made
    facts = {"update": "interpolate", "update.a": f"{share:g}", "update.old": result.old, "update.new": result.new}
    recipe = made.recipe.model_copy(update={"model_name": made.name})
    with training_run(made.registry, made.name, "interpolate") as run:
        run.log_params(facts)
        for step, point in enumerate(result.curve):
            run.log_metrics({f"curve/{key}": value for key, value in point._asdict().items()}, step)
        mixed = Trained(recipe, made.splits, made.model, made.logits)
        return publish(mixed, run, {f"pct.{key}": value for key, value in facts.items()})


def _fetch(
    opened: list[Registry], references: tuple[str, str], overrides: Sequence[str], tracking_uri: str | None
) -> tuple[list[Version], Recipe, list[tuple[bytes, bytes]]]:
    registry = Registry(tracking_uri)
    opened.append(registry)
    versions = [registry.resolve(reference) for reference in references]
    if versions[0].uri == versions[1].uri:
        raise ConfigError(f"OLD and NEW are both {versions[0].uri}: name two versions.")
    recipe_file: Path | None = registry.download(versions[1], "recipe.yaml")
    if recipe_file is None:
        raise RegistryNotFoundError(
            f"{versions[1].uri} carries no recipe, so its data are unknown: register it with 'pct train'."
        )
    recipe = Recipe.read_stored(recipe_file, overrides, versions[1].uri)
    return versions, recipe, [classifier_files(registry, item) for item in versions]


def _rebuild(
    versions: Sequence[Version], files: Sequence[tuple[bytes, bytes]], named: Collection[str]
) -> tuple[Classifier, Classifier]:
    """Rebuild old and new from their files. Raise PctError when their weights cannot be mixed.

    The records may name the code in `named` as their builder.
    """
    from pct_mlops.models import classifier_from_bytes
    from pct_mlops.models import interpolate_weights as mix

    old, new = (classifier_from_bytes(*parts, item.uri, named) for item, parts in zip(versions, files, strict=True))
    # Fail before the data is read: the first point of the curve would fail only after minutes.
    mix(old, new, 0.5)
    return old, new
