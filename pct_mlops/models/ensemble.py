"""Ensembles: the weighted mean of the logits of several classifiers, over the classes that all of them know."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pct_mlops.errors import DataError
from pct_mlops.models.classifier import Classifier
from pct_mlops.models.output import ModelOutput


class Ensemble(nn.Module):
    """Frozen classifiers whose weighted mean is the output: logits = sum(w_m z_m) / sum(w_m).

    Logits are [N, K] of the classes in `known_classes`, which are ascending indices into `class_names`. Classes are
    matched by name.
    Features [N, D] are the weighted mean of the members' features, or None where their widths differ.
    """

    weights: Tensor

    def __init__(self, members: Sequence[Classifier], weights: Sequence[float], class_names: Sequence[str]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        # Not saved: the record of an ensemble holds its weights.
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32), persistent=False)
        self.known_classes = common_classes([member.architecture.class_names for member in members], class_names)
        names = [class_names[index] for index in self.known_classes]
        self._columns: list[list[int] | None] = []
        for member in members:
            columns = [member.architecture.class_names.index(name) for name in names]
            # Most teachers know exactly the classes of the new model. Then there is nothing to pick.
            self._columns.append(None if columns == list(range(len(member.architecture.class_names))) else columns)
        self.eval().requires_grad_(False)

    @property
    def num_features(self) -> int | None:
        """D, or None where the members' widths differ."""
        widths = {member.num_features for member in self.members}
        return widths.pop() if len(widths) == 1 else None  # type: ignore[return-value]

    def forward(self, images: Tensor) -> ModelOutput:
        """Return logits [N, K] float32 and features for images [N, C_in, H, W] in [0, 1]."""
        outputs = [member(images) for member in self.members]
        shares = self.weights / self.weights.sum()
        logits = torch.stack(
            [
                share * (output.logits if columns is None else output.logits[:, columns]).float()
                for share, output, columns in zip(shares, outputs, self._columns, strict=True)
            ]
        ).sum(dim=0)
        if self.num_features is None or any(output.features is None for output in outputs):
            return ModelOutput(logits)
        pairs = zip(shares, outputs, strict=True)
        return ModelOutput(logits, torch.stack([share * output.features.float() for share, output in pairs]).sum(dim=0))


def common_classes(members: Sequence[Sequence[str]], class_names: Sequence[str]) -> tuple[int, ...]:
    """Return the indices into `class_names` of the classes that every member knows by name.

    Raise PctError when there is none.
    """
    shared = set(class_names).intersection(*map(set, members))
    if not shared:
        example = next((name for names in members for name in names), "none")
        raise DataError(
            f"The teacher knows none of the {len(class_names)} classes of the data (it knows '{example}', the data has "
            f"'{class_names[0]}'): choose another teacher, or rename the classes."
        )
    return tuple(index for index, name in enumerate(class_names) if name in shared)
