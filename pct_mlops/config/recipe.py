"""Recipes: everything that determines a training run, in one file that can be named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from pct_mlops.config.base import Config, apply_overrides, read_yaml, validate
from pct_mlops.config.plugins import code_in, refuse_code


class AugmentConfig(Config):
    """Training views. Crop "pad" adds `padding` black pixels and cuts back; "random_resized" jitters the scale.

    `mixup`, `cutmix`: the alpha of their Beta(alpha, alpha), 0 is off; with both, each batch gets one of them.
    """

    crop: Literal["none", "pad", "random_resized"] = "pad"
    padding: int = Field(default=4, ge=0)
    flip: bool = True
    mixup: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    cutmix: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class DataConfig(Config):
    """Which data set, where it lies, and how it is split and fed.

    `name`: see 'pct list datasets', or code of your own as my_pkg.data:load.
    `views`: so many fixed views per example, drawn once from the seed (empty: fresh ones every epoch), which is what
    a teacher's logits can be stored for. `ten_crop`: evaluate by the mean logits of four corners, centre and mirrors.
    """

    name: str = "fashion_mnist"
    root: Path | None = None
    val_fraction: float = Field(default=0.1, gt=0, lt=1)
    train_fraction: float = Field(default=1.0, gt=0, le=1)
    augment: AugmentConfig = AugmentConfig()
    memory_cap_gb: float = Field(default=2.0, ge=0)
    num_workers: int = Field(default=2, ge=0)
    views: int | None = Field(default=None, ge=1, le=1000)
    ten_crop: bool = False
    image_size: int | None = Field(default=None, ge=1)
    skip_corrupt: bool = False
    thumbnail_size: int = Field(default=64, ge=0, le=256)


class ModelConfig(Config):
    """Architecture by name with its keyword arguments, its head, and the weights it starts from.

    `name`: see 'pct list models', or a builder of your own as my_pkg.models:build.
    `weights`: torchvision's published ones, by their name there ("DEFAULT", "IMAGENET1K_V1"). `init`: another model to
    start from, as in teacher.ref; `new_head` then draws the head anew. `train: head` freezes everything else.
    """

    name: str = "small_resnet14"
    kwargs: dict[str, Any] = Field(default_factory=dict)
    embedding_dim: int | None = Field(default=None, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    classifier: Literal["linear", "cosine"] = "linear"
    temperature: float = Field(default=0.05, gt=0, allow_inf_nan=False, description="of the cosine classifier")
    aux_eval: Literal["main", "avg", "max"] = "main"
    weights: str | None = None
    init: str | None = None
    new_head: bool = False
    train: Literal["all", "head"] = "all"

    @model_validator(mode="after")
    def _one_start(self) -> ModelConfig:
        if self.weights and self.init:
            raise ValueError("give either 'weights' or 'init', not both: the second would overwrite the first")
        if self.train == "head" and not (self.weights or self.init):
            raise ValueError("train 'head' keeps all else as it starts: say from what, with 'init' or 'weights'")
        if self.weights and self.train == "head" and self.embedding_dim:
            raise ValueError("train 'head' would freeze an embedding that published weights do not have")
        return self


class OptimConfig(Config):
    """Optimiser, schedule and batch. `lr` is per optimizer step of `global_batch_size` examples over all processes.

    `reference_batch`: `lr` is meant for a batch of this size and scaled linearly to the global batch (Goyal et al.,
    arXiv 1706.02677). `start_epoch`: epochs before it are taken as done, schedule and all.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=5e-4, ge=0)
    reference_batch: int | None = Field(default=None, ge=1)
    epochs: int = Field(default=4, ge=1)
    start_epoch: int = Field(default=0, ge=0)
    global_batch_size: int = Field(default=128, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup_epochs: float = Field(default=0.0, ge=0)
    step_epochs: int = Field(default=30, ge=1)
    step_gamma: float = Field(default=0.1, gt=0)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> OptimConfig:
        if self.name == "sgd" and self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class ObjectiveConfig(Config):
    """`loss` names a preset; the other keys override its parts.

    `class_weights`: one per class, or "balanced" (inverse to frequency, mean 1). `cross_entropy: binary` is BCE with
    logits on one-hot targets. `ce_weights`: a table (CSV or Parquet: sample_id, weight) of weights of each example.
    """

    loss: str = "none"
    distance: dict[str, Any] | None = None
    focus: dict[str, Any] | None = None
    weight: float | None = Field(default=None, ge=0)
    mix: float | None = Field(default=None, ge=0, le=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None
    cross_entropy: Literal["softmax", "binary"] = "softmax"
    ce_weights: Path | None = None

    @model_validator(mode="after")
    def _weight_or_mix(self) -> ObjectiveConfig:
        if self.weight is not None and self.mix is not None:
            raise ValueError("give either 'weight' or 'mix', not both: they scale the same distance")
        return self


class TeacherMember(Config):
    """One of several teachers, and how much its logits weigh in the mean.

    `arch`: of a .pth.tar, which does not say, or the builder of your own that a version's record may name.
    """

    ref: str
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    arch: str | None = None


class TeacherConfig(Config):
    """The frozen old model: the production version of the registered model, unless something else is named.

    `ref`, or several `refs` with weights: "production" (or another alias of the model itself), name@alias, name/3,
    models:/..., a checkpoint folder, or a .pth.tar / .pt of torchvision's layout. `num_members`: so many models of the
    new architecture are trained first, with seeds 1, 2, ..., each a member of weight 1 beside the `refs` (ELODI).
    What is named here replaces what the loss brings: `refs` alone its members too, `num_members` alone only these.
    `kind: stored`: the logits of `table`, predictions on the training split. `kind: self_ema`: the mean of the new
    model's own past logits of each example, which keeps `momentum` of what was there. `store`: the logits of every one
    of data.views are computed once, kept on disk and reused.
    """

    kind: Literal["models", "stored", "self_ema"] = "models"
    ref: str | None = None
    refs: tuple[TeacherMember, ...] = ()
    num_members: int | None = Field(default=None, ge=0, le=1000)
    store: bool = False
    table: Path | None = None
    momentum: float = Field(default=0.9, ge=0, lt=1)

    @property
    def names_old_models(self) -> bool:
        """Whether some model must be there already: not for members trained first, a table, or its own past."""
        return self.kind == "models" and bool(self.ref or self.refs or not self.num_members)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> TeacherConfig:
        models = self.ref or self.refs or self.num_members or self.store
        if self.ref and self.refs:
            raise ValueError("give either 'ref' or 'refs', not both: refs may hold a single one")
        if self.kind != "models" and models:
            raise ValueError(f"kind '{self.kind}' has no 'ref', 'refs', 'num_members' or 'store': these name models")
        if (self.kind == "stored") != (self.table is not None):
            raise ValueError("kind 'stored' goes with 'table', the predictions on the training split")
        return self


class SeedConfig(Config):
    """Independent seeds: initial weights, data split and augmentation, order of examples."""

    model: int = Field(default=0, ge=0)
    data: int = Field(default=0, ge=0)
    sampler: int = Field(default=0, ge=0)


class EngineConfig(Config):
    """How to run, never what to compute.

    `epochs_per_save`: every so many epochs a checkpoint is kept as a logged model; `save_init`: the untrained one too.
    """

    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    cpu: bool = False
    eval_batch_size: int = Field(default=1000, ge=1)
    sync_batchnorm: bool = False
    checkpoint_dir: Path | None = None
    checkpoint_steps: int = Field(
        default=0, ge=0, description="also within an epoch, each so many steps; 0: after epochs only"
    )
    epochs_per_save: int = Field(default=1, ge=1)
    save_init: bool = False


class Recipe(Config):
    """One training run, in one file that can be named.

    Args:
        model_name: the registered model that its result becomes a version of.
        data: the data set, its split and its views.
        model: the architecture and the weights that it starts from.
        objective: the loss.
        teacher: the frozen old model.
        optim: optimiser, schedule and batch.
        seed: of the weights, the data and the order of examples.
        engine: how to run, never what to compute.

    Example:
        >>> from pct_mlops import Recipe
        >>> Recipe(model_name="pets", objective={"loss": "ldi"}).objective.loss
        'ldi'
    """

    model_name: str = Field(min_length=1)
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    teacher: TeacherConfig = TeacherConfig()
    optim: OptimConfig = OptimConfig()
    seed: SeedConfig = SeedConfig()
    engine: EngineConfig = EngineConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> Recipe:
        mixed = self.data.augment.mixup or self.data.augment.cutmix
        if self.teacher.store and self.data.views is None:
            raise ValueError("teacher.store needs a finite number of views per example: set data.views, for example 8")
        if mixed and (self.teacher.store or self.teacher.kind != "models"):
            raise ValueError("mixup and cutmix make images that no stored logits belong to: leave one of them out")
        if self.optim.start_epoch >= self.optim.epochs:
            raise ValueError("optim.start_epoch should be below optim.epochs: nothing would be trained")
        return self

    @classmethod
    def read(cls, path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
        """A recipe file (YAML) with 'dotted.key=value' overrides; PctError names the key that is wrong."""
        return validate(cls, apply_overrides(read_yaml(path), overrides), str(path))

    def write(self, path: Path) -> None:
        """Write it as a recipe file, with every value that it leaves to defaults."""
        path.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False), encoding="utf-8")

    @classmethod
    def read_stored(cls, path: str | Path, overrides: Iterable[str], source: str, *, whole: bool = False) -> Recipe:
        """A recipe that came with a model from elsewhere: what it names is data, `overrides` are the user's words.

        PctError for a data set that is code (module:callable) and that the overrides do not name; with `whole` for any
        part of it, where it is trained by. `source` says whose recipe it is.
        """
        recipe, named = cls.read(path, overrides), named_code(overrides)
        found = code_in(recipe.model_dump(mode="json") if whole else {"data": {"name": recipe.data.name}})
        refuse_code(
            found, named, f"The recipe of {source}", "name it yourself with --set, for example --set data.name=NAME"
        )
        return recipe


def named_code(overrides: Iterable[str]) -> frozenset[str]:
    """The code (module:callable) that 'dotted.key=value' overrides name."""
    return frozenset(code_in(apply_overrides({}, overrides)))
