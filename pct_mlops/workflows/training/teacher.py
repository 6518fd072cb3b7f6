"""Builds the teacher: one or several frozen old models, matched by class name.

They are rebuilt on every process, without unpickling.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pct_mlops.config import FileClasses, ModelConfig, TeacherConfig, TeacherMember
from pct_mlops.errors import ConfigError
from pct_mlops.workflows.runtime.model_weights import Weights, architecture_of, fetch_weights, production_of
from pct_mlops.workflows.runtime.session import Session

if TYPE_CHECKING:
    from torch import nn

    from pct_mlops.data import Splits
    from pct_mlops.models import Classifier, Ensemble


@dataclass(frozen=True)
class Teacher:
    """The old model, and where it came from: `models:/name/version`, or the several that it is the mean of.

    `digest` is sha256 over the weights and shares of all members, so it changes when the predictions do.
    """

    model: Ensemble
    uri: str
    digest: str

    def head(self, class_names: Sequence[str]) -> nn.Linear | None:
        """Return the old classifier on top of the old features, with one row for each class that both know.

        Return None for an ensemble, whose members have one each, and for a classifier that is not linear.
        """
        from torch import nn

        first: Classifier = self.model.members[0]  # type: ignore[assignment]
        head = first.head
        if len(self.model.members) > 1 or type(head) is not nn.Linear:
            return None
        names = [class_names[index] for index in self.model.known_classes]
        rows = [first.architecture.class_names.index(name) for name in names]
        kept = nn.Linear(head.in_features, len(rows), bias=head.bias is not None)
        kept.load_state_dict({key: value[rows] for key, value in head.state_dict().items()})
        return kept.requires_grad_(False)


def fetch_references(
    config: TeacherConfig, splits: Splits, session: Session, *, loss: str, new: ModelConfig, model_name: str
) -> list[tuple[Weights, float]]:
    """Fetch the weights of every model that a teacher section refers to. Return them with their shares.

    A section that names neither models nor members means production.

    Args:
        config: The teacher section.
        splits: The data, whose classes and shape an architecture needs.
        session: The processes and the registry.
        loss: The loss of the training. The error for missing production names it.
        new: The model section. A checkpoint that does not say its architecture has that of the new model.
        model_name: The registered model whose production is meant.
    """
    why = f"loss={loss} trains against"
    members = config.refs or ((TeacherMember(ref=config.ref, classes=config.classes),) if config.ref else ())
    if not members and not config.num_members:
        members = (TeacherMember(ref=production_of(model_name, why, session)),)
    found = []
    for member in members:
        reference = member.ref
        if reference == "production":
            reference = production_of(model_name, why, session)
        plain = architecture_of(new, splits, member.arch)
        classes = FileClasses(member.classes, "classes in teacher.refs" if config.refs else "teacher.classes")
        weights = fetch_weights(reference, model_name, session, plain, classes=classes)
        found.append((weights, member.weight))
    return found


def build_teacher(members: Sequence[tuple[Weights, float]], splits: Splits) -> Teacher:
    """Build one teacher of weighted members.

    Raise PctError unless all take images of the data's shape, and share some classes.
    """
    from pct_mlops.models import Ensemble

    models = []
    for weights, _ in members:
        model = weights.build()
        if model.architecture.image_shape != splits.image_shape:
            raise ConfigError(
                f"The teacher {weights.uri} sees images of shape {model.architecture.image_shape} and the data has "
                f"{splits.image_shape}: set data.image_size to the teacher's."
            )
        models.append(model)
    ensemble = Ensemble(models, [share for _, share in members], splits.class_names)
    digest = hashlib.sha256()
    for weights, share in members:
        digest.update(weights.record + weights.weights + repr(share).encode())
    return Teacher(ensemble, " + ".join(weights.uri for weights, _ in members), digest.hexdigest())
