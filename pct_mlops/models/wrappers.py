"""Takes off what programs put around a network before they save it: prefixes of names, and counters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from torch import Tensor

# DistributedDataParallel and DataParallel, torch.compile, and modules that hold the network as `self.model`.
PREFIXES = ("module.", "_orig_mod.", "model.")
MAX_DEPTH = 6
COUNTERS = {"n_averaged"}  # of torch.optim.swa_utils.AveragedModel


def unwrapped(
    state: Mapping[str, Tensor], own: Collection[str], rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the renamed weights of the network inside its wrappers.

    Prefixes may be nested, and a network may really have a part called `model`. Therefore every way to take prefixes
    off is tried, and the one with the most names that the network knows is taken. Weights without the prefix belong to
    something beside the network, such as a loss with weights of its own, and are left out with it.

    Args:
        state: Weights under the names in the file.
        own: Names that the network knows.
        rename: Turns names of the file into names of the network.
    """
    return max((rename(found) for found in _candidates(state, MAX_DEPTH)), key=lambda found: len(own & found.keys()))


def _candidates(state: Mapping[str, Tensor], depth: int) -> Iterator[dict[str, Tensor]]:
    """Yield the weights as they are first, then with prefixes taken off."""
    # torch.compile may also have wrapped a part inside. No part is called _orig_mod otherwise.
    plain = {key.replace("._orig_mod.", "."): value for key, value in state.items() if key not in COUNTERS}
    yield plain
    for prefix in PREFIXES if depth else ():
        inner = {key.removeprefix(prefix): value for key, value in plain.items() if key.startswith(prefix)}
        if inner:
            yield from _candidates(inner, depth - 1)


def shared_prefix(names: Collection[str]) -> str:
    """Return the first part of a dotted name, with its dot, when all names begin with it. Return "" otherwise."""
    first = {name.partition(".")[0] for name in names}
    return f"{first.pop()}." if len(first) == 1 and all("." in name for name in names) else ""
