"""Defines the section of a recipe that names the frozen old model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pct_mlops.config.base import Config
from pct_mlops.config.class_names import GivenClasses, is_none


class TeacherMember(Config):
    """One of several teachers. `weight` is its share in the mean of their logits.

    `arch` names the architecture of a .pth.tar, which does not record it. It may also name your own builder, if that is
    the code in a version's record. `classes` names the classes of such a file, as in `teacher.classes`.
    """

    ref: str
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    arch: str | None = None
    classes: GivenClasses | None = Field(default=None, exclude_if=is_none)


class TeacherConfig(Config):
    """The frozen old model. By default it is the production version of the registered model.

    `ref` or several weighted `refs` name other models: "production" (or another alias of this registered model),
    name@alias, name/3, models:/..., a checkpoint folder, or a .pth.tar / .pt / .safetensors of torchvision's layout.
    `classes` names the classes of such a file in the order of its outputs: a list, or a file with one name a line.
    Without it the file is taken to have the classes of the data, in their order.

    `num_members` first trains this many models of the new architecture, with seeds 1, 2, ... Each is a member of weight
    1 beside the `refs` (ELODI). A key set here replaces what the loss brings: `refs` also replaces its members, and
    `num_members` only their number.

    `kind: stored` takes the logits of `table`, predictions on the training split. `kind: self_ema` takes the new
    model's own past logits of each example, as a running mean that keeps the share `momentum` at each update. `store`
    computes the logits of every one of data.views once, and keeps them on disk for later runs.
    """

    kind: Literal["models", "stored", "self_ema"] = "models"
    ref: str | None = None
    classes: GivenClasses | None = Field(default=None, exclude_if=is_none)
    refs: tuple[TeacherMember, ...] = ()
    num_members: int | None = Field(default=None, ge=0, le=1000)
    store: bool = False
    table: Path | None = None
    momentum: float = Field(default=0.9, ge=0, lt=1)

    @property
    def names_old_models(self) -> bool:
        """True if some model must exist before the training.

        A table, members that are trained first, and the model's own past need none.
        """
        return self.kind == "models" and bool(self.ref or self.refs or not self.num_members)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> TeacherConfig:
        models = self.ref or self.refs or self.num_members or self.store
        if self.ref and self.refs:
            raise ValueError("give either 'ref' or 'refs', not both: refs may hold a single one")
        if self.classes is not None and not self.ref:
            raise ValueError("'classes' goes with 'ref'; in 'refs' each member has its own")
        if self.kind != "models" and models:
            raise ValueError(f"kind '{self.kind}' has no 'ref', 'refs', 'num_members' or 'store': these name models")
        if (self.kind == "stored") != (self.table is not None):
            raise ValueError("kind 'stored' goes with 'table', the predictions on the training split")
        return self
