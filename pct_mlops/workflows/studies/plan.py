"""Plans the trainings of a sweep. It is pure: from a recipe and names of losses to a list of recipes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from pct_mlops.config import RANDOM_START, ModelConfig, ObjectiveConfig, Recipe, TeacherConfig, unknown
from pct_mlops.errors import ConfigError
from pct_mlops.registry import PRODUCTION
from pct_mlops.workflows.training.inputs import RECIPE_HOW
from pct_mlops.workflows.training.preset_sections import preset_start, preset_teacher

if TYPE_CHECKING:
    from pct_mlops.losses import Objective
    from pct_mlops.losses.focuses import MaskFocus

FIRST_SEED = 1001  # members of an ensemble teacher count from 1, so no training of a sweep shares a seed with one
MAX_SEEDS = 1000
SAME_WEIGHT, SHUFFLED = "no focus", "shuffled focus"
OF_ITS_FILE = {"init_classes": None, "init_arch": None}  # what a recipe says of a file that it starts from
WARM, COLD = "warm start", "cold start"
LONGER = 1.5  # a warm start has production's training inside it, so more epochs of an ordinary update stand beside it


@dataclass(frozen=True)
class Method:
    """A row of the sweep's table: a loss as it is, as a control, or from another start than its own.

    `start` is WARM (production's weights), COLD (new random ones) or "" for the loss's own. `length` multiplies the
    epochs. `title` is a name of the user's.
    """

    loss: str
    objective: ObjectiveConfig
    control: str = ""
    start: str = ""
    length: float = 1.0
    title: str = ""

    @property
    def name(self) -> str:
        """Name that people use: "kl", "kl, shuffled focus", "kl, warm start" or "none, 1.5 x epochs"."""
        if self.title:
            return self.title
        longer = f"{self.length:g} x epochs" if self.length != 1 else ""
        return ", ".join(part for part in (self.loss, self.control, self.start, longer) if part)


@dataclass(frozen=True)
class Member:
    """One training. `key` is a digest of all that determines it, including what it is measured against.

    After `with_contents` the key also covers what the recipe only points at.
    """

    method: Method
    seed: int
    recipe: Recipe
    key: str

    @property
    def title(self) -> str:
        """Method and seed."""
        return f"{self.method.name}, seed {self.seed}"


def chosen_losses(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the names in 'none,kl,ldi', each once, or every known one for 'all'.

    Raise ConfigError when there is no name. For an unknown one, the error suggests a similar name.
    """
    names = tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))
    if names == ("all",):
        return tuple(known)
    if not names:
        raise ConfigError("--losses names no loss: write for example --losses none,kl; 'pct list losses' shows them.")
    for name in names:
        if name not in known:
            raise unknown("loss", name, list(known))
    return names


def num_seeds(text: str | int, least: int = 1) -> int:
    """Read a number of seeds as typed. Raise ConfigError unless it is a whole number from `least` to MAX_SEEDS."""
    text = str(text)
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= MAX_SEEDS:
        raise ConfigError(f"--seeds should be a whole number from {least} to {MAX_SEEDS:,}, and it is '{text}'.")
    return int(text)


def plan_methods(recipe: Recipe, losses: Sequence[str], *, warm_start: bool, controls: bool) -> list[Method]:
    """Return the methods in the order of `losses`: each loss itself, then its controls, then its warm start.

    Raise PctError for a recipe that does not fit a loss. The control without focus gets its weight from `weighed`,
    which needs production's accuracy. A loss that starts from production has a cold start as its control. Every warm
    start has an ordinary update of more epochs as its control.
    """
    methods = []
    warm = warm_start or any(_brings_start(loss) for loss in losses)
    for loss in losses:
        config = _objective(recipe, loss)
        objective = _planned(config)
        methods.append(Method(loss, config))
        if controls and _is_focal(objective.focus):
            methods += _controls(loss, config, objective.focus)
        if controls and _brings_start(loss):
            # A target is met by going back to the start, and random weights are none to go back to.
            methods.append(Method(loss, config.model_copy(update={"nfr_target": None}), start=COLD))
        if controls and warm and loss == "none":
            methods.append(Method(loss, config, length=LONGER))
        if warm_start and not _brings_start(loss):
            methods.append(Method(loss, config, start=WARM))
    return methods


def weighed(method: Method, share: float) -> Method:
    """Return the method. In the control without focus, every example now weighs base + scale * share.

    `share` is production's accuracy. The focus adds `scale` where production is right, so the mean weight is the same.
    """
    if method.control != SAME_WEIGHT:
        return method
    assert method.objective.focus is not None
    focus = method.objective.focus
    every = {"name": "all", "base": focus["base"] + focus["scale"] * share}
    return dataclasses.replace(method, objective=method.objective.model_copy(update={"focus": every}))


def plan_members(
    recipe: Recipe,
    methods: Sequence[Method],
    seeds: int,
    *,
    purpose: str,
    old_uri: str,
    teacher_uri: str = "",
    ref_is_old: bool = True,
) -> list[Member]:
    """Return all trainings, seed by seed within a method.

    Only seed.model and seed.sampler vary, so all share one val split.

    Args:
        recipe: The recipe that all trainings have in common.
        methods: The methods to train.
        seeds: The number of seeds for each method.
        purpose: Keeps the runs of a sweep and of a floor apart.
        old_uri: The version that all are measured against.
        teacher_uri: The version that "production" means to a teacher and to a start. By default it is `old_uri`.
        ref_is_old: The recipe's teacher.ref names `old_uri`, so a loss that brings its own teachers keeps them.
    """
    members = []
    for method in methods:
        teacher = pinned(recipe, method.objective, teacher_uri or old_uri, ref_is_old=ref_is_old)
        start = _start(recipe.model, method, teacher_uri or old_uri)
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            one = _with(recipe, seed={"model": seed, "sampler": seed})
            one = one.model_copy(update={"objective": method.objective, "teacher": teacher, "model": start})
            one = _with(one, optim={"epochs": round(method.length * recipe.optim.epochs)})
            members.append(Member(method, seed, one, digest(one, purpose, old_uri)))
    return members


def with_contents(member: Member, *digests: str) -> Member:
    """Return the member with a key that also covers `digests`, which are of what its recipe points at."""
    text = json.dumps([member.key, *digests])
    return dataclasses.replace(member, key=hashlib.sha256(text.encode()).hexdigest())


def settings(recipe: Recipe, *, seeds: bool = True) -> dict[str, Any]:
    """Return what determines a training's result, as plain data. Without `seeds`, leave out the seeds that vary."""
    return recipe.model_dump(mode="json", exclude=RECIPE_HOW if seeds else {**RECIPE_HOW, "seed": {"model", "sampler"}})


def digest(recipe: Recipe, *more: str, seeds: bool = True) -> str:
    """Return sha256 over these settings and `more`, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps([settings(recipe, seeds=seeds), *more], sort_keys=True).encode()).hexdigest()


def _objective(recipe: Recipe, loss: str) -> ObjectiveConfig:
    """Return the objective of a loss: the recipe's own where the recipe names this loss, else the preset's numbers."""
    if loss == recipe.objective.loss:
        return recipe.objective
    return recipe.objective.of_loss(loss)


def _planned(config: ObjectiveConfig) -> Objective:
    """Build the objective as far as a plan needs it: distance and focus.

    Weights from data or tables are left out, because they are not read yet.
    """
    from pct_mlops.losses import build_objective

    focus: dict[str, Any] | None = config.focus
    if focus and focus.get("name") == "likelihood" and "table" in focus:
        focus = {**{key: value for key, value in focus.items() if key != "table"}, "weights": [1.0]}
    return build_objective(config.model_copy(update={"class_weights": None, "ce_weights": None, "focus": focus}))


def _is_focal(focus: object) -> TypeGuard[MaskFocus]:
    """Tell whether the focus gives some examples more weight by a condition of its own."""
    from pct_mlops.losses.focuses import AllExamples, MaskFocus, Shuffled

    return isinstance(focus, MaskFocus) and not isinstance(focus, AllExamples | Shuffled) and focus.scale > 0


def _controls(loss: str, config: ObjectiveConfig, focus: MaskFocus) -> list[Method]:
    """Return the controls of a focus: its mask shuffled within each class, and for `old_correct` also equal weights."""
    from pct_mlops.losses.focuses import FOCUSES, OldCorrect

    weights = {"base": focus.base, "scale": focus.scale}
    # The shuffled focus takes base and scale itself. The other arguments belong to the focus that it permutes.
    rest = {f.name: getattr(focus, f.name) for f in dataclasses.fields(focus) if f.name not in weights}
    shuffled = {"name": "shuffled", "of": {"name": FOCUSES.name_of(focus), **rest}, **weights}
    found = [Method(loss, config.model_copy(update={"focus": shuffled}), SHUFFLED)]
    if isinstance(focus, OldCorrect):
        # The total weight of any other condition is known only after training, so nothing can be made equal to it.
        even = {"name": "all", **weights}
        found.insert(0, Method(loss, config.model_copy(update={"focus": even}), SAME_WEIGHT))
    return found


def pinned(recipe: Recipe, objective: ObjectiveConfig, production: str, *, ref_is_old: bool = True) -> TeacherConfig:
    """Return the teacher with production written by its number, because an alias may move while a sweep runs.

    A loss without a teacher gets an empty section, so its trainings are found again whatever production is.
    """
    from pct_mlops.losses import PRESETS

    if not _planned(objective).needs_teacher:
        return TeacherConfig()
    one = recipe.model_copy(update={"objective": objective})
    if ref_is_old and "teacher" in PRESETS.get(objective.loss, {}):
        one = _with(one, teacher={"ref": None, "classes": None})
    teacher = preset_teacher(one.teacher, one.objective.loss)
    if teacher.kind != "models":
        return teacher
    refs = tuple(
        part.model_copy(update={"ref": production}) if part.ref == "production" else part for part in teacher.refs
    )
    # Where a recipe names no teacher at all, production is meant.
    named = teacher.ref or ("" if refs or teacher.num_members else "production")
    ref = production if named == "production" else teacher.ref
    return teacher.model_copy(update={"refs": refs, "ref": ref})


def _brings_start(loss: str) -> bool:
    return preset_start(ModelConfig(), loss).starts_from is not None


def _start(model: ModelConfig, method: Method, production: str) -> ModelConfig:
    """Return the model section of a method, with production written by its number."""
    if method.start == COLD:
        # Random features below a trained head would be no update at all.
        whole = {} if model.weights else {"train": "all", "new_head": False}
        return model.model_copy(update={"init": RANDOM_START, **OF_ITS_FILE, "init_mode": "same", **whole})
    if method.start == WARM:
        return model.model_copy(update={"init": production, **OF_ITS_FILE, "weights": None})
    own = preset_start(model, method.loss)
    return own.model_copy(update={"init": production}) if own.init == PRODUCTION else own


def _with(recipe: Recipe, **sections: dict[str, Any]) -> Recipe:
    """Copy a recipe with single keys of sections changed."""
    return recipe.model_copy(
        update={name: getattr(recipe, name).model_copy(update=changes) for name, changes in sections.items()}
    )
