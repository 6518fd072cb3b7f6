"""Defines the recipe: one file that determines a training run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, model_validator

from pct_mlops.config.base import Config, apply_overrides, read_yaml, validate
from pct_mlops.config.class_names import ClassNames, GivenClasses, is_none
from pct_mlops.config.numbers import as_fraction
from pct_mlops.config.plugins import code_in, refuse_code
from pct_mlops.config.teacher_section import TeacherConfig

RANDOM_START = "random"  # what model.init says of a start from new random weights


def is_same(value: str) -> bool:
    """Tell whether `init_mode` has its default.

    It is left out of a recipe then, so that older recipes keep their digest.
    """
    return value == "same"


class AugmentConfig(Config):
    """Random changes to training images.

    `crop: pad` adds `padding` black pixels on each side and cuts back to size. `crop: random_resized` also varies the
    scale.

    `mixup` and `cutmix` are the alpha of their Beta(alpha, alpha), and 0 turns them off. With both, a batch gets one.
    """

    crop: Literal["none", "pad", "random_resized"] = "pad"
    padding: int = Field(default=4, ge=0)
    flip: bool = True
    mixup: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    cutmix: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class DataConfig(Config):
    """The data set, where it lies, and how it is split and fed.

    `name` is one of `pct list datasets`, or code of your own such as my_pkg.data:load.

    `views` sets a fixed number of views for each example, drawn once from the seed. A teacher's logits can be stored
    only for fixed views. Left empty, each epoch draws fresh ones.

    `ten_crop` evaluates by the mean logits of ten crops: four corners and the centre, each also mirrored.

    `classes` lists the classes that are kept, in train, val and test: a model that knows fewer classes than the data
    set. `label_noise` gives this share of the training examples a wrong label, drawn from the seed: a model from before
    the labels were cleaned.
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
    classes: ClassNames | None = Field(default=None, exclude_if=is_none)
    label_noise: float | None = Field(default=None, gt=0, lt=1, exclude_if=is_none)

    @model_validator(mode="after")
    def _two_classes(self) -> DataConfig:
        if self.classes is not None and (len(self.classes) < 2 or len(set(self.classes)) < len(self.classes)):
            raise ValueError("'classes' needs two or more class names, each named once")
        return self


class ModelConfig(Config):
    """The architecture with its keyword arguments, its head, and the weights that it starts from.

    `name` is one of `pct list models`, or a builder of your own such as my_pkg.models:build.

    `weights` names published weights of torchvision: "DEFAULT", "IMAGENET1K_V1". `init` names another model to start
    from, written as in teacher.ref. Of a file of weights, `init_classes` names the classes, as in teacher.classes, and
    `init_arch` the architecture, where it is another one than `name`. With `init: random` the weights are new random
    ones also where the loss brings a start of its own. `new_head` gives the start a head with new random weights.
    `train: head` freezes all else.

    `init_mode` says how to start from `init`. "same" needs the same architecture. "grow" gives a larger model the
    function of a smaller one: wider or deeper, of one family of ResNets. "partial" takes over the layers that fit.
    "auto" is "same" where that is possible, else "grow", else a fresh start.
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
    init_classes: GivenClasses | None = Field(default=None, exclude_if=is_none)
    init_arch: str | None = Field(default=None, exclude_if=is_none)
    init_mode: Literal["same", "grow", "partial", "auto"] = Field(default="same", exclude_if=is_same)
    new_head: bool = False
    train: Literal["all", "head"] = "all"

    @property
    def starts_from(self) -> str | None:
        """The model whose weights the training starts from. None where these are random or published ones."""
        return None if self.init == RANDOM_START else self.init

    @model_validator(mode="after")
    def _one_start(self) -> ModelConfig:
        if self.weights and self.starts_from:
            raise ValueError("give either 'weights' or 'init', not both: the second would overwrite the first")
        if self.init_classes is not None and (not self.starts_from or self.new_head):
            raise ValueError("'init_classes' goes with 'init' and its head: give both, and no 'new_head'")
        if self.init_arch is not None and self.init_mode == "same":
            raise ValueError("'init_arch' names another architecture: say with 'init_mode' how to start from it")
        if self.init_mode == "partial" and self.train == "head":
            raise ValueError("train 'head' would freeze the layers that init_mode 'partial' leaves untrained")
        if self.weights and self.train == "head" and self.embedding_dim:
            raise ValueError("train 'head' would freeze an embedding that published weights do not have")
        return self


class OptimConfig(Config):
    """Optimiser, schedule and batch.

    `lr` holds for one optimizer step, of `global_batch_size` examples over all processes. With `reference_batch`, `lr`
    is meant for a batch of that size and is scaled linearly to the global batch (Goyal et al., arXiv 1706.02677).

    `start_epoch` skips the epochs before it. The schedule counts them as done.
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
    """The loss. `loss` names a preset, and the other keys override its parts.

    `cross_entropy: binary` is binary cross-entropy with logits on one-hot targets. `class_weights` is a list with one
    weight for each class, or "balanced": inverse to frequency, with mean 1. `ce_weights` is a table (CSV or Parquet) of
    sample_id and weight, for each example's cross-entropy.

    `nfr_target` is the highest NFR against production on val, for example 0.015 or 1.5%. A trained model that flips
    more is moved back towards the weights that it started from, just as far as needed.
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
    nfr_target: Annotated[float | None, BeforeValidator(as_fraction)] = Field(
        default=None, gt=0, lt=1, exclude_if=is_none
    )

    def of_loss(self, loss: str) -> ObjectiveConfig:
        """Return the objective of another loss with its own numbers. Label smoothing and the like stay."""
        own = dict.fromkeys(("distance", "focus", "weight", "mix", "nfr_target"))
        return self.model_copy(update={**own, "loss": loss})

    @model_validator(mode="after")
    def _weight_or_mix(self) -> ObjectiveConfig:
        if self.weight is not None and self.mix is not None:
            raise ValueError("give either 'weight' or 'mix', not both: they scale the same distance")
        return self


class SeedConfig(Config):
    """Independent seeds of three things: initial weights, data split with augmentation, and order of examples."""

    model: int = Field(default=0, ge=0)
    data: int = Field(default=0, ge=0)
    sampler: int = Field(default=0, ge=0)


class EngineConfig(Config):
    """Settings of how a training runs.

    Precision, device and `sync_batchnorm` change its numbers. The other keys do not. A checkpoint is kept as a logged
    model every `epochs_per_save` epochs. `save_init` also keeps the untrained model.
    """

    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    cpu: bool = False
    eval_batch_size: int = Field(default=1000, ge=1)
    sync_batchnorm: bool = False
    checkpoint_dir: Path | None = None
    checkpoint_steps: int = Field(
        default=0, ge=0, description="also within an epoch, every so many steps; 0: only after epochs"
    )
    epochs_per_save: int = Field(default=1, ge=1)
    save_init: bool = False


class Recipe(Config):
    """One training run, described in one file.

    Args:
        model_name: the registered model that gets the result as a new version.
        data: the data set, its split and its views.
        model: the architecture and the weights that it starts from.
        objective: the loss.
        teacher: the frozen old model.
        optim: optimiser, schedule and batch.
        seed: of the weights, the data and the order of examples.
        engine: how the training runs: precision, device, checkpoints.

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
            raise ValueError("teacher.store needs a fixed number of views: set data.views, for example 8")
        if mixed and (self.teacher.store or self.teacher.kind != "models"):
            raise ValueError("stored logits do not fit the images of mixup and cutmix: leave one of the two out")
        if self.optim.start_epoch >= self.optim.epochs:
            raise ValueError("optim.start_epoch should be below optim.epochs, or nothing would be trained")
        return self

    @classmethod
    def read(cls, path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
        """Read a recipe file (YAML) with 'dotted.key=value' overrides. Raise ConfigError that names a wrong key."""
        return validate(cls, apply_overrides(read_yaml(path), overrides), str(path))

    def write(self, path: Path) -> None:
        """Write the recipe to a file, with the value of every key."""
        path.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False), encoding="utf-8")

    @classmethod
    def read_stored(cls, path: str | Path, overrides: Iterable[str], source: str, *, whole: bool = False) -> Recipe:
        """Read a recipe that came with a model from elsewhere. It is data: the code that it names is not trusted.

        Args:
            path: The recipe file.
            overrides: What the user typed. Code that is named here is trusted.
            source: Whose recipe it is, for the error.
            whole: True to check every part, for a training. False to check only the data set.

        Raises:
            ConfigError: A checked part is code (module:callable) that the overrides do not name.
        """
        recipe, named = cls.read(path, overrides), named_code(overrides)
        found = code_in(recipe.model_dump(mode="json") if whole else {"data": {"name": recipe.data.name}})
        refuse_code(
            found, named, f"The recipe of {source}", "name it yourself with --set, for example --set data.name=NAME"
        )
        return recipe


def named_code(overrides: Iterable[str]) -> frozenset[str]:
    """Return the code (module:callable) that 'dotted.key=value' overrides name."""
    return frozenset(code_in(apply_overrides({}, overrides)))
