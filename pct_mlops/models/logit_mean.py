"""The mean of several classifiers as one classifier, whose record holds the records of its members.

A mean is made of classifiers that exist, and is never trained. From its record and weights it is rebuilt like any other
classifier, so it is served, scored, judged and used as a teacher in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from pct_mlops.config.base import Config, validate
from pct_mlops.errors import DataError
from pct_mlops.models.architecture import Architecture
from pct_mlops.models.classifier import Classifier
from pct_mlops.models.ensemble import Ensemble
from pct_mlops.models.output import ModelOutput

# In records only. It is no name of `pct list models`, because a recipe cannot train it.
LOGIT_MEAN = "logit_mean"


class MemberRecord(Config):
    """Record of a member: its architecture, its weight in the mean, and the version that it came from."""

    source: str
    weight: float = Field(gt=0, allow_inf_nan=False)
    architecture: Architecture


class _Arguments(Config):
    members: tuple[MemberRecord, ...] = Field(min_length=2)


class Part(NamedTuple):
    """A classifier that becomes a member of a mean, with its weight and the version that it came from."""

    source: str
    weight: float
    model: Classifier


class LogitMean(Classifier):
    """A frozen classifier: logits = sum(w_m z_m) / sum(w_m) over its members, whose classes are matched by name.

    Every member normalises the images itself. Features are the weighted mean where all members have the same width,
    else None. There is no head, so `head` is an identity.
    """

    def __init__(self, architecture: Architecture, members: Sequence[Classifier]) -> None:
        # Classifier would build a head and normalise the images a second time.
        nn.Module.__init__(self)
        self.architecture = architecture
        # Not saved, and not used in `forward`: they say that images are taken as they are.
        self.register_buffer("mean", torch.tensor(architecture.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std).view(1, -1, 1, 1), persistent=False)
        records = member_records(architecture)
        _check_fit(architecture, [(record.source, member) for record, member in zip(records, members, strict=True)])
        self.backbone = Ensemble(members, [record.weight for record in records], architecture.class_names)
        self.num_features = self.backbone.num_features  # type: ignore[assignment]
        self.embedding, self.dropout = nn.Identity(), nn.Identity()
        self.head = nn.Identity()  # type: ignore[assignment]
        self.aux_heads = nn.ModuleList()
        self.names = {}
        self.backbone_frozen = True
        self.eval()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The members with their weights and sources."""
        members: Sequence[Classifier] = self.backbone.members  # type: ignore[assignment]
        pairs = zip(member_records(self.architecture), members, strict=True)
        return tuple(Part(record.source, record.weight, member) for record, member in pairs)

    def forward(self, images: Tensor) -> ModelOutput:
        """Return logits [N, C] and features for images [N, C_in, H, W] in [0, 1]."""
        output: ModelOutput = self.backbone(images)
        return output

    def train(self, mode: bool = True) -> LogitMean:
        """Stay in evaluation mode, because a mean is never trained."""
        nn.Module.train(self, False)
        return self


def mean_of_models(parts: Sequence[Part], class_names: Sequence[str]) -> LogitMean:
    """Build the mean of at least two classifiers, with its logits in the order of `class_names`.

    A part that is a mean itself is replaced by its members, each with its share of the part's weight. Members with the
    same weights become one, so that none is run twice.

    Raises:
        PctError: The members have other classes, take images of other shapes, or are all the same model.
    """
    single = _merged(flattened(parts))
    if len(single) < 2:
        raise DataError(
            f"All members have the weights of {single[0].source}, so their mean is that model: name versions that "
            "differ."
        )
    members = [
        {"source": part.source, "weight": part.weight, "architecture": part.model.architecture.model_dump(mode="json")}
        for part in single
    ]
    shape = single[0].model.architecture.image_shape
    record = Architecture(
        name=LOGIT_MEAN,
        kwargs={"members": members},
        class_names=tuple(class_names),
        image_shape=shape,
        # The members bring their own normalisation.
        mean=(0.0,) * shape[0],
        std=(1.0,) * shape[0],
    )
    return LogitMean(record, [part.model for part in single])


def flattened(parts: Sequence[Part]) -> list[Part]:
    """Replace each part that is a mean by its members. A member's weight is its share of the part's weight."""
    found: list[Part] = []
    for part in parts:
        if isinstance(part.model, LogitMean):
            inner = part.model.parts
            total = sum(member.weight for member in inner)
            found += [member._replace(weight=part.weight * member.weight / total) for member in inner]
        else:
            found.append(part)
    return found


def _merged(parts: Sequence[Part]) -> list[Part]:
    """Return the parts with those of one model put together. Their weights add up."""
    found: list[Part] = []
    for part in parts:
        same = next((place for place, other in enumerate(found) if _are_one(part.model, other.model)), None)
        if same is None:
            found.append(part)
        else:
            found[same] = found[same]._replace(weight=found[same].weight + part.weight)
    return found


def _are_one(one: Classifier, other: Classifier) -> bool:
    if one.architecture != other.architecture:
        return False
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(mine[key], theirs[key]) for key in mine)


def member_records(architecture: Architecture) -> tuple[MemberRecord, ...]:
    """Return the records of a mean's members. Raise PctError when the record of the mean does not hold them."""
    found = validate(_Arguments, architecture.kwargs, f"The arguments of {LOGIT_MEAN}").members
    if any(record.architecture.name == LOGIT_MEAN for record in found):
        raise DataError(f"A member of a {LOGIT_MEAN} is a mean itself: register it with 'pct ensemble --register'.")
    return found


def names_in(architecture: Architecture) -> list[str]:
    """Return the names of all architectures that a record needs: its own, or those of its members."""
    if architecture.name != LOGIT_MEAN:
        return [architecture.name]
    return [record.architecture.name for record in member_records(architecture)]


def _check_fit(mean: Architecture, members: Sequence[tuple[str, Classifier]]) -> None:
    """Raise DataError unless all members know the classes of the mean and take its images."""
    for source, member in members:
        own = member.architecture
        if own.image_shape != mean.image_shape:
            raise DataError(
                f"{source} takes images of shape {own.image_shape} and {members[0][0]} those of {mean.image_shape}: "
                "choose members that take the same images."
            )
        differing = sorted(set(own.class_names) ^ set(mean.class_names))
        if differing:
            verb = "knows" if differing[0] in own.class_names else "lacks"
            raise DataError(
                f"{source} {verb} the class '{differing[0]}', unlike another member: choose members that know the same "
                "classes."
            )
