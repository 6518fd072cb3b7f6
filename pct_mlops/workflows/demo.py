"""Tells the whole story on Fashion-MNIST, with the commands that a user would type."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.rule import Rule as Heading
from rich.text import Text

from pct_mlops.config import Policy, Recipe
from pct_mlops.errors import DataError, OutputError, TrainingError
from pct_mlops.reports import render_candidates, render_decision
from pct_mlops.workflows.gating.evaluate import evaluate_candidate
from pct_mlops.workflows.gating.outcome import PROMOTING, Outcome
from pct_mlops.workflows.tables.compare_sources import compare_sources

if TYPE_CHECKING:
    from pct_mlops.registry import Registry

PROJECT = Path("projects", "fashion_mnist")
LOSSES = ("none", "update")


@dataclass
class Stage:
    """Setting of the story: a checkout, a registry in a folder, and `show`, which prints text or a rich renderable."""

    root: Path
    folder: Path
    registry: Registry
    overrides: Sequence[str]
    show: Callable[[Any], None]
    seconds: dict[str, float] = field(default_factory=dict)
    has_shown_checks: bool = False

    @contextmanager
    def phase(self, name: str, title: str) -> Iterator[None]:
        """Show the heading of a part of the story, and count its time in `seconds`."""
        self.show(Heading(title, style="dim"))
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start

    def train(self, **parameters: str) -> None:
        """Run `mlflow run . --env-manager local -P name=value ...` in the checkout. Raise PctError when it fails."""
        if self.overrides:
            parameters["set"] = shlex.join(self.overrides)
        words = [word for key, value in parameters.items() for word in ("-P", f"{key}={value}")]
        command = ["run", ".", "--env-manager", "local", *words]
        self.show(_command(["mlflow", *command]))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        environment |= {
            "MLFLOW_TRACKING_URI": self.registry.tracking_uri,
            "MLFLOW_EXPERIMENT_NAME": self.experiment,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_LOGGING_LEVEL": "WARNING",
            "GIT_PYTHON_REFRESH": "quiet",
            # The project's command is `python -m pct_mlops`. Make it this Python, whatever the shell finds first.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        done = subprocess.run([sys.executable, "-m", "mlflow", *command], cwd=self.root, env=environment, check=False)
        if done.returncode:
            raise TrainingError(
                "This training did not finish, for the reason printed above: run the same command again. "
                "It goes on from what is registered already."
            )

    @property
    def policy_file(self) -> str:
        """Path of the policy, as it is typed in the current folder."""
        return os.path.relpath(self.root / PROJECT / "policy.yaml")

    @property
    def experiment(self) -> str:
        """Name of the experiment, which is that of the registered model."""
        return self.recipe("recipe").model_name

    def recipe(self, name: str) -> Recipe:
        """Read a recipe of the project, as the trainings will read it."""
        return Recipe.read(_recipe_file(self.root, name), self.overrides)


def tell(folder: str, show: Callable[[Any], None], overrides: Sequence[str] = ()) -> None:
    """Tell the story: baseline, candidates, verdicts, promotion. Begin with the candidates where production exists."""
    from pct_mlops.registry import PRODUCTION, Registry, make_experiment

    source, place = _source(), Path(os.path.realpath(folder))
    # Check the overrides before anything is made.
    _, recipe = (Recipe.read(_recipe_file(source, part), overrides) for part in ("baseline", "recipe"))
    name = recipe.model_name
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror}): choose another place with --folder.") from error
    root = source if (source / "MLproject").is_file() else _copied(source, place / "project", show)
    policy = Policy.read(root / PROJECT / "policy.yaml")
    registry = Registry(f"sqlite:///{place / 'mlflow.db'}", create=True)
    stage = Stage(root, place, registry, overrides, show)
    make_experiment(registry, name, place / "mlruns")
    production = registry.find(name, PRODUCTION)
    show(f"{len(LOSSES) + (production is None)} trainings, which take 1 to 6 minutes in all on two cores.")
    if production is None:
        _baseline(stage, policy)
    else:
        show(f"{folder} has a production version already, {production.uri}: new candidates are judged against it.")
    outcomes = {loss: _candidate(stage, policy, loss) for loss in LOSSES}
    with stage.phase("verdict", "What the gate says"):
        show(render_candidates([(f"loss={loss}", item.decision, item.comparison) for loss, item in outcomes.items()]))
        _promote_best(stage, policy, outcomes)
    _farewell(stage)


def _command(words: Sequence[str]) -> Text:
    return Text(f"$ {shlex.join(words)}", style="bold")


def _recipe_file(root: Path, name: str) -> Path:
    return root / PROJECT / f"{name}.yaml"


def _source() -> Path:
    """Return the folder whose `projects` holds the demo's recipes: the checkout, or the installed package."""
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent, package):
        if any((root / place).is_file() for place in ("MLproject", "projects/MLproject")):
            return root
    raise DataError("The demo's recipes are missing from this installation: install pct-mlops again.")


def _copied(source: Path, target: Path, show: Callable[[Any], None]) -> Path:
    """Copy the project and its recipes to a folder of the user's own. Keep files that are there already."""
    (target / PROJECT).mkdir(parents=True, exist_ok=True)
    files = [(source / "projects" / "MLproject", target / "MLproject")]
    files += [(path, target / PROJECT / path.name) for path in sorted((source / PROJECT).glob("*.yaml"))]
    for path, place in files:
        if not place.exists():
            place.write_bytes(path.read_bytes())
    show(f"The recipes and the policy are in {target}: change them and run the demo again.")
    return target


def _baseline(stage: Stage, policy: Policy) -> None:
    recipe = stage.recipe("baseline")
    title = f"A baseline: {recipe.model.name} on {recipe.data.train_fraction:.0%} of the data"
    with stage.phase("baseline", title):
        stage.train(loss="none", recipe=str(PROJECT / "baseline.yaml"))
        _gate(stage, policy, f"{recipe.model_name}@candidate", promote=True)


def _candidate(stage: Stage, policy: Policy, loss: str) -> Outcome:
    recipe = stage.recipe("recipe")
    plain = "plain cross-entropy" if loss == "none" else f"loss={loss} against production"
    with stage.phase(f"loss={loss}", f"A candidate: {recipe.model.name} on all of the data, {plain}"):
        stage.train(loss=loss)
        return _gate(stage, policy, f"{recipe.model_name}@candidate")


def _gate(stage: Stage, policy: Policy, candidate: str, *, promote: bool = False, reason: str = "") -> Outcome:
    """Do and print what `pct gate` does. Print the checks that hold only once, because the rules are the same."""
    words = ["pct", "gate", candidate, "--policy", stage.policy_file, *(["--promote"] if promote else [])]
    stage.show(_command(words))
    uri = stage.registry.tracking_uri
    outcome = evaluate_candidate(candidate, policy, promote=promote, reason=reason, tracking_uri=uri)
    stage.show(render_decision(outcome.decision, outcome.comparison, brief=stage.has_shown_checks))
    stage.has_shown_checks |= bool(outcome.decision.checks)
    if outcome.move is not None:
        stage.show(f"Promoted: {outcome.candidate} is production now.")
    return outcome


def _promote_best(stage: Stage, policy: Policy, outcomes: dict[str, Outcome]) -> None:
    passed = {loss: item for loss, item in outcomes.items() if item.decision.verdict in PROMOTING}
    if not passed:
        stage.show("None of them passed: production stays as it is.")
        return
    # Choose on val. Test has judged each of them, and choosing on it as well would flatter the winner.
    best = min(passed, key=lambda loss: _nfr_on_val(stage, passed[loss]))
    stage.show(f"Of those that passed, loss={best} has the lowest NFR on val: it goes into production.")
    _gate(stage, policy, passed[best].candidate, promote=True, reason=f"demo: loss={best}")


def _nfr_on_val(stage: Stage, item: Outcome) -> float:
    assert item.baseline is not None
    uri = stage.registry.tracking_uri
    value = compare_sources(item.baseline, item.candidate, split="val", tracking_uri=uri).estimate("nfr").value
    return 1.0 if value is None else value


def _farewell(stage: Stage) -> None:
    uri = stage.registry.tracking_uri
    explore, ui = "make explore", "make ui"
    if stage.folder != stage.root / "demo":
        explore = f"pct explore --tracking-uri {uri} --policy {stage.policy_file}"
        ui = f"mlflow ui --backend-store-uri {uri}"
    minutes, seconds = divmod(round(sum(stage.seconds.values())), 60)
    stage.show(Heading(f"Done in {minutes} min {seconds} s", style="dim"))
    stage.show("Time: " + ", ".join(f"{name} {took:.0f} s" for name, took in stage.seconds.items()) + ".")
    stage.show(f"See which examples flip:    {explore}")
    stage.show(f"MLflow's runs and models:   {ui}")
