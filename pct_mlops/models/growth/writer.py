"""Collects the new values of a growing model layer by layer, so that nothing is written when a later layer refuses."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pct_mlops.models.growth.channels import channel_map, spread_weight
from pct_mlops.models.growth.trunk import Unit, groups_of, norm_of

FORM = ("kernel_size", "stride", "padding", "dilation")


@dataclass
class Writer:
    """Pairs of a tensor of the new model and the values that it shall get.

    `generator` draws channel maps and shares. `place` is what errors call the part that grows at the moment. Methods
    raise ValueError, with a reason that completes a sentence about the new model, for layers that cannot compute the
    same.
    """

    generator: torch.Generator
    place: str = ""
    written: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def write(self, target: Tensor, values: Tensor) -> None:
        """Note the values that a tensor shall get. Raise ValueError where the shapes differ."""
        if target.shape != values.shape:
            raise ValueError(f"a tensor has the shape {tuple(target.shape)} instead of {tuple(values.shape)}")
        self.written.append((target, values.detach()))

    def draw(self, old: Unit, new: Unit, old_groups: int = 1, new_groups: int = 1) -> Tensor:
        """Draw the channel map [C_new] of the outputs of a unit.

        The groups are those of a grouped convolution that makes or takes these channels.
        """
        self._check_norm(old, new)
        try:
            return channel_map(groups_of(old, old_groups), groups_of(new, new_groups), self.generator)
        except ValueError as error:
            raise ValueError(f"in {self.place}, {error}") from error

    def grow_unit(self, old: Unit, new: Unit, inputs: Tensor, outputs: Tensor) -> None:
        """Grow a convolution and its norm, from the channel map of its inputs to that of its outputs."""
        self._check_form(old, new)
        weight = spread_weight(old.conv.weight, outputs, inputs, new.conv.groups, self.generator)
        self.write(new.conv.weight, weight)
        if old.conv.bias is not None and new.conv.bias is not None:
            self.write(new.conv.bias, old.conv.bias.cpu()[outputs])
        targets = new.norm.state_dict(keep_vars=True)
        for key, values in old.norm.state_dict().items():
            self.write(targets[key], values.cpu()[outputs] if values.dim() else values)

    def _check_form(self, old: Unit, new: Unit) -> None:
        for name in FORM:
            before, after = getattr(old.conv, name), getattr(new.conv, name)
            if before != after:
                raise ValueError(
                    f"{self.place} has a convolution with {name} {_short(after)} instead of {_short(before)}"
                )
        if (old.conv.bias is None) != (new.conv.bias is None):
            raise ValueError(f"{self.place} has a convolution with another kind of bias")
        self._check_norm(old, new)

    def _check_norm(self, old: Unit, new: Unit) -> None:
        (kind, eps), (wanted, other_eps) = norm_of(old.norm), norm_of(new.norm)
        if kind != wanted:
            raise ValueError(f"{self.place} has {wanted} instead of {kind}")
        if eps != other_eps or old.norm.state_dict().keys() != new.norm.state_dict().keys():
            raise ValueError(f"{self.place} has a {kind} with other settings")


def _short(size: object) -> object:
    """Return 3 for (3, 3)."""
    return size[0] if isinstance(size, tuple) and len(set(size)) == 1 else size
