"""Maps the channels of a wide layer to those of a narrow one, and spreads the narrow layer's weights over them.

A channel of the narrow layer may have several replicas in the wide one. All replicas hold the same values, because they
have the same incoming weights. They share the outgoing weight of their channel among them, so the next layer adds up
the same total as before (Chen et al., arXiv 1511.05641, section 2.3).

With equal shares, replicas would get equal gradients and stay equal for ever. The paper adds noise to the weights,
which changes the function. Here the shares are unequal and random, and add up to one. So the function stays, and the
gradients of the replicas differ. Each output draws shares of its own, so that these gradients differ in direction and
not in length alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LEAST, MOST = 0.5, 1.5  # bounds of a share before the shares of a channel are divided by their sum


class ChannelGroups(NamedTuple):
    """Channels of one layer, and their groups.

    Attributes:
        num_channels: C, the channels of the layer.
        num_groups: Groups of neighbouring channels that a grouped convolution or a group norm treats on their own.
        is_normalised: A group norm takes mean and variance of each group, so replicas may not change them.
    """

    num_channels: int
    num_groups: int = 1
    is_normalised: bool = False

    @property
    def group_size(self) -> int:
        """Channels of one group."""
        return self.num_channels // self.num_groups


def channel_map(old: ChannelGroups, new: ChannelGroups, generator: torch.Generator) -> Tensor:
    """Return for each channel of the new layer the channel of the old one that it replicates, int64 [C_new].

    Group j of the new layer replicates group j modulo the number of old groups. Within a group every old channel comes
    first once, in order. The other replicas are drawn such that no channel has two more of them than another.
    Raise ValueError, with a reason that completes a sentence, where there is no such map.
    """
    if new.num_channels < old.num_channels:
        raise ValueError(f"{new.num_channels} channels cannot hold the function of {old.num_channels}")
    size, wanted = old.group_size, new.group_size
    if new.num_groups < old.num_groups or wanted < size:
        raise ValueError(
            f"{new.num_groups} group(s) of {wanted} channels cannot hold the function of {old.num_groups} group(s) of "
            f"{size}"
        )
    if (old.is_normalised or new.is_normalised) and wanted % size:
        raise ValueError(
            f"groups of {size} channels become groups of {wanted}, and group norm keeps its mean and variance only "
            "where every channel gets equally many replicas: choose a width that is a whole multiple"
        )
    groups = []
    for group in range(new.num_groups):
        rounds = [torch.arange(size)]
        while len(rounds) * size < wanted:
            rounds.append(torch.randperm(size, generator=generator))
        groups.append(torch.cat(rounds)[:wanted] + (group % old.num_groups) * size)
    return torch.cat(groups)


def spread_weight(
    weight: Tensor, outputs: Tensor, inputs: Tensor, new_groups: int, generator: torch.Generator
) -> Tensor:
    """Spread the weight of a convolution or a linear layer over the channels of a wider one.

    Args:
        weight: [O_old, I_old / groups, ...] of the old layer.
        outputs: Channel map [O_new] of what the layer gives.
        inputs: Channel map [I_new] of what the layer takes.
        new_groups: Groups of the new convolution. It is 1 for a linear layer.
        generator: Draws the shares.

    Returns:
        [O_new, I_new / new_groups, ...]. Without replicas among the inputs, every value is copied exactly.
    """
    size = weight.shape[1]
    per_group = inputs.view(new_groups, -1)
    # Within a group the old channels are neighbours, so their place in the group is what remains of the division.
    columns = (per_group % size).repeat_interleave(len(outputs) // new_groups, dim=0)
    drawn = LEAST + (MOST - LEAST) * torch.rand(columns.shape, generator=generator, dtype=torch.float64)
    totals = torch.zeros(len(outputs), size, dtype=torch.float64).scatter_add_(1, columns, drawn)
    shares = drawn / totals.gather(1, columns)
    picked = weight.detach().cpu()[outputs[:, None], columns]
    return (picked * shares.view(*shares.shape, *[1] * (weight.dim() - 2))).to(weight.dtype)
