"""The module that every architecture becomes."""

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
    """What a family builds: all but embedding and heads.

    `backbone`: images -> features [N, D], or a tuple of features and one map for each of `aux_heads` (map -> [N, C]).
    `num_branches`: further heads on the features themselves. `dropout`: the network's own, before its last layer.
    `names`: where parts of a published file belong, for example {"fc": "head"}, None: nowhere; the rest: the backbone.
    """

    backbone: nn.Module
    num_features: int
    aux_heads: tuple[nn.Module, ...] = ()
    num_branches: int = 0
    dropout: float = 0.0
    names: dict[str, str | None] = field(default_factory=dict)


def without_head(network: nn.Module) -> Body:
    """A whole classifier without its last linear layer, and without the dropout before it, which the head takes over.

    The last nn.Linear of `network`, in the order in which its parts were made, is taken for its head. PctError when
    there is none.
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
    """Normalisation, backbone and head: images [N, C_in, H, W] float in [0, 1] -> ModelOutput.

    Normalisation is part of the model, so that a teacher with other statistics, and a served model, see plain images.
    Auxiliary heads speak for themselves in training; in evaluation `architecture.aux_eval` makes one answer of all.
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
        """Logits [N, C] and penultimate features [N, D], taken before dropout; in training the auxiliary logits too."""
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
        """Training mode, from which a frozen backbone is excepted: its BatchNorm and dropout stay as in evaluation."""
        super().train(mode)
        if self.backbone_frozen:
            self.backbone.eval()
        return self


class LogitsOnly(nn.Module):
    """What is served: images [N, C_in, H, W] -> logits [N, C], a plain tensor that any client understands."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, C]."""
        return self.model(images).logits
