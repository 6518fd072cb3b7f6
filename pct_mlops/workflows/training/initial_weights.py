"""Sets the weights that a model starts from: random ones, published ones, or those of another model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pct_mlops.config import ModelConfig
from pct_mlops.errors import ConfigError, DataError, PctError
from pct_mlops.workflows.runtime.model_weights import architecture_of, fetch_weights, production_of
from pct_mlops.workflows.runtime.session import Session

if TYPE_CHECKING:
    from pct_mlops.data import Splits
    from pct_mlops.models import Classifier


def set_start(model: Classifier, config: ModelConfig, model_name: str, splits: Splits, session: Session) -> str:
    """Give the model the first weights that its section of the recipe asks for, in place. Call it on all processes.

    Return a digest of the weights behind `model.init`, because its name may come to mean others. It is empty without
    one.
    """
    from pct_mlops.models import freeze_backbone, load_pretrained, reset_head

    digest = ""
    if config.weights:
        load_pretrained(model, config.weights)
    if config.init:
        reference = config.init
        if reference == "production":
            reference = production_of(model_name, "model.init=production starts from", session)
        plain, with_heads = architecture_of(config, splits), not config.new_head
        source = fetch_weights(reference, model_name, session, plain, with_heads=with_heads)
        warm_start(model, source.build(), source.uri, with_heads=with_heads)
        digest = source.digest
    if config.new_head:
        reset_head(model)
    if config.train == "head":
        freeze_backbone(model)
    return digest


def warm_start(model: Classifier, source: Classifier, uri: str, *, with_heads: bool = True) -> None:
    """Copy the weights of `source` into the model. Raise PctError unless both are of one architecture.

    Where the classes differ, the rows of the head are matched by class name. Classes that the source does not know, and
    auxiliary heads, keep their fresh weights. Without `with_heads` all heads keep them.
    """
    import torch

    from pct_mlops.models import load_weights_into

    mine, theirs = model.architecture.class_names, source.architecture.class_names
    ours, other = (f"{part.name} {part.kwargs or ''}".strip() for part in (model.architecture, source.architecture))
    if with_heads and type(model.head) is not type(source.head):
        raise ConfigError(
            f"The model starts from {uri}, whose classifier is {source.architecture.classifier} and not "
            f"{model.architecture.classifier}: set model.new_head=true to start with a fresh head."
        )
    advice = "start from a model of the same architecture with the same arguments"
    try:
        load_weights_into(model, source.state_dict(), uri, advice, with_heads=with_heads and mine == theirs)
    except PctError as error:
        if ours == other:
            raise
        # Two names are shorter than a list of all weights that differ.
        raise DataError(f"The model is a {ours} and should start from {uri}, which is a {other}: {advice}.") from error
    if mine == theirs or not with_heads:
        return
    with torch.no_grad():
        for name in set(mine) & set(theirs):
            for own, given in zip(model.head.parameters(), source.head.parameters(), strict=True):
                own[mine.index(name)] = given[theirs.index(name)]
