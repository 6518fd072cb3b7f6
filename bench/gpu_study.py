"""Measures updates of a ResNet-18 on Fashion-MNIST over several seeds, within a few minutes of one GPU.

Two changes: the training data double, or the network gets wider. study_plan.py lists the methods, which were fixed
before the first training. Nothing is chosen on test. No tracking server and no mlflow is needed.

Finished trainings stand in OUTPUT/trainings.csv, one a row. The same command goes on where it stopped.

    PYTHONPATH=. python bench/gpu_study.py --output results
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from study_plan import (
    DATA,
    NETWORK,
    OLD,
    Row,
    Settings,
    Training,
    expected_seconds,
    old_folder,
    plan,
    read_rows,
    write_rows,
)
from study_table import results_table

if TYPE_CHECKING:
    from gpu_training import Study

# Module -> what pip calls it.
PACKAGES = {
    name: name for name in ("torch", "torchvision", "accelerate", "numpy", "pydantic", "safetensors", "rich", "joblib")
} | {"yaml": "pyyaml", "PIL": "pillow"}
CHANGES = {"data": DATA, "architecture": NETWORK}
Outcome = Future["Row | None"]


def main(words: Sequence[str] | None = None) -> None:
    options = parse(words)
    check_packages()
    from pct_mlops.errors import PctError

    try:
        run_study(options)
    except PctError as error:
        sys.exit(str(error))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="where trainings.csv, table.md and old models go")
    add("--data", type=Path, metavar="DIR", help="folder of Fashion-MNIST's four idx files (default: see data.root)")
    add("--changes", nargs="+", choices=[*CHANGES], default=[*CHANGES], help="what changes (default: both)")
    add("--seeds", type=int, default=5, help="seeds of each method: 1, 2, ... (default: %(default)s)")
    add("--epochs", type=int, default=30, help="epochs of a training (default: %(default)s)")
    add("--minutes", type=float, default=8.0, help="stop before so many minutes are over (default: %(default)s)")
    add("--arch", default="small_resnet18", help="a small_resnet of pct list models (default: %(default)s)")
    add("--width", type=int, default=32, help="channels of its first stage (default: %(default)s)")
    add("--wider", type=int, help="those of the wider network (default: half as many again)")
    add("--stem-stride", type=int, default=2, help="1 keeps 28x28 pixels, at 4 times the cost (default: %(default)s)")
    add("--batch", type=int, default=512, help="examples of a step (default: %(default)s)")
    add("--lr", type=float, default=0.1, help="learning rate at batch 128, scaled to --batch (default: %(default)s)")
    add("--images", type=int, default=0, metavar="N", help="at most N images of train and of test, for a try (0: all)")
    add("--device", choices=["cuda", "cpu"], help="where to train (default: cuda where torch finds a GPU)")
    add("--together", type=int, help="trainings at once, each in a process of its own (default: 4 on a GPU, else 1)")
    add("--compile", action="store_true", help="compile the new model with torch.compile")
    options = parser.parse_args(words)
    for name in ("seeds", "epochs", "width", "stem_stride", "batch", "together", "wider"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} should be 1 or more")
    return options


def check_packages() -> None:
    """End with one sentence where a package is missing."""
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        sys.exit(f"This study needs {', '.join(missing)}: run `pip install {' '.join(missing)}`.")
    if importlib.util.find_spec("pct_mlops") is None:
        sys.exit("This study needs pct_mlops: set PYTHONPATH to the folder above bench.")


def run_study(options: argparse.Namespace) -> None:
    """Run what is missing of the study in the time that there is, and write the table."""
    began = time.time()
    # Before torch is imported, and read by the processes that start: bars would be drawn over each other.
    os.environ.setdefault("TTY_COMPATIBLE", "0")
    import torch
    from gpu_training import Study

    cpu = options.device == "cpu" or (options.device is None and not torch.cuda.is_available())
    if not cpu and not torch.cuda.is_available():
        sys.exit("torch finds no GPU here: choose --device cpu, or install a torch that was built for CUDA.")
    settings = settings_of(options, cpu)
    rows = known_rows(options.output, settings)
    known = {row.training for row in rows}
    changes = [change for word, change in CHANGES.items() if word in options.changes]
    waiting = [training for training in plan(changes, options.seeds) if training not in known]
    deadline = began + 60 * options.minutes
    study = Study(settings, options.output, options.data, cpu, options.compile, deadline)

    def keep(row: Row) -> None:
        rows.append(row)
        write_rows(options.output / "trainings.csv", rows)
        flips = "" if row.nfr is None else f", NFR {100 * row.nfr:.2f} %"
        facts = f"accuracy {100 * row.accuracy:.2f} %{flips}, {row.seconds:.1f} s"
        print(f"{row.change}, {row.method}, seed {row.seed}: {facts}", flush=True)

    together = options.together or (1 if cpu else 4)
    left = run_all(waiting, study, together, keep)
    text = results_table(rows)
    (options.output / "table.md").write_text(text, encoding="utf-8")
    device, minutes = "the CPU" if cpu else torch.cuda.get_device_name(), (time.time() - began) / 60
    print(f"\n{text}\n{len(waiting) - len(left)} trainings in {minutes:.1f} minutes on {device}, {together} at once.")
    if left:
        print(f"There was no time for {len(left)} of {len(waiting)}: the same command goes on with them.")


def settings_of(options: argparse.Namespace, cpu: bool) -> Settings:
    """Return the settings that change numbers."""
    given = {key: getattr(options, key) for key in ("arch", "width", "stem_stride", "epochs", "batch", "lr", "images")}
    wider = options.wider or max(options.width + 1, options.width * 3 // 2)
    return Settings(**given, wider=wider, precision="no" if cpu else "bf16")


def known_rows(output: Path, settings: Settings) -> list[Row]:
    """Return the finished trainings in a folder, and write the settings there.

    End with one sentence where they have other settings, or where their old model is gone.
    """
    output.mkdir(parents=True, exist_ok=True)
    path, ours = output / "settings.json", asdict(settings)
    rows = read_rows(output / "trainings.csv")
    if rows and path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["digest"] != settings.digest:
            other = [f"{key} {value}" for key, value in stored["settings"].items() if ours.get(key) != value]
            what = ", ".join(other) or "other methods"
            sys.exit(f"{output} holds trainings with {what}: choose another folder, or give the same settings.")
    for change in {row.change for row in rows}:
        if not (old_folder(output, change) / "model.safetensors").exists():
            sys.exit(f"{output} holds trainings of {change} without their old model: choose another folder.")
    path.write_text(json.dumps({"digest": settings.digest, "settings": ours}, indent=2) + "\n", encoding="utf-8")
    return rows


def run_all(waiting: Sequence[Training], study: Study, together: int, on_row: Callable[[Row], None]) -> list[Training]:
    """Run trainings in their order, `together` at once. Return those for which there was no time.

    A training begins only if it is expected to end before the deadline. The first one that is not ends the study.
    """
    left, running = list(waiting), dict[Outcome, Training]()
    done: list[Row] = []
    unfinished: list[Training] = []
    with make_executor(together) as executor:
        while left or running:
            while left and len(running) < together and may_begin(left[0], running.values()):
                if time.time() + expected_seconds(left[0], done, study.settings) > study.deadline:
                    unfinished, left = [*unfinished, *left], []
                else:
                    training = left.pop(0)
                    running[begin(executor, training, study)] = training
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                training, row = running.pop(future), future.result()
                if row is None:
                    unfinished.append(training)
                else:
                    done.append(row)
                    on_row(row)
    return unfinished


def begin(executor: Executor, training: Training, study: Study) -> Outcome:
    """Start a training."""
    from gpu_training import train

    return executor.submit(train, training, study)


def may_begin(training: Training, running: Iterable[Training]) -> bool:
    """Tell whether no old model, which the training may need, is in training at the moment."""
    return training.method == OLD or all(other.method != OLD for other in running)


def make_executor(together: int) -> Executor:
    """Return processes that share the device, or a thread of this process where trainings run one by one."""
    if together == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(together, mp_context=multiprocessing.get_context("spawn"))


if __name__ == "__main__":
    main()
