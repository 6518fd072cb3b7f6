"""Fits the parts of a training to each other: model with its first weights, objective, and what it learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pct_mlops.errors import ConfigError
from pct_mlops.workflows.runtime.session import Session
from pct_mlops.workflows.training.initial_weights import Start, set_start
from pct_mlops.workflows.training.inputs import Inputs
from pct_mlops.workflows.training.teacher import Teacher
from pct_mlops.workflows.training.teacher_cache import logits_of_table, store_outputs

if TYPE_CHECKING:
    from torch import nn

    from pct_mlops.engine import TeacherSource
    from pct_mlops.losses import BCT, Objective


@dataclass(frozen=True)
class Assembled:
    """Inputs whose model has its first weights and whose objective knows the teacher.

    Attributes:
        inputs: What the recipe alone determines.
        objective: The loss, bound to the widths and the head of the teacher.
        source: The teacher, or its stored outputs. None where the loss has no teacher.
        uri: Names what is learnt from. Empty where the loss has no teacher.
        digest: Changes with the weights that are learnt from, and with those that the model starts from.
        served: Makes of the trained model the one that is evaluated and registered.
        teacher: The teacher that sees images. None where the loss has none, or one that is a table.
        start: The model whose weights the training starts from.
    """

    inputs: Inputs
    objective: Objective
    source: nn.Module | TeacherSource | None
    uri: str
    digest: str
    served: Callable[[Any], Any]
    teacher: Teacher | None = None
    start: Start = field(default_factory=Start)


def build_parts(inputs: Inputs, session: Session, teacher: Teacher | None, *, rehearse: bool = False) -> Assembled:
    """Fit the parts to each other. Raise PctError for what does not fit. Call it on all processes.

    With `rehearse`, only see whether they fit: the teacher stands in for one that is yet to be trained.
    """
    import torch

    from pct_mlops.losses import Binding

    recipe = inputs.recipe
    start = set_start(inputs.model, recipe.model, recipe.model_name, inputs.splits, session, seed=recipe.seed.model)
    learnt, known = _learnt(inputs, teacher)
    head = teacher.head(inputs.splits.class_names) if teacher else None
    old_width = teacher.model.num_features if teacher else None
    objective = inputs.objective
    if objective.needs_features and old_width is None:
        raise ConfigError(
            f"loss={inputs.recipe.objective.loss} compares features, and this teacher has none to compare "
            "(stored logits have none, nor have models of different widths together): choose a loss on logits."
        )
    if known is not None and len(known) < len(inputs.splits.class_names):
        objective = replace(objective, known_classes=known)
    binding = Binding(len(inputs.splits.class_names), inputs.model.num_features, old_width, head)
    # Draw random projections that are the same on every process and after a resume, and keep the training's own noise.
    # manual_seed would set the generators of all GPUs as well.
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(inputs.recipe.seed.model).get_state())
        objective = objective.bind(binding)
    bct = _bct(objective)
    if bct is not None and bct.single_head and head is not None:
        from pct_mlops.models import use_old_head

        use_old_head(inputs.model, head)
    if not any(parameter.requires_grad for parameter in inputs.model.parameters()):
        raise ConfigError("Nothing of the model is left to train: leave out model.train=head, or bct's single_head.")
    served = partial(_with_old_head, bct=bct, old_head=head)
    parts = Assembled(
        inputs, objective, learnt.source, learnt.uri, f"{learnt.digest}{start.digest}", served, teacher, start
    )
    served(inputs.model)  # raises now, and not after the first epoch, when the heads cannot be mixed
    if teacher is None or not inputs.recipe.teacher.store or rehearse:
        return parts
    # Do this last: it may take long, and by now everything else has been checked.
    return replace(parts, source=store_outputs(inputs, session, teacher))


def _with_old_head(model: Any, *, bct: BCT | None, old_head: nn.Linear | None) -> Any:
    """Mix the model's head with the old one by BCT's alpha. Return the model itself where there is nothing to mix."""
    if bct is None or old_head is None or not bct.alpha or bct.single_head:
        return model
    from pct_mlops.models import fold_old_head

    return fold_old_head(model, old_head, bct.alpha)


def _bct(objective: Objective) -> BCT | None:
    from pct_mlops.losses import BCT, Sum

    parts = [objective.distance]
    for part in parts:  # grows as it goes: a sum may hold sums
        if isinstance(part, Sum):
            parts += [term.distance for term in part.terms]
    return next((part for part in parts if isinstance(part, BCT)), None)


class _Learnt(NamedTuple):
    """Source that the objective learns from. All fields are empty where it needs no teacher."""

    source: nn.Module | TeacherSource | None = None
    uri: str = ""
    digest: str = ""


def _learnt(inputs: Inputs, teacher: Teacher | None) -> tuple[_Learnt, tuple[int, ...] | None]:
    """Return the source, and those classes of the data that it knows (None: all)."""
    from pct_mlops.engine import SelfEMA, TableTeacher

    config, splits = inputs.recipe.teacher, inputs.splits
    if not inputs.objective.needs_teacher:
        return _Learnt(), None
    if teacher is not None:
        return _Learnt(teacher.model, teacher.uri, teacher.digest), teacher.model.known_classes
    if config.kind == "self_ema":
        bank = SelfEMA(len(splits.train), len(splits.class_names), config.momentum)
        return _Learnt(bank, "self_ema", "self_ema"), None
    assert config.table is not None  # the recipe has checked this
    logits, known, digest = logits_of_table(config.table, splits)
    return _Learnt(TableTeacher(logits), str(config.table), digest), known
