"""The record from which a model is rebuilt: it holds everything but the weights."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pct_mlops.config.base import Config


class Architecture(Config):
    """Record of a model without its weights, from which it is rebuilt without unpickling.

    Images are [C_in, H, W] in [0, 1].
    `embedding_dim` adds a linear layer of that width between backbone and head, whose output becomes the features.
    `temperature` belongs to the cosine classifier. `aux_eval` says which heads count when the model is evaluated.
    """

    name: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    class_names: tuple[str, ...] = Field(min_length=2)
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    embedding_dim: int | None = Field(None, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    classifier: Literal["linear", "cosine"] = "linear"
    temperature: float = Field(0.05, gt=0, allow_inf_nan=False)
    aux_eval: Literal["main", "avg", "max"] = "main"

    @property
    def num_classes(self) -> int:
        """C, the width of the logits."""
        return len(self.class_names)
