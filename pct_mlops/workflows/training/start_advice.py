"""Advises a training to start from production's weights where it could and does not."""

from __future__ import annotations

import json

from pct_mlops.config import ModelConfig
from pct_mlops.errors import PctError
from pct_mlops.registry import PRODUCTION, Registry
from pct_mlops.registry.model_digests import FILES

# Keys of the record that say which weights a model has. The others say what it is trained and evaluated on.
SAME = ("name", "kwargs", "image_shape", "embedding_dim", "classifier")


def start_advice(registry: Registry, model_name: str, config: ModelConfig, record: dict[str, object]) -> str:
    """Return one sentence that advises a warm start, or "" where there is nothing to advise.

    Args:
        registry: The registry that production is looked up in.
        model_name: The registered model that the training adds a version to.
        config: The model section of the recipe. One that names a start, also "random", gets no advice.
        record: The architecture of the new model, as plain data.
    """
    if config.init or config.weights:
        return ""
    try:
        production = registry.find(model_name, PRODUCTION)
        file = None if production is None else registry.download(production, FILES[0])
        theirs = None if file is None else json.loads(file.read_text(encoding="utf-8"))
    except (PctError, OSError, ValueError):
        return ""  # advice is no reason to stop a training
    if production is None or not isinstance(theirs, dict) or any(theirs.get(key) != record[key] for key in SAME):
        return ""
    return (
        f"{production.uri} in production has this architecture, and a start from its weights flips less: "
        "--set model.init=production (--loss update brings it; model.init=random hides this advice)."
    )
