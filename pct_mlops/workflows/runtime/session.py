"""What every job that computes needs: the processes and the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pct_mlops.registry import Registry
from pct_mlops.workflows.runtime.distributed import on_main

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Session:
    """All processes of one launch. `registry` is open on the main process only, and None on the others."""

    accelerator: Accelerator
    registry: Registry | None

    @property
    def is_main(self) -> bool:
        """Whether this process speaks, writes and asks the registry."""
        return self.accelerator.is_main_process


def open_session(accelerator: Accelerator, tracking_uri: str | None, *, create: bool) -> Session:
    """The registry on the main process; one that does not open is a PctError on all of them.

    `create` permits making a local store that is not there.
    """
    opened: list[Registry] = []
    on_main(accelerator, lambda: opened.append(Registry(tracking_uri, create=create)))
    registry = opened[0] if opened else None
    return Session(accelerator, registry)
