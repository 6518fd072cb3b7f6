"""Sets the weights that a model starts from: random ones, published ones, or those of another model."""

from __future__ import annotations

import contextlib
import copy
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

ADVICE = "start from a model of the same architecture with the same arguments"
MAX_PARTS = 6  # names of parts in one line


class Start(NamedTuple):
    """The model that a training starts from. All fields are empty where it starts from none.

    Attributes:
        digest: Changes with the weights behind `model.init`, whose name may come to mean others.
        file: The file of weights that does not record its classes. It is empty for models that record them.
        known_classes: Classes of the data that such a file knows, as indices into them.
        mode: How the model starts from it: "same", "grow", "partial", or "fresh" where "auto" found no way.
        uri: Names the model that it starts from, as the version that "production" meant.
        note: What to tell the user about the start. It is empty where the recipe says it all.
    """

    digest: str = ""
    file: str = ""
    known_classes: tuple[int, ...] = ()
    mode: str = ""
    uri: str = ""
    note: str = ""


def set_start(
    model: Classifier, config: ModelConfig, model_name: str, splits: Splits, session: Session, *, seed: int = 0
) -> Start:
    """Give the model the first weights that its section of the recipe asks for, in place. Call it on all processes.

    A model that grows draws from `seed`, so that it is the same on all processes and after a resume.
    """
    from pct_mlops.models import freeze_backbone, load_pretrained, reset_head

    start = Start()
    if config.weights:
        load_pretrained(model, config.weights)
    if config.starts_from:
        reference = config.starts_from
        if reference == "production":
            reference = production_of(model_name, "model.init=production starts from", session)
        if config.init_arch and not is_weights_file(reference):
            raise ConfigError(f"{reference} records its own architecture: leave out model.init_arch.")
        plain, with_heads = architecture_of(config, splits, config.init_arch), not config.new_head
        classes = FileClasses(config.init_classes, "model.init_classes")
        source = fetch_weights(reference, model_name, session, plain, with_heads=with_heads, classes=classes)
        given = source.build()
        start = _start_from(_Pair(model, given, source.uri, with_heads, seed), config)._replace(uri=source.uri)
        if start.mode != "fresh":
            start = start._replace(digest=source.digest)
        if with_heads and is_weights_file(reference) and start.mode in ("same", "grow"):
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
    pair = _Pair(model, source, uri, with_heads)
    _check_single(pair)
    ours, other = pair.names
    _check_classifier(pair)
    try:
        _copy(pair)
    except PctError as error:
        ways = _other_ways(pair)
        if ours == other:
            raise error.reworded(f"{str(error).removesuffix('.')}{ways}.") from error
        # Two names are shorter than a list of all weights that differ.
        raise DataError(
            f"The model is a {ours} and should start from {uri}, which is a {other}: {ADVICE}{ways}."
        ) from error


class _Pair(NamedTuple):
    """The model, and the one that it starts from."""

    model: Classifier
    source: Classifier
    uri: str
    with_heads: bool
    seed: int = 0

    @property
    def names(self) -> tuple[str, str]:
        """Architectures of both, with their arguments."""
        ours, theirs = (part.architecture for part in (self.model, self.source))
        return f"{ours.name} {ours.kwargs or ''}".strip(), f"{theirs.name} {theirs.kwargs or ''}".strip()


def _start_from(pair: _Pair, config: ModelConfig) -> Start:
    """Start as `init_mode` says. Return how, and what to tell the user."""
    _check_single(pair)
    if config.init_mode == "auto":
        return _start_automatically(pair, head_only=config.train == "head")
    if config.init_mode == "partial":
        return Start(mode="partial", note=_partial(pair))
    if config.init_mode == "grow":
        _grow(pair)
        return Start(mode="grow", note=_grown(pair))
    warm_start(pair.model, pair.source, pair.uri, with_heads=pair.with_heads)
    return Start(mode="same")


def _start_automatically(pair: _Pair, *, head_only: bool) -> Start:
    """Start from equal weights, else by growth, else fresh. Return how, and what to tell the user."""
    with contextlib.suppress(PctError):
        _check_classifier(pair)
        _copy(pair)
        return Start(mode="same", note=f"The model starts from {pair.uri}, which has the same architecture.")
    try:
        _grow(pair)
    except PctError as error:
        if head_only:
            raise error.reworded(
                f"{str(error).removesuffix('.')}, and model.train=head would train nothing but the head of a fresh "
                "model: leave it out."
            ) from error
        return Start(mode="fresh", note=f"The model starts fresh and not from {pair.uri}. {error}")
    return Start(mode="grow", note=_grown(pair))


def _check_single(pair: _Pair) -> None:
    """Raise ConfigError for a start from the mean of several models, whose weights are not those of one."""
    from pct_mlops.models import LogitMean

    if isinstance(pair.source, LogitMean):
        members = " or ".join(part.source for part in pair.source.parts)
        raise ConfigError(
            f"{pair.uri} is the mean of {len(pair.source.parts)} models, and a training starts from the weights of "
            f"one: set model.init to a member ({members})."
        )


def _check_classifier(pair: _Pair) -> None:
    if pair.with_heads and type(pair.model.head) is not type(pair.source.head):
        raise ConfigError(
            f"The model starts from {pair.uri}, whose classifier is {pair.source.architecture.classifier} and not "
            f"{pair.model.architecture.classifier}: set model.new_head=true to start with a fresh head."
        )


def _copy(pair: _Pair) -> None:
    """Copy all weights, and the rows of the head by class name.

    Raise PctError, and copy none, where one does not fit.
    """
    import torch

    from pct_mlops.models import load_weights_into

    model, source = pair.model, pair.source
    mine, theirs = model.architecture.class_names, source.architecture.class_names
    with_all = pair.with_heads and mine == theirs
    load_weights_into(model, source.state_dict(), pair.uri, ADVICE, with_heads=with_all)
    if mine == theirs or not pair.with_heads:
        return
    with torch.no_grad():
        for name in set(mine) & set(theirs):
            for own, given in zip(model.head.parameters(), source.head.parameters(), strict=True):
                own[mine.index(name)] = given[theirs.index(name)]


def _grow(pair: _Pair) -> None:
    import torch

    from pct_mlops.models import grow_classifier

    generator = torch.Generator().manual_seed(pair.seed)
    grow_classifier(pair.model, pair.source, with_heads=pair.with_heads, generator=generator)


def _grown(pair: _Pair) -> str:
    ours, theirs = pair.names
    return f"The model starts with the function of {pair.uri}: a {theirs} has grown into a {ours}."


def _partial(pair: _Pair) -> str:
    """Copy the layers that fit, and return a sentence that counts them."""
    from pct_mlops.models import copy_fitting_layers

    taken = copy_fitting_layers(pair.model, pair.source, with_heads=pair.with_heads)
    left = taken.left[:MAX_PARTS]
    more = f" and {len(taken.left) - len(left)} more" if len(taken.left) > len(left) else ""
    fresh = f"Fresh are {', '.join(left)}{more}." if left else "Nothing is fresh."
    return (
        f"The model starts with {taken.num_taken:,} of its {taken.num_all:,} weights "
        f"({taken.num_taken / taken.num_all:.0%}) from {pair.uri}. {fresh}"
    )


def _other_ways(pair: _Pair) -> str:
    """Return the end of a sentence that names the other modes which would work. Return "" where none would."""
    import torch

    from pct_mlops.models import copy_fitting_layers, grown_weights

    with contextlib.suppress(PctError):
        grown_weights(pair.model, pair.source, with_heads=pair.with_heads, generator=torch.Generator())
        return ", or set model.init_mode=grow to start with its function"
    with contextlib.suppress(PctError):
        copy_fitting_layers(copy.deepcopy(pair.model), pair.source, with_heads=pair.with_heads)
        return ", or set model.init_mode=partial to take over the layers that fit"
    return ""
