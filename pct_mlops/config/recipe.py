"""Recipes: everything that determines a training run, in one file that can be named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pct_mlops.config.base import Config, apply_overrides, read_yaml, validate


class AugmentConfig(Config):
    """Training views. Crop "pad" adds `padding` black pixels and cuts back; "random_resized" jitters the scale."""

    crop: Literal["none", "pad", "random_resized"] = "pad"
    padding: int = Field(4, ge=0)
    flip: bool = True


class DataConfig(Config):
    """Which data set, where it lies, and how it is split and fed."""

    name: str = "fashion_mnist"
    root: Path | None = None
    val_fraction: float = Field(0.1, gt=0, lt=1)
    train_fraction: float = Field(1.0, gt=0, le=1)
    augment: AugmentConfig = AugmentConfig()
    memory_cap_gb: float = Field(2.0, ge=0)
    num_workers: int = Field(2, ge=0)
    image_size: int | None = Field(None, ge=1)
    skip_corrupt: bool = False
    thumbnail_size: int = Field(64, ge=0, le=256)


class ModelConfig(Config):
    """Architecture by name with its keyword arguments, and the registered model it belongs to."""

    name: str = "small_resnet14"
    kwargs: dict[str, Any] = Field(default_factory=dict)


class OptimConfig(Config):
    """Optimiser, schedule and batch. `lr` is per optimizer step of `global_batch_size` examples over all processes."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0, allow_inf_nan=False)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(5e-4, ge=0)
    epochs: int = Field(4, ge=1)
    global_batch_size: int = Field(128, ge=1)
    gradient_accumulation: int = Field(1, ge=1)
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup_epochs: float = Field(0.0, ge=0)
    step_epochs: int = Field(30, ge=1)
    step_gamma: float = Field(0.1, gt=0)


class ObjectiveConfig(Config):
    """`loss` names a preset; the other keys override its parts."""

    loss: str = "none"
    distance: dict[str, Any] | None = None
    focus: dict[str, Any] | None = None
    weight: float | None = Field(None, ge=0)
    mix: float | None = Field(None, ge=0, le=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _weight_or_mix(self) -> ObjectiveConfig:
        if self.weight is not None and self.mix is not None:
            raise ValueError("give either 'weight' or 'mix', not both: they scale the same distance")
        return self


class TeacherConfig(Config):
    """The frozen old model. `ref` empty: the registered model's production alias."""

    ref: str | None = None


class SeedConfig(Config):
    """Independent seeds: initial weights, data split and augmentation, order of examples."""

    model: int = Field(0, ge=0)
    data: int = Field(0, ge=0)
    sampler: int = Field(0, ge=0)


class EngineConfig(Config):
    """How to run, never what to compute."""

    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    cpu: bool = False
    eval_batch_size: int = Field(1000, ge=1)
    sync_batchnorm: bool = False
    checkpoint_dir: Path | None = None
    checkpoint_steps: int = Field(0, ge=0, description="also within an epoch, each so many steps; 0: after epochs only")


class Recipe(Config):
    """One training run: `model_name` is the registered model that its result becomes a version of."""

    model_name: str = Field(min_length=1)
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    teacher: TeacherConfig = TeacherConfig()
    optim: OptimConfig = OptimConfig()
    seed: SeedConfig = SeedConfig()
    engine: EngineConfig = EngineConfig()

    @classmethod
    def read(cls, path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
        """A recipe file (YAML) with 'dotted.key=value' overrides; PctError names the key that is wrong."""
        return validate(cls, apply_overrides(read_yaml(path), overrides), str(path))
