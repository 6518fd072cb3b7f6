"""One of several processes that train with worker processes, of which one is killed: `dying_worker.py RANK FOLDER`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

import click
import fit_cases
from torch.utils.data import get_worker_info

from pct_mlops.cli import main as command
from pct_mlops.cli.main import pct
from pct_mlops.config import EngineConfig, OptimConfig
from pct_mlops.data import Split
from pct_mlops.data.pixels import ArrayPixels
from pct_mlops.engine import make_accelerator


class Deadly(ArrayPixels):
    """Pixels whose fourth reading kills the first worker, which notes the time."""

    folder: Path
    calls = 0

    def read(self, rows):
        self.calls += 1
        worker = get_worker_info()
        if self.calls == 4 and worker is not None and worker.id == 0:
            (self.folder / "died").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / f"{os.getpid()}.worker").touch()
        return super().read(rows)


@pct.command()
@click.argument("rank", type=int)
@click.argument("folder", type=Path)
def dying(rank: int, folder: Path) -> None:
    """Train two epochs, which one worker of the process `rank` does not survive."""
    accelerator = make_accelerator(EngineConfig(cpu=True))
    split = fit_cases.make_split(320)
    if accelerator.process_index == rank:
        pixels = Deadly(split.all_images())
        pixels.folder = folder
        split = Split("train", split.sample_ids, split.labels, pixels)
    data = fit_cases.PLAIN.model_copy(update={"num_workers": 2, "memory_cap_gb": 0})
    optim = OptimConfig(global_batch_size=16, epochs=2)
    loader = fit_cases.loader_for(split, accelerator, optim, data)
    fit_cases.train(fit_cases.make_model(), loader, accelerator, optim)


if __name__ == "__main__":
    sys.argv[1:1] = ["dying"]
    sys.exit(command())
