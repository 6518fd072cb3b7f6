"""Registers the mean of several versions as one version, which is served, gated and promoted like any other.

The version holds one exported graph with all members inside. Its tables on val and test are the means of the members'
tables where these fit together. Otherwise the mean is scored on the data of the recipe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pct_mlops.config import EngineConfig, Recipe
from pct_mlops.config.recipe import named_code
from pct_mlops.errors import ConfigError, DataError, PctError, RegistryNotFoundError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.mean_logits import weighted_mean
from pct_mlops.registry import PRODUCTION, Registry, Version, training_run
from pct_mlops.reports import ServingCost
from pct_mlops.workflows.runtime.distributed import main_process_logger, on_main
from pct_mlops.workflows.runtime.model_weights import Weights, classifier_files
from pct_mlops.workflows.runtime.predict_split import logits_of
from pct_mlops.workflows.runtime.stored_tables import stored_table
from pct_mlops.workflows.tables.measure_cost import serving_costs
from pct_mlops.workflows.training.register import predictions_table, register_classifier, store_thumbnails

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pct_mlops.data import Splits
    from pct_mlops.models import LogitMean

logger = main_process_logger(__name__)
SPLITS = ("val", "test")


@dataclass(frozen=True)
class RegisteredEnsemble:
    """A version that holds the mean of others.

    Attributes:
        version: The new version, which has the alias candidate.
        members: Address and share of each model in the mean. The shares add up to 1.
        shares: Shares of the versions that were named, in their order.
        costs: What the named versions and the mean cost to serve, the mean last. They were measured together.
        reference: Place of production among `costs`, or 0 where it was not named.
        accuracy: Accuracy on val and test.
    """

    version: Version
    members: tuple[tuple[str, float], ...]
    shares: tuple[float, ...]
    costs: tuple[ServingCost, ...]
    reference: int
    accuracy: dict[str, float]


@dataclass(frozen=True)
class _Named:
    """The versions that were named, with their weights and files, and the recipe of their mean.

    Attributes:
        versions: In the order in which they were named.
        weights: One for each version.
        files: What each version is rebuilt from.
        recipe: The recipe of the mean.
        donor: Place of the version that the recipe comes from.
        same_data: Whether the recipe still names the data that this version was scored on.
    """

    versions: tuple[Version, ...]
    weights: tuple[float, ...]
    files: tuple[Weights, ...]
    recipe: Recipe
    donor: int
    same_data: bool


def register_ensemble(
    references: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    overrides: Sequence[str] = (),
    tracking_uri: str | None = None,
) -> RegisteredEnsemble | None:
    """Register the weighted mean of the logits of versions as a version, and set the alias candidate to it.

    The new version belongs to the registered model of the first reference. Its recipe, which names the data that it is
    scored on, is that of the last reference of this model. A version that is a mean itself is replaced by its members.
    On several processes, all of them share the scoring.

    Args:
        references: At least two versions (`shop@production`, `shop/3`) that were trained with this package.
        weights: A positive number for each. None means that all weigh the same.
        overrides: Changes of the recipe as 'dotted.key=value', for example where its data lie on this machine.
        tracking_uri: Of the registry. None means MLFLOW_TRACKING_URI.

    Returns:
        The version and what it costs. On processes other than the main one, None.

    Raises:
        PctError: A version cannot be rebuilt, the members do not fit together, or the data are not at hand.

    Example:
        >>> from pct_mlops import register_ensemble
        >>> register_ensemble(["pets@production", "pets@candidate"], tracking_uri="sqlite:///nowhere.db")
        Traceback (most recent call last):
            ...
        pct_mlops.errors.RegistryUnavailableError: There is no registry at sqlite:///nowhere.db: ...
    """
    from pct_mlops.engine import make_accelerator
    from pct_mlops.models import Part, mean_of_models

    given = checked_weights(references, weights)
    # Full precision, as in scoring.
    accelerator = make_accelerator(EngineConfig())
    opened: list[Registry] = []
    named = on_main(accelerator, lambda: _fetch(opened, references, given, overrides, tracking_uri))
    models = [files.build() for files in named.files]
    parts = [Part(*item) for item in zip((v.uri for v in named.versions), given, models, strict=True)]
    mean = mean_of_models(parts, models[named.donor].architecture.class_names)
    tables, splits = _tables(mean, named, opened, accelerator)
    if not accelerator.is_main_process:
        return None
    titles = [version.uri for version in named.versions]
    costs = serving_costs({**dict(zip(titles, models, strict=True)), "the mean": mean})
    version = _publish(mean, opened[0], named, tables, splits, costs=costs)
    total = sum(given)
    inside = sum(part.weight for part in mean.parts)
    return RegisteredEnsemble(
        version,
        tuple((part.source, part.weight / inside) for part in mean.parts),
        tuple(weight / total for weight in given),
        (*costs[:-1], costs[-1]._replace(title=version.uri)),
        _reference(named.versions),
        {split: float(version.tags[f"pct.{split}/accuracy"]) for split in SPLITS},
    )


def checked_weights(references: Sequence[str], weights: Sequence[float] | None) -> tuple[float, ...]:
    """Return one weight for each reference. Raise ConfigError for fewer than two references, or unfit weights."""
    if len(references) < 2:
        raise ConfigError("An ensemble has at least two members: name for example shop@production shop@candidate.")
    if weights is None:
        return (1.0,) * len(references)
    if len(weights) != len(references):
        raise ConfigError(
            f"There are {len(references)} members and {len(weights)} weights: give one weight for each member."
        )
    wrong = next((weight for weight in weights if not (math.isfinite(weight) and weight > 0)), None)
    if wrong is not None:
        raise ConfigError(f"The weight of a member is a positive number, and {wrong:g} is not: leave that member out.")
    return tuple(float(weight) for weight in weights)


def _fetch(
    opened: list[Registry],
    references: Sequence[str],
    weights: tuple[float, ...],
    overrides: Sequence[str],
    tracking_uri: str | None,
) -> _Named:
    """Read what the versions carry. Call it on the main process, which keeps the registry in `opened`."""
    registry = Registry(tracking_uri)
    opened.append(registry)
    versions = tuple(registry.resolve(reference) for reference in references)
    uris = [version.uri for version in versions]
    twice = next((uri for uri in uris if uris.count(uri) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is named twice: name each version once, and say with weights how much it counts.")
    code = named_code(overrides)
    files = tuple(Weights(version.uri, *_files_of(registry, version), code) for version in versions)
    donor = max(place for place, version in enumerate(versions) if version.name == versions[0].name)
    source = versions[donor]
    file = registry.download(source, "recipe.yaml")
    if file is None:
        raise RegistryNotFoundError(
            f"{source.uri} carries no recipe, so its data are unknown: name a version that 'pct train' registered."
        )
    recipe = Recipe.read_stored(file, overrides, source.uri).model_copy(update={"model_name": source.name})
    return _Named(versions, weights, files, recipe, donor, same_data=Recipe.read(file).data == recipe.data)


def _files_of(registry: Registry, version: Version) -> tuple[bytes, bytes]:
    try:
        return classifier_files(registry, version)
    except RegistryNotFoundError as error:
        raise error.reworded(
            f"{version.uri} carries no architecture record with weights, so it cannot be a member of a served model: "
            "name versions that 'pct train' registered, or average tables with 'pct ensemble mean.parquet ...'."
        ) from error


def _tables(
    mean: LogitMean, named: _Named, opened: Sequence[Registry], accelerator: Accelerator
) -> tuple[dict[str, Predictions], Splits | None]:
    """Return the mean's tables on val and test, and the data if they had to be scored. Call it on all processes."""
    tables: dict[str, Predictions] = {}

    def average() -> list[str]:
        tables.update(_means_of_tables(opened[0], named))
        return [split for split in SPLITS if split not in tables]

    lacking = on_main(accelerator, average)
    if not lacking:
        return tables, None
    splits = _data(mean, named)
    for split in (part for part in (splits.val, splits.test) if part.name in lacking):
        batch_size, title = named.recipe.engine.eval_batch_size, f"score {split.name}"
        logits = logits_of(mean, split, named.recipe.data, accelerator, batch_size=batch_size, title=title)
        tables[split.name] = predictions_table(logits, split, splits, model_name=named.recipe.model_name)
    return tables, splits


def _means_of_tables(registry: Registry, named: _Named) -> dict[str, Predictions]:
    """Return the mean of the versions' tables for each split where they fit together. Say why for the others."""
    found = {}
    for split in SPLITS:
        reason = "the recipe's data were changed" if not named.same_data else ""
        stored = [] if reason else [stored_table(registry.files(version), split) for version in named.versions]
        try:
            tables = [Predictions.load(path) for path in stored if path is not None]
            reason = reason or _why_not_averaged(tables, named.files)
            if not reason:
                found[split] = weighted_mean(tables, named.weights)
        except PctError as error:
            reason = f"the stored tables are of no use: {str(error).rstrip('.')}"
        if reason:
            logger.info(f"{split} is scored, because {reason}.")
    return found


def _why_not_averaged(tables: Sequence[Predictions], files: Sequence[Weights]) -> str:
    """Return why the mean of these tables is not the table of the models' mean. Return "" when it is."""
    if len(tables) < len(files):
        return "not every member carries its predictions"
    infos = [table.info for table in tables]
    if any("logits" not in info.columns or info.predictions_stated for info in infos):
        return "not every member's table holds logits"
    if any(info.weights != weights.digest for info, weights in zip(infos, files, strict=True)):
        return "not every member's table is tied to its weights"
    if len({(info.digest, info.preprocessing) for info in infos}) > 1:
        return "the members' tables are about other examples, classes or images"
    return ""


def _data(mean: LogitMean, named: _Named) -> Splits:
    """Load the data of the recipe. Raise DataError when the mean does not fit them."""
    from pct_mlops.data import load_data

    splits = load_data(named.recipe.data, named.recipe.seed.data)
    record = mean.architecture
    if (record.class_names, record.image_shape) != (splits.class_names, splits.image_shape):
        raise DataError(
            f"{named.versions[named.donor].uri} knows other classes or image shapes than {splits.name}: "
            "--set data.name or data.root to its own data."
        )
    return splits


def _publish(
    mean: LogitMean,
    registry: Registry,
    named: _Named,
    tables: Mapping[str, Predictions],
    splits: Splits | None,
    *,
    costs: Sequence[ServingCost],
) -> Version:
    """Register the mean with its tables. Call it on the main process."""
    import torch

    reference = costs[_reference(named.versions)]
    whole, recipe, record = costs[-1], named.recipe, mean.architecture
    facts = {
        "update": "ensemble",
        "update.members": ", ".join(f"{part.weight:.6g} x {part.source}" for part in mean.parts),
        "update.cost": f"{whole.seconds / reference.seconds:.2f} x {reference.title}",
    }
    tags = {"pct.loss": "ensemble", "pct.arch": record.name, "pct.dataset": tables["test"].info.dataset}
    example = torch.rand(2, *record.image_shape, generator=torch.Generator().manual_seed(0)).numpy()
    with training_run(registry, recipe.model_name, "ensemble") as run:
        run.log_params(facts)
        cost = {"parameters": whole.num_parameters, "bytes": whole.num_bytes, "seconds_per_example": whole.seconds}
        run.log_metrics({f"cost/{key}": value for key, value in cost.items()}, 0)
        tags |= {f"pct.{key}": value for key, value in facts.items()}
        version = register_classifier(mean, recipe, tables, run, example=example, tags=tags)
        if splits is not None:
            store_thumbnails(recipe, splits, tables["test"].info.digest, run)
    return version


def _reference(versions: Sequence[Version]) -> int:
    """Return the place of the version in production, or 0 where none of them is."""
    return next((place for place, version in enumerate(versions) if PRODUCTION in version.aliases), 0)
