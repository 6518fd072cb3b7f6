"""Counts the hand-overs of a recipe through `pct train`, and of a policy through `pct gate`, that a reader follows.

In a child process `pct` trains a tiny network on the digits and promotes it. Then it trains a second one against the
first and gates it with --promote. Only this second pair is followed.

A call of a function of the package counts if it holds the whole recipe (policy). It may be an argument, a variable of
an enclosing function, or lie inside either, at most two attributes deep. Code of `pct_mlops.config` itself is left out,
and so are lambdas, comprehensions and what dataclasses generate.

    calls      calls of such functions
    modules    different modules that they are in
    stops      calls that are in another module than the one before
    returns    stops in a module that the walk was in before (stops - modules)

Run it in any checkout: `python bench/walk.py [--package FOLDER] [--show]`, with FOLDER the checkout to measure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DEPTH = 2  # attributes between an argument and the recipe inside it
RECIPE = """\
model_name: digits
data: {name: digits, augment: {crop: none, flip: false}, num_workers: 0}
model: {name: small_resnet8, kwargs: {width: 4}}
optim: {epochs: 1, lr: 0.1, global_batch_size: 256}
engine: {cpu: true}
"""
POLICY = "rules: [{metric: nfr, max: 0.9}]\n"


@dataclass(frozen=True)
class Walk:
    """The counts of one walk. `path` names the module and function of every call that counts."""

    modules: int
    calls: int
    stops: int
    returns: int
    path: list[str]


class Recorder:
    """A profile function that records each call that holds an instance of `wanted`."""

    def __init__(self, wanted: type) -> None:
        self.wanted = wanted
        self.calls: list[tuple[str, str]] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Record one event of sys.setprofile."""
        if event != "call":
            return
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if not module.startswith("pct_mlops.") or module.startswith("pct_mlops.config") or name.startswith("<"):
            return
        if frame.f_code.co_filename == "<string>":  # code that dataclasses generate
            return
        # When a call begins, only arguments and variables of an enclosing function are bound.
        if any(self._holds(value, DEPTH) for value in list(frame.f_locals.values())):
            self.calls.append((module, frame.f_code.co_qualname))

    def _holds(self, value: Any, depth: int) -> bool:
        if isinstance(value, self.wanted):
            return True
        if not depth or not type(value).__module__.startswith("pct_mlops."):
            return False
        return any(self._holds(part, depth - 1) for part in _parts(value))

    def walk(self) -> Walk:
        """Return the counts over the recorded calls."""
        stops = [module for module, _ in groupby(module for module, _ in self.calls)]
        modules = len(set(stops))
        path = [f"{module.removeprefix('pct_mlops.')}:{name}" for module, name in self.calls]
        return Walk(modules, len(self.calls), len(stops), len(stops) - modules, path)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        yield from value
    elif not isinstance(value, type):
        yield from list(getattr(value, "__dict__", {}).values())


def follow(wanted: type, work: Callable[[], int]) -> Walk:
    """Run `work`, which must return 0, and record the walk of every instance of `wanted`."""
    recorder = Recorder(wanted)
    sys.setprofile(recorder)
    try:
        code = work()
    finally:
        sys.setprofile(None)
    if code:
        raise SystemExit(f"The command that was followed ended with {code}.")
    return recorder.walk()


def child() -> None:
    """Train, promote, train and gate in the current folder. Print both walks as JSON on the last line."""
    from pct_mlops.cli import main
    from pct_mlops.config import Policy, Recipe

    Path("recipe.yaml").write_text(RECIPE)
    Path("policy.yaml").write_text(POLICY)
    gate = ["gate", "digits@candidate", "--promote", "--json", "report.json"]
    if main(["train", "recipe.yaml", "--loss", "none"]) or main(gate):
        raise SystemExit("The baseline could not be made.")
    words = ["train", "recipe.yaml", "--loss", "ldi", "--set", "seed.model=1"]
    found = {"recipe": follow(Recipe, lambda: main(words)), "policy": follow(Policy, lambda: main(gate))}
    print("\n" + json.dumps({name: asdict(walk) for name, walk in found.items()}))


def measure(package: Path) -> dict[str, Walk]:
    """Return both walks through the package of a checkout, in a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="pct-walk-") as folder:
        environment = {**os.environ, "PYTHONPATH": str(package.resolve()), "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        command = [sys.executable, str(Path(__file__).resolve()), "--child"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return {name: Walk(**values) for name, values in json.loads(done.stdout.splitlines()[-1]).items()}


def main() -> None:
    """Print one line for each walk.

    With --show, also print its path, with consecutive calls of one module on a line.
    """
    parser = argparse.ArgumentParser(description="Follow a recipe through pct train and a policy through pct gate.")
    parser.add_argument("--package", type=Path, default=ROOT, help="checkout to measure")
    parser.add_argument("--show", action="store_true", help="print each call, too")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child()
        return
    for name, walk in measure(given.package).items():
        print(f"{name}: {walk.returns} returns ({walk.stops} stops in {walk.modules} modules, {walk.calls} calls)")
        if given.show:
            for module, calls in groupby(walk.path, lambda text: text.split(":")[0]):
                print(f"    {module}: {', '.join(text.split(':')[1] for text in calls)}")


if __name__ == "__main__":
    main()
