"""Sets the weights that a model starts from: random ones, published ones, or those of another model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pct_mlops.config import FileClasses, ModelConfig
from pct_mlops.errors import ConfigError, DataError, PctError
from pct_mlops.workflows.runtime.model_weights import (
    architecture_of,
    fetch_weights,
    is_weights_file,
    production_of,
)
from pct_mlops.workflows.runtime.session import Session

if TYPE_CHECKING:
    from pct_mlops.data import Splits
    from pct_mlops.models import Classifier


class Start(NamedTuple):
    """The model that a training starts from. All fields are empty where it starts from none.

    Attributes:
        digest: Changes with the weights behind `model.init`, whose name may come to mean others.
        file: The file of weights that does not record its classes. It is empty for models that record them.
        known_classes: Classes of the data that such a file knows, as indices into them.
    """

    digest: str = ""
    file: str = ""
    known_classes: tuple[int, ...] = ()


def set_start(model: Classifier, config: ModelConfig, model_name: str, splits: Splits, session: Session) -> Start:
    """Give the model the first weights that its section of the recipe asks for, in place. Call it on all processes."""
    from pct_mlops.models import freeze_backbone, load_pretrained, reset_head

    start = Start()
    if config.weights:
        load_pretrained(model, config.weights)
    if config.init:
        reference = config.init
        if reference == "production":
            reference = production_of(model_name, "model.init=production starts from", session)
        plain, with_heads = architecture_of(config, splits), not config.new_head
        classes = FileClasses(config.init_classes, "model.init_classes")
        source = fetch_weights(reference, model_name, session, plain, with_heads=with_heads, classes=classes)
        given = source.build()
        warm_start(model, given, source.uri, with_heads=with_heads)
        start = Start(source.digest)
        if with_heads and is_weights_file(reference):
            names = set(given.architecture.class_names)
            known = tuple(place for place, name in enumerate(splits.class_names) if name in names)
            start = start._replace(file=source.uri, known_classes=known)
    if config.new_head:
        reset_head(model)
    if config.train == "head":
        freeze_backbone(model)
    return start


def warm_start(model: Classifier, source: Classifier, uri: str, *, with_heads: bool = True) -> None:
    """Copy the weights of `source` into the model. Raise PctError unless both are of one architecture.

    Where the classes differ, the rows of the head are matched by class name. Classes that the source does not know, and
    auxiliary heads, keep their fresh weights. Without `with_heads` all heads keep them.
    """
    import torch

    from pct_mlops.models import LogitMean, load_weights_into

    if isinstance(source, LogitMean):
        members = " or ".join(part.source for part in source.parts)
        raise ConfigError(
            f"{uri} is the mean of {len(source.parts)} models, and a training starts from the weights of one: set "
            f"model.init to a member ({members})."
        )
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
