"""Tells trainings apart by all that changes their result, and says where a resume goes on, or why it cannot."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.config import Recipe
from pct_mlops.config.difference import differences
from pct_mlops.errors import DataError, PctError
from pct_mlops.workflows.runtime.distributed import main_process_logger
from pct_mlops.workflows.training.inputs import RECIPE_HOW

if TYPE_CHECKING:
    from pct_mlops.engine import Checkpoints
    from pct_mlops.engine.checkpoint import FitState, Record
    from pct_mlops.workflows.training.components import Assembled

logger = main_process_logger(__name__)
SHOWN, WIDTH = 4, 40  # differences in a sentence, characters of a value
# Keys that change no result: how to run, where the data lies and what is left out of it (the digest of the data has
# that), and the target, which is met after the training, so trainings to several targets share their checkpoints.
_LEFT_OUT = {**RECIPE_HOW, "data": RECIPE_HOW["data"] | {"root", "skip_corrupt"}, "objective": {"nfr_target"}}
_OTHER = {
    "models": "the old models or the start weights are other ones now",
    "examples": "the examples, labels, weight tables or plug-ins are other ones now",
}


def made_from(parts: Assembled) -> dict[str, Any]:
    """Return all that changes the result of a training, and nothing else, as plain data."""
    recipe, splits = parts.inputs.recipe, parts.inputs.splits
    return {
        "recipe": _settings(recipe),
        "models": [parts.uri, parts.digest],
        "examples": [parts.inputs.digest, splits.preprocessing_of(splits.train, splits.val)],
    }


def fingerprint_of(content: Mapping[str, Any]) -> str:
    """Return the digest of what `made_from` returned. Only a checkpoint with an equal one is resumed."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def say_resume(checkpoints: Checkpoints, recipe: Recipe, *, asked: bool, beside: bool = True) -> None:
    """Say after which epoch a resume goes on, or why it starts at the first one.

    Args:
        checkpoints: Those of the training.
        recipe: Its recipe.
        asked: The user asked for a resume. Without it, say nothing where there is no checkpoint.
        beside: The folders beside this one are trainings of the same model. Those beside a folder that the user named
            may be anybody's.

    Raises:
        DataError: The newest checkpoint is damaged, of another recipe, or of an older version.
    """
    found = checkpoints.newest()
    if found is None:
        if asked:
            _say_start(checkpoints, recipe, beside=beside)
        return
    if found.fingerprint != checkpoints.fingerprint:
        changed, other = _changes(found, checkpoints.made_from)
        what = "; ".join([f"{changed} changed"] * bool(changed) + other)
        raise DataError(
            f"The checkpoint {found.folder} belongs to another recipe{f' ({what})' if what else ''}: resume with the "
            "recipe that made it, or choose another engine.checkpoint_dir."
        )
    logger.info(f"Resumes {_position(found.state, recipe.optim.epochs)} from {found.folder}.")


def say_complete(checkpoints: Checkpoints, recipe: Recipe) -> None:
    """Say that a resume has nothing left to train."""
    epochs = recipe.optim.epochs
    logger.info(f"Resumes after epoch {epochs} of {epochs} from {checkpoints.folder}: nothing is left to train.")


def _say_start(checkpoints: Checkpoints, recipe: Recipe, *, beside: bool) -> None:
    """Warn that there is nothing to resume, and describe the nearest checkpoint of another recipe."""
    around = checkpoints.folder.parent.glob("*/epoch-*/state.json") if beside else ()
    found = sorted({path.parents[1] for path in around})
    _refuse_older(found, recipe)
    place = checkpoints.folder.parent if found else checkpoints.folder
    text = f"--resume found no checkpoint of this recipe in {place}: starts at epoch {recipe.optim.start_epoch + 1}."
    logger.warning(text + _nearest(found, checkpoints))


def _nearest(folders: Sequence[Path], checkpoints: Checkpoints) -> str:
    """Describe the checkpoint whose recipe differs least: what differs, where it lies, and how to go on with it."""
    found: list[tuple[int, float, Record]] = []
    for folder in folders:
        with suppress(PctError):  # damaged ones are named when they are resumed
            record = type(checkpoints)(folder, "").newest()
            if record is not None and _recipe_in(record):
                number = len(differences(_recipe_in(record), _recipe_of(checkpoints.made_from)))
                found.append((number, -record.folder.stat().st_mtime, record))
    if not found:
        return ""
    record = min(found, key=lambda item: item[:2])[2]
    changed, other = _changes(record, checkpoints.made_from)
    optim = _recipe_in(record).get("optim")
    num_epochs = optim.get("epochs") if isinstance(optim, Mapping) else None
    num_epochs = num_epochs if isinstance(num_epochs, int) else record.state.epoch
    recipe = record.folder.parent / "recipe.yaml"
    if other:
        end = f"It cannot be gone on with: {'; '.join(other)}."
    elif record.state.epoch >= num_epochs:
        end = f"It is complete, and its model is {record.folder.parent / 'best'}."
    else:
        command = shlex.join(["pct", "train", str(recipe), "--resume"])
        end = f"Go on with it by '{command}'." if recipe.is_file() else ""
    differs = f"differs in {changed}" if changed else "has the same recipe"
    return f" The nearest one {differs}: {record.folder}, {_position(record.state, num_epochs)}. {end}".rstrip()


def _refuse_older(folders: Sequence[Path], recipe: Recipe) -> None:
    """Raise DataError where an older version, which kept pickles, left a checkpoint of this very recipe."""
    wanted = _settings(recipe)
    for folder in folders:
        pickled = sorted(folder.glob("epoch-*/*.pkl"))
        with suppress(PctError):
            if pickled and _settings(Recipe.read(folder / "recipe.yaml")) == wanted:
                raise_for = pickled[-1].parent
                break
    else:
        return
    from pct_mlops.engine.checkpoint import refuse_pickles

    refuse_pickles(raise_for)


def _changes(old: Record, new: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the keys of the recipe that differ, with the values of both, and sentences on all else that differs."""
    found = differences(_recipe_in(old), _recipe_of(new)) if _recipe_in(old) else []
    texts = [f"{_shown(item.key)} {_shown(item.old)} -> {_shown(item.new)}" for item in found[:SHOWN]]
    if len(found) > SHOWN:
        texts.append(f"{len(found) - SHOWN} more")
    other = [text for key, text in _OTHER.items() if old.made_from and old.made_from.get(key) != new.get(key)]
    return ", ".join(texts), other


def _settings(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude=_LEFT_OUT)


def _recipe_in(record: Record) -> Mapping[str, Any]:
    """Return the recipe of a checkpoint. What its file calls a recipe may be anything."""
    return _recipe_of(record.made_from)


def _recipe_of(content: Mapping[str, Any]) -> Mapping[str, Any]:
    found = content.get("recipe")
    return found if isinstance(found, Mapping) else {}


def _position(state: FitState, num_epochs: int) -> str:
    if state.step:
        return f"in epoch {state.epoch + 1} of {num_epochs}, after step {state.step},"
    return f"after epoch {state.epoch} of {num_epochs}"


def _shown(text: str) -> str:
    """Return a text that came from a file, without control characters and not too long."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= WIDTH else plain[: WIDTH - 3] + "..."
