"""Opens what every job that computes needs: the processes and the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pct_mlops.registry import Registry
from pct_mlops.workflows.runtime.distributed import on_main

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Session:
    """A launch: all its processes and the registry, which is open on the main process only and None on the others."""

    accelerator: Accelerator
    registry: Registry | None

    @property
    def is_main(self) -> bool:
        """True on the process that prints, writes files and talks to the registry."""
        return self.accelerator.is_main_process


def open_session(accelerator: Accelerator, tracking_uri: str | None, *, create: bool) -> Session:
    """Open the registry on the main process. A registry that does not open is a PctError on all processes.

    `create` permits making a local store that does not exist yet.
    """
    opened: list[Registry] = []
    on_main(accelerator, lambda: opened.append(Registry(tracking_uri, create=create)))
    registry = opened[0] if opened else None
    return Session(accelerator, registry)
