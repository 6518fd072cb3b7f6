"""The classifier: one module that every architecture becomes."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pct_mlops.errors import ConfigError, DataError
from pct_mlops.models.architecture import Architecture
from pct_mlops.models.heads import combine, make_head
from pct_mlops.models.output import ModelOutput


@dataclass(frozen=True)
class Body:
    """Part of a classifier that its family builds: all but embedding and main head.

    `backbone` maps images to features [N, D], with D = `num_features`. It may also return a tuple of the features and
    one map for each of `aux_heads`, which turn these maps into logits [N, C].
    `num_branches` is the number of further heads on the features themselves.
    `dropout` is the rate that the network itself has before its last layer.
    `names` says where the parts of a published file belong, for example {"fc": "head"}. A part with None is left out,
    and a part that is not named belongs to the backbone.
    """

    backbone: nn.Module
    num_features: int
    aux_heads: tuple[nn.Module, ...] = ()
    num_branches: int = 0
    dropout: float = 0.0
    names: dict[str, str | None] = field(default_factory=dict)


def without_head(network: nn.Module) -> Body:
    """Take the last linear layer off a whole classifier, in place, together with the dropout right before it.

    The classifier's new head takes over that dropout. The last nn.Linear of `network`, in the order in which its parts
    were made, counts as its head. Raise PctError when there is none.
    """
    layers = [(path, module) for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not layers or not layers[-1][0]:
        raise DataError(
            "The network has no linear layer inside that could be its head: return it without head, as Body."
        )
    path, last = layers[-1]
    parent_path, _, child = path.rpartition(".")
    parent = network.get_submodule(parent_path)
    children = list(dict(parent.named_children()))
    before = children[children.index(child) - 1] if child != children[0] else child
    setattr(parent, child, nn.Identity())
    dropout = getattr(parent, before)
    if not isinstance(dropout, nn.Dropout):
        return Body(network, last.in_features, names={path: "head"})
    setattr(parent, before, nn.Identity())
    return Body(network, last.in_features, dropout=dropout.p, names={path: "head"})


class Classifier(nn.Module):
    """Normalisation, backbone and heads: images [N, C_in, H, W] float in [0, 1] -> ModelOutput.

    Normalisation is part of the model, so that a teacher with other statistics and a served model take plain images.
    In training the auxiliary heads return logits of their own. In evaluation `architecture.aux_eval` says how the
    logits of all heads become one.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, body: Body) -> None:
        super().__init__()
        if architecture.aux_eval != "main" and not (body.aux_heads or body.num_branches):
            raise ConfigError(
                f"{architecture.name} has one head only: leave model.aux_eval out, "
                "or choose an architecture with several, for example aux_resnet18 or mb_resnet18."
            )
        self.architecture = architecture
        self.register_buffer("mean", torch.tensor(architecture.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(architecture.std).view(1, -1, 1, 1))
        self.backbone = body.backbone
        width, embedding_dim = body.num_features, architecture.embedding_dim
        self.embedding: nn.Module = nn.Linear(width, embedding_dim) if embedding_dim else nn.Identity()
        self.num_features = embedding_dim or width
        dropout = architecture.dropout or body.dropout
        self.dropout: nn.Module = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = make_head(architecture, self.num_features)
        branches = [make_head(architecture, self.num_features) for _ in range(body.num_branches)]
        self.aux_heads = nn.ModuleList([*body.aux_heads, *branches])
        self.names = body.names
        self.backbone_frozen = False

    def forward(self, images: Tensor) -> ModelOutput:
        """Return logits [N, C] and penultimate features [N, D], which are taken before dropout.

        In training it also returns the logits of the auxiliary heads.
        """
        found = self.backbone((images - self.mean) / self.std)
        features, *maps = found if isinstance(found, tuple) else (found,)
        features = self.embedding(features)
        hidden = self.dropout(features)
        logits = self.head(hidden)
        how = self.architecture.aux_eval
        if not self.aux_heads or (how == "main" and not self.training):
            return ModelOutput(logits, features)
        inputs = maps or [hidden] * len(self.aux_heads)
        aux = tuple(head(values) for head, values in zip(self.aux_heads, inputs, strict=True))
        if self.training:
            return ModelOutput(logits, features, aux)
        return ModelOutput(combine(how, (logits, *aux)), features)

    def train(self, mode: bool = True) -> Classifier:
        """Set training mode, but keep a frozen backbone, with its BatchNorm and dropout, in evaluation mode."""
        super().train(mode)
        if self.backbone_frozen:
            self.backbone.eval()
        return self


class LogitsOnly(nn.Module):
    """The served model: images [N, C_in, H, W] -> logits [N, C], a plain tensor that any client understands."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, C]."""
        return self.model(images).logits
