"""Advises which update to train, from the decision table, the model's own history, and the change of a recipe."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pct_mlops.config import Recipe
from pct_mlops.workflows.advice.change_facts import Change, changes_between
from pct_mlops.workflows.advice.evidence_table import UpdateEvidence, read_evidence
from pct_mlops.workflows.advice.recommendation import LOSS_NUMBERS, Recommendation, command_line, recommend_update

if TYPE_CHECKING:
    from pct_mlops.registry import Registry, Version
    from pct_mlops.workflows.advice.model_facts import FactsReader
    from pct_mlops.workflows.advice.update_history import PastUpdates

SHOWN = 10  # versions that fit on a screen beside the rest
NO_EVIDENCE = (
    "No evidence is packaged: the decision table is empty. 'pct sweep RECIPE --losses none,update' measures updates on "
    "your own data."
)


@dataclass(frozen=True)
class Advice:
    """Advice about the updates of a model, or about updates of any model.

    Attributes:
        evidence: The rows of the decision table.
        name: The model. Empty where none was named, and then the rest is empty too.
        production: Number of the version in production, None for none.
        updates: The updates that the model had.
        subject: What would replace production: the recipe file, or the candidate.
        changes: What that changes, the change that matters most first.
        recommendation: The update to train for it, None where nothing that was measured is better.
        command: The line to type, "" for none.
        from_history: What the model's own history says about this kind of change.
        notes: Sentences on what could not be looked at, and on what to do instead.
    """

    evidence: tuple[UpdateEvidence, ...]
    name: str = ""
    production: int | None = None
    updates: PastUpdates | None = None
    subject: str = ""
    changes: tuple[Change, ...] = ()
    recommendation: Recommendation | None = None
    command: str = ""
    from_history: str = ""
    notes: tuple[str, ...] = ()


class _Subject(NamedTuple):
    """Model that would replace production: its title, its recipe file for the line to type, and its changes."""

    title: str
    file: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = {}
    model_name: str = ""
    version: int | None = None


def advise(
    name: str | None = None,
    *,
    recipe_file: str | Path | None = None,
    overrides: Sequence[str] = (),
    every: bool = False,
    evidence: Sequence[UpdateEvidence] | None = None,
    tracking_uri: str | None = None,
) -> Advice:
    """Advise which update to train.

    Args:
        name: A registered model. None means that of the recipe, or none where there is no recipe.
        recipe_file: What would be trained. None means the recipe of the model's candidate.
        overrides: Changes of the recipe, as --set takes them.
        every: Read all updates of the model and not only the newest.
        evidence: The decision table. None means the packaged one.
        tracking_uri: The registry.

    Raises:
        PctError: The recipe cannot be read, or there is no such model.
    """
    rows = tuple(read_evidence() if evidence is None else evidence)
    empty = () if rows else (NO_EVIDENCE,)
    recipe = Recipe.read(recipe_file, overrides) if recipe_file is not None else None
    name = name or (recipe.model_name if recipe is not None else None)
    if not name:
        return Advice(rows, notes=empty)
    # mlflow takes seconds to import, and the decision table alone needs none of it.
    from pct_mlops.registry import PRODUCTION, Registry
    from pct_mlops.workflows.advice.model_facts import FactsReader
    from pct_mlops.workflows.advice.update_history import history_sentence, past_updates

    registry = Registry(tracking_uri)
    reader = FactsReader(registry)
    updates = past_updates(registry, name, reader, limit=None if every else SHOWN)
    production = registry.find(name, PRODUCTION)
    if production is None:
        note = (
            f"Nothing is in production of {name}, so a version has nothing to flip against: 'pct gate {name}@candidate "
            "--policy FILE --promote' makes a first baseline."
        )
        return Advice(rows, name, None, updates, notes=(*empty, *updates.notes, note))
    found = Advice(rows, name, production.version, updates, notes=(*empty, *updates.notes))
    if recipe is not None:
        subject: _Subject | None = _of_recipe(name, recipe, str(recipe_file), production, reader)
    else:
        subject = _of_candidate(registry, name, production, reader)
    if subject is None:
        note = f"{name} has no candidate beside production: give the recipe of the next update with --recipe FILE."
        return replace(found, notes=(*found.notes, note))
    told = history_sentence(updates, subject.changes[0].kind, without=subject.version)
    return _recommended(found, subject, overrides, told)


def _of_recipe(name: str, recipe: Recipe, file: str, production: Version, reader: FactsReader) -> _Subject:
    from pct_mlops.workflows.advice.recipe_facts import recipe_changes

    found = recipe_changes(recipe, production, reader)
    other = name if recipe.model_name != name else ""
    return _Subject(file, file, found.changes, found.notes, recipe.model_dump(mode="json"), other)


def _of_candidate(registry: Registry, name: str, production: Version, reader: FactsReader) -> _Subject | None:
    from pct_mlops.registry import CANDIDATE

    candidate = registry.find(name, CANDIDATE)
    if candidate is None or candidate.version == production.version:
        return None
    relabelled = reader.relabelled(production, candidate)
    changes = changes_between(reader.facts(production), reader.facts(candidate), relabelled=relabelled)
    title = f"the candidate, version {candidate.version},"
    note = f"FILE is the recipe of {name}/{candidate.version}."
    return _Subject(title, "FILE", tuple(changes), (note,), reader.recipe(candidate), version=candidate.version)


def _recommended(found: Advice, subject: _Subject, overrides: Sequence[str], from_history: str) -> Advice:
    """Add what to train for the change of the subject."""
    main = subject.changes[0]
    chosen = recommend_update(main.kind, found.evidence) if main.is_measured else None
    notes, command = [*found.notes, *subject.notes], ""
    if chosen is not None:
        cleared = _cleared(subject.recipe, chosen.words)
        command = command_line(
            subject.file, chosen.words, own=overrides, cleared=cleared, model_name=subject.model_name
        )
        notes += _other_start(subject, {*cleared, *(word.partition("=")[0] for word in chosen.words)})
    elif main.is_measured and any(row.change == main.kind for row in found.evidence):
        notes.append(f"Nothing that was measured for {main.kind} keeps accuracy and flips less on each data set.")
    elif found.evidence:
        notes.append(f"The decision table has no rows on this ({main.kind}): --loss update is the update to try first.")
    return replace(
        found,
        subject=subject.title,
        changes=subject.changes,
        recommendation=chosen,
        command=command,
        from_history=from_history,
        notes=tuple(notes),
    )


def _cleared(recipe: Mapping[str, Any], words: Sequence[str]) -> list[str]:
    """Return the keys of a recipe that the update cannot stand beside: numbers of another loss, published weights."""
    cleared = [key for key in LOSS_NUMBERS if _value(recipe, key) is not None]
    # A recipe takes either published weights or a start.
    if _value(recipe, "model.weights") and _set_start(recipe, words):
        cleared.append("model.weights")
    return cleared


def _set_start(recipe: Mapping[str, Any], words: Sequence[str]) -> bool:
    """Tell whether these words say what the recipe starts from, themselves or by the loss that they name."""
    # torch takes seconds to import, and few recipes name published weights.
    from pct_mlops.losses import PRESETS

    said = dict(word.split("=", 1) for word in words)
    brought = PRESETS.get(said.get("objective.loss", ""), {}).get("model", {})
    return "model.init" in said or ("init" in brought and not _value(recipe, "model.init"))


def _other_start(subject: _Subject, replaced: Collection[str]) -> list[str]:
    """Say that a recipe names a start of its own, so that the update would not start as it was measured."""
    found = {key: _value(subject.recipe, key) for key in ("model.init", "model.weights") if key not in replaced}
    named = [f"{key}={value}" for key, value in found.items() if value and value != "production"]
    return [f"The recipe sets {' and '.join(named)}, and no such start was measured."] if named else []


def _value(recipe: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    part = recipe.get(section)
    return part.get(name) if isinstance(part, dict) else None
