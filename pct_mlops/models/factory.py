"""One factory for all architectures: a name and its arguments become a module that returns ModelOutput."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load, save_model
from torch import Tensor, nn

from pct_mlops.config import PctError, unknown
from pct_mlops.config.base import Config, validate
from pct_mlops.models import small_resnet, torchvision_zoo
from pct_mlops.models.output import ModelOutput


class Architecture(Config):
    """Everything but the weights: enough to rebuild a model without unpickling. Images are [C_in, H, W] in [0, 1]."""

    name: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    class_names: tuple[str, ...] = Field(min_length=2)
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def num_classes(self) -> int:
        """C, the width of the logits."""
        return len(self.class_names)


class Classifier(nn.Module):
    """Normalisation, backbone and linear head: images [N, C_in, H, W] float in [0, 1] -> ModelOutput.

    Normalisation is part of the model, so that a teacher with other statistics, and a served model, see plain images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, backbone: nn.Module, num_features: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("mean", torch.tensor(architecture.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(architecture.std).view(1, -1, 1, 1))
        self.backbone = backbone
        self.head = nn.Linear(num_features, architecture.num_classes)

    def forward(self, images: Tensor) -> ModelOutput:
        """Logits [N, C] and penultimate features [N, D]."""
        features = self.backbone((images - self.mean) / self.std)
        return ModelOutput(self.head(features), features)


class LogitsOnly(nn.Module):
    """What is served: images [N, C_in, H, W] -> logits [N, C], a plain tensor that any client understands."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, C]."""
        return self.model(images).logits


def model_names() -> list[str]:
    """Every name that `build_model` knows."""
    return sorted([*small_resnet.DEPTHS, *torchvision_zoo.names()])


def build_model(architecture: Architecture) -> Classifier:
    """An untrained classifier; unknown names and arguments raise PctError. Seed torch before the call."""
    name, kwargs, channels = architecture.name, dict(architecture.kwargs), architecture.image_shape[0]
    if name in small_resnet.DEPTHS:
        try:
            backbone: nn.Module = small_resnet.SmallResNet(small_resnet.DEPTHS[name], channels, **kwargs)
        except (TypeError, KeyError, ValueError, RuntimeError, ZeroDivisionError) as error:
            raise PctError(
                f"Invalid model.kwargs for {name} ({error}): it takes width, norm (batch or group) and stem_stride."
            ) from error
        num_features = int(backbone.num_features)  # type: ignore[arg-type]
    elif name in torchvision_zoo.names():
        backbone, num_features = torchvision_zoo.build_backbone(name, architecture.image_shape, kwargs)
    else:
        raise unknown("architecture", name, model_names())
    return Classifier(architecture, backbone, num_features)


def save_classifier(model: Classifier, folder: Path) -> None:
    """Write `architecture.json` and `model.safetensors` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "architecture.json").write_text(model.architecture.model_dump_json(indent=2) + "\n", encoding="utf-8")
    save_model(model, str(folder / "model.safetensors"))


def load_classifier(folder: Path) -> Classifier:
    """Rebuild what `save_classifier` wrote; nothing is unpickled. Damaged or foreign files raise PctError."""
    record, weights = folder / "architecture.json", folder / "model.safetensors"
    try:
        return classifier_from_bytes(record.read_bytes(), weights.read_bytes(), str(folder))
    except OSError as error:
        raise PctError(f"{folder} does not hold a classifier: {error}.") from error


def classifier_from_bytes(record: bytes, weights: bytes, source: str) -> Classifier:
    """The same from the contents of the two files; `source` names them in errors."""
    try:
        architecture = validate(Architecture, json.loads(record), f"The architecture record of {source}")
    except ValueError as error:
        raise PctError(f"The architecture record of {source} is not JSON: {error}.") from error
    model = build_model(architecture)
    try:
        model.load_state_dict(load(weights))
    except (RuntimeError, SafetensorError) as error:
        # torch heads its list of keys with a line that names none.
        reason = str(error).strip().split("\n")[:2][-1].strip().rstrip(".:")
        raise PctError(
            f"{source} does not hold the weights of its {architecture.name} ({reason}): "
            "use files that one training wrote together."
        ) from error
    return model
