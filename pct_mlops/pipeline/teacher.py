"""The old model: found in the registry, rebuilt without unpickling, on every process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.config import PctError, Recipe
from pct_mlops.pipeline.processes import on_main
from pct_mlops.registry import PRODUCTION, Registry, Version

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pct_mlops.losses import Objective
    from pct_mlops.models import Classifier


@dataclass(frozen=True)
class Teacher:
    """The frozen old model and where it came from (`models:/name/version`)."""

    model: Classifier
    uri: str


def find_teacher(recipe: Recipe, registry: Registry) -> Version:
    """The version that the recipe distils from; with no production yet, says how to make a first baseline."""
    if recipe.teacher.ref:
        return registry.resolve(recipe.teacher.ref)
    version = registry.find(recipe.model_name, PRODUCTION)
    if version is None:
        raise PctError(
            f"loss={recipe.objective.loss} trains against the production version of {recipe.model_name}, and there is "
            f"none: make a first baseline with 'mlflow run . -P loss=none' and then "
            f"'pct gate {recipe.model_name}@candidate --policy FILE --promote'."
        )
    return version


def load_teacher(
    recipe: Recipe, objective: Objective, registry: Registry | None, accelerator: Accelerator
) -> Teacher | None:
    """The teacher on every process, its files sent from the main one; None when the objective needs none."""
    if not objective.needs_teacher:
        return None

    def fetch() -> tuple[str, bytes, bytes]:
        assert registry is not None  # the main process has one
        version = find_teacher(recipe, registry)
        return version.uri, *classifier_files(registry, version)

    from pct_mlops.models import classifier_from_bytes

    uri, record, weights = on_main(accelerator, fetch)
    return Teacher(classifier_from_bytes(record, weights, uri), uri)


def check_teacher(teacher: Teacher, class_names: tuple[str, ...], image_shape: tuple[int, int, int]) -> None:
    """PctError unless old and new model speak of the same classes and see the same images."""
    old = teacher.model.architecture
    if old.class_names != class_names:
        differ = sorted(set(old.class_names) ^ set(class_names))
        what = f"they differ in {', '.join(differ[:5])}" if differ else "they come in another order"
        raise PctError(
            f"The teacher {teacher.uri} knows {len(old.class_names)} classes and the data {len(class_names)} ({what}): "
            "choose data with the teacher's classes, or another teacher."
        )
    if old.image_shape != image_shape:
        raise PctError(
            f"The teacher {teacher.uri} sees images of shape {old.image_shape} and the data has {image_shape}: "
            "set data.image_size to the teacher's."
        )


def classifier_files(registry: Registry, version: Version) -> tuple[bytes, bytes]:
    """Architecture record and weights of a version, as bytes."""
    contents = []
    for name in ("architecture.json", "model.safetensors"):
        path: Path | None = registry.download(version, name)
        if path is None:
            raise PctError(f"{version.uri} carries no {name}: register it with 'pct train', then use that version.")
        contents.append(path.read_bytes())
    return contents[0], contents[1]
