"""Gives every registered classifier one call for predictions: ours from safetensors, others by mlflow.pyfunc."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.registry.model_digests import FILES
from pct_mlops.registry.served_model import ModelInputs, inputs_of, load_folder, predicted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


@dataclass(frozen=True)
class Predictor:
    """A loaded classifier.

    Attributes:
        title: Name of the model in sentences.
        inputs: What the model takes; None without a signature.
        classes: Their names in the order of the scores; None where the model does not say.
        ask: The function of the model that is called.
        is_own: The model was rebuilt from our own files. It takes images in [0, 1] and gives logits.
    """

    title: str
    inputs: ModelInputs | None
    classes: tuple[str, ...] | None
    ask: Callable[[Any], Any]
    is_own: bool = False

    def predict(self, given: Any) -> Any:
        """Return labels [N] or scores [N, C] of a frame or an array of examples."""
        return predicted(self.ask, given, self.title)


def load_predictor(folder: Path, title: str, *, allow_code: bool, how_to_allow: str, instead: str) -> Predictor:
    """Load the model in a local folder.

    Args:
        folder: The model's files.
        title: Name of the model in sentences.
        allow_code: Load a model also where that runs code that came with it.
        how_to_allow: What a person adds to allow it.
        instead: What to do without running code.

    Returns:
        The model, ready to predict. One of ours is rebuilt from its safetensors, which runs no code.

    Raises:
        PctError: The model would run code and may not, or cannot be loaded here.
    """
    if all((folder / name).is_file() for name in FILES):
        return _own(folder, title)
    model = load_folder(folder, title, allow_code=allow_code, how_to_allow=how_to_allow, instead=instead)
    raw = _raw(model)
    classes = getattr(raw, "classes_", None)
    # Scores say more than labels, and scikit-learn's `predict` gives labels alone.
    scores = getattr(raw, "predict_proba", None)
    names = None if classes is None else tuple(str(name) for name in classes)
    return Predictor(title, inputs_of(model), names, scores if callable(scores) else model.predict)


def _own(folder: Path, title: str) -> Predictor:
    import numpy as np

    from pct_mlops.models import LogitsOnly, classifier_from_bytes

    record, weights = ((folder / name).read_bytes() for name in FILES)
    model = classifier_from_bytes(record, weights, title)
    architecture = model.architecture
    inputs = ModelInputs(shape=tuple(architecture.image_shape), kind=np.dtype(np.float32))
    ask = partial(_logits, LogitsOnly(model).eval())
    return Predictor(title, inputs, tuple(architecture.class_names), ask, is_own=True)


def _logits(network: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return logits [N, C] of images [N, C_in, H, W] in [0, 1]."""
    import torch

    with torch.inference_mode():
        logits: NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
    return logits


def _raw(model: Any) -> Any:
    try:
        return model.get_raw_model()
    except Exception:
        return None  # MLflow raises where a flavour has none, and so may a program of somebody
