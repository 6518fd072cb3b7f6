"""Shows a progress bar with loss and images per second, on the main process only."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from torch import Tensor

REFRESH_SECONDS = 0.5  # not at every step, because reading a loss waits for the device


class Progress:
    """Context manager around work on `total` images. At its end, `images_per_second` is the mean over all of it."""

    def __init__(self, title: str, total: int, visible: bool) -> None:
        self.images_per_second = 0.0
        self._images = 0
        self._start = self._shown = time.perf_counter()
        self._bar: RichProgress | None = None
        console = Console(stderr=True)
        # In a log a bar is noise, and the caller's line per epoch says what happened.
        if visible and console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[facts]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
                refresh_per_second=4,
            )
            self._task = self._bar.add_task(title, total=total, facts="")

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        self._start = time.perf_counter()
        return self

    def advance(self, num_images: int, loss: Tensor | None = None) -> None:
        """Count one step over `num_images` images of all processes, and show its `loss`."""
        self._images += num_images
        now = time.perf_counter()
        if self._bar is None or now - self._shown < REFRESH_SECONDS:
            return
        facts = f"{self._images / (now - self._start):,.0f} images/s"
        if loss is not None:
            facts = f"loss {float(loss):.4f}  {facts}"
        self._bar.update(self._task, completed=self._images, facts=facts)
        self._shown = now

    def __exit__(self, *exc: Any) -> None:
        self.images_per_second = self._images / max(time.perf_counter() - self._start, 1e-9)
        if self._bar:
            self._bar.stop()
