"""Runs one training, from its first step to the predictions of its best epoch."""

from __future__ import annotations

import copy
import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.config import Recipe
from pct_mlops.errors import DataError, OutputError
from pct_mlops.registry import TrainingRun
from pct_mlops.workflows.runtime.atomic_files import recover_folder, replace_folder, writing_into
from pct_mlops.workflows.runtime.distributed import main_process_logger, on_main
from pct_mlops.workflows.runtime.predict_split import logits_of
from pct_mlops.workflows.training.initial_weights import Start
from pct_mlops.workflows.training.nfr_target import check_target, meet_target, metrics_of, warn_of_start
from pct_mlops.workflows.training.old_accuracy import accuracy_of_old_models
from pct_mlops.workflows.training.production_reference import production_right
from pct_mlops.workflows.training.resuming import fingerprint_of, made_from, say_complete, say_resume

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pct_mlops.data import Split, Splits
    from pct_mlops.engine import Checkpoints, EpochResult
    from pct_mlops.models import Classifier
    from pct_mlops.workflows.runtime.session import Session
    from pct_mlops.workflows.training.components import Assembled

logger = main_process_logger(__name__)
PLACE = "move its folder to another disk, set engine.checkpoint_dir and go on with --resume"


@dataclass(frozen=True)
class Trained:
    """A classifier and its logits on val and test: split name -> float32 [N, C].

    After a training it is the best epoch on val. `step` counts optimizer steps up to the end of that epoch. `folder`
    holds the checkpoints. `num_epochs` says how many epochs were trained now: 0 where all were there before. `start`
    is the model that the training started from.
    """

    recipe: Recipe
    splits: Splits
    model: Classifier
    logits: dict[str, NDArray[np.float32]]
    step: int = 0
    teacher_uri: str = ""
    folder: Path = Path()
    num_epochs: int = 0
    start: Start = field(default_factory=Start)


@dataclass
class Training:
    """One training with all that it needs. `complete` runs it, or what is left of it.

    `own_folder`: engine.checkpoint_dir is shared with other trainings, so this one gets a folder of its own in it.
    """

    parts: Assembled
    session: Session
    resume: bool
    own_folder: bool = False
    fingerprint: str = field(init=False)
    folder: Path = field(init=False)
    _old_right: NDArray[np.bool_] | None = None
    _start: Classifier | None = None

    def __post_init__(self) -> None:
        self.inputs = self.parts.inputs
        self.recipe, self.splits = self.inputs.recipe, self.inputs.splits
        self.accelerator = self.session.accelerator
        self._made_from = made_from(self.parts)
        self.fingerprint = fingerprint_of(self._made_from)
        given = self.recipe.engine.checkpoint_dir
        shared = given or Path("checkpoints") / self.recipe.model_name
        own = self.own_folder or given is None
        self.folder = (shared / self.fingerprint[:12] if own else shared).resolve()
        if self.recipe.objective.nfr_target is not None:
            self._find_start()

    def _find_start(self) -> None:
        """Keep the weights of before the first step, and read production.

        Raise ConfigError where one is missing. Warn where the start itself flips more than the target.
        """
        self._old_right = on_main(self.accelerator, self._production_right)
        check_target(self.recipe, self.parts.start.mode in ("same", "grow"), self._old_right is not None)
        self._start = copy.deepcopy(self.inputs.model)
        assert self._old_right is not None
        warn_of_start(self.recipe, float((self._old_right & ~self._right(self._start)).mean()))

    def complete(self, run: TrainingRun | None) -> Trained:
        """Train, then score the best epoch. Call it on all processes, with a run on the main one at most."""
        with ExitStack() as held:
            on_main(self.accelerator, lambda: self._begin(held, run))
            num_epochs = self._fit(run)
            model, logits, step = self._score_best()
            if self._start is not None:
                model, logits = self._meet_target(model, run, step)
        uri, start = self.parts.uri, self.parts.start
        return Trained(self.recipe, self.splits, model, logits, step, uri, self.folder, num_epochs, start)

    def _meet_target(
        self, best: Classifier, run: TrainingRun | None, step: int
    ) -> tuple[Classifier, dict[str, NDArray[np.float32]]]:
        """Move the best epoch towards the start until it meets objective.nfr_target. Return it with its logits."""
        assert self._start is not None
        assert self._old_right is not None
        met = meet_target((self._start, best), self.recipe, self.splits, self._old_right, self.accelerator)
        on_main(self.accelerator, lambda: run.log_metrics(metrics_of(met), step) if run is not None else None)
        splits = (self.splits.val, self.splits.test)
        logits = {split.name: self._predict(met.model, split, f"score {split.name}") for split in splits}
        return met.model.cpu().eval(), logits

    def _begin(self, held: ExitStack, run: TrainingRun | None) -> None:
        """Log the start, and keep other programs out of the folder.

        Two trainings of one recipe would write over each other's files.
        """
        from pct_mlops.data.locking import one_process_at_a_time

        try:
            wait = partial(logger.info, f"Another program trains in {self.folder}: waiting for it ...")
            held.enter_context(one_process_at_a_time(self.folder, wait))
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be written ({error.strerror or error}): set engine.checkpoint_dir to a folder "
                "that can."
            ) from error
        start = self.parts.start
        if run is not None and start.mode:
            run.log_params({"init.mode": start.mode, "init.uri": start.uri})

    def _fit(self, run: TrainingRun | None) -> int:
        """Train, keep the best epoch by accuracy on val, and log each epoch. Return the number of epochs trained."""
        from pct_mlops.engine import Checkpoints, fit

        checkpoints = Checkpoints(self.folder, self.fingerprint, self.recipe.engine.checkpoint_steps, self._made_from)
        if on_main(self.accelerator, lambda: self._prepare(checkpoints)):
            return 0
        self._announce()
        on_main(self.accelerator, self._read_production)
        accuracy = accuracy_of_old_models(self.parts, self._predict)
        on_main(self.accelerator, lambda: run.log_metrics(accuracy, 0) if run is not None and accuracy else None)
        results = fit(
            self.inputs.model,
            self.parts.objective,
            self.inputs.loader,
            optim=self.recipe.optim,
            accelerator=self.accelerator,
            evaluate=self._evaluate,
            teacher=self.parts.source,
            checkpoints=checkpoints,
            resume=self.resume,
            epochs_per_save=self.recipe.engine.epochs_per_save,
            on_start=lambda model: on_main(self.accelerator, lambda: self._keep_first(model, run)),
            on_improved=lambda model, epoch: on_main(self.accelerator, lambda: self._keep_best(model, epoch)),
        )
        num_epochs = 0
        for result in results:
            num_epochs += 1
            self._report(result)
            # Raise errors of the tracking server on all processes. Raised on one alone, they leave the others waiting.
            on_main(self.accelerator, partial(self._log, result, run))
        return num_epochs

    def _log(self, result: EpochResult, run: TrainingRun | None) -> None:
        if run is None:
            return
        run.log_curve("train/loss", result.losses, result.step)
        metrics = {**result.metrics, "train/lr": result.lr, "train/images_per_second": result.images_per_second}
        run.log_metrics(metrics, result.step)
        if result.keep:
            run.log_checkpoint(self._snapshot(self.inputs.model), result.step, result.metrics)

    def _production_right(self) -> NDArray[np.bool_] | None:
        if self.session.registry is None:
            return None
        splits = self.splits
        return production_right(self.session.registry, self.recipe.model_name, splits.val, splits.class_names)

    def _read_production(self) -> None:
        # A target is judged against the production that it was checked with.
        if self._start is None:
            self._old_right = self._production_right()

    def _score_best(self) -> tuple[Classifier, dict[str, NDArray[np.float32]], int]:
        """Return the best epoch's model, its logits on val and test (split name -> [N, C]), and its step."""
        from pct_mlops.models import classifier_from_bytes

        def read() -> tuple[bytes, bytes, int]:
            try:
                step = json.loads((self.folder / "best" / "epoch.json").read_text())["step"]
                files = [
                    (self.folder / "best" / name).read_bytes() for name in ("architecture.json", "model.safetensors")
                ]
            except (OSError, ValueError, KeyError) as error:
                raise DataError(
                    f"The best epoch's weights at {self.folder} are gone ({error}): train again."
                ) from error
            return files[0], files[1], step

        record, weights, step = on_main(self.accelerator, read)
        best = classifier_from_bytes(record, weights, str(self.folder / "best"), [self.recipe.model.name])
        splits = (self.splits.val, self.splits.test)
        logits = {split.name: self._predict(best, split, f"score {split.name}") for split in splits}
        return best.cpu().eval(), logits, step

    def _prepare(self, checkpoints: Checkpoints) -> bool:
        """Prepare the folder. Return True when the training is complete already and its result can be used as it is."""
        best = self.folder / "best"
        recover_folder(best)
        complete = self.resume and checkpoints.finished(self.recipe.optim.epochs)
        if complete and (best / "epoch.json").is_file():
            if not self.own_folder:
                say_complete(checkpoints, self.recipe)
            return True
        if complete:
            logger.warning(f"The best epoch's weights in {self.folder} are gone: starts at the first epoch.")
        if complete or not self.resume:
            checkpoints.clear()
            shutil.rmtree(best, ignore_errors=True)
        else:
            beside = self.recipe.engine.checkpoint_dir is None
            say_resume(checkpoints, self.recipe, asked=not self.own_folder, beside=beside)
        # The recipe makes the folder a model that can be scored. One that is there may be of another training.
        if not checkpoints.complete():
            self.recipe.write(self.folder / "recipe.yaml")
        return False

    def _announce(self) -> None:
        recipe, device = self.recipe, self.accelerator.device
        if self.parts.start.note:
            logger.info(self.parts.start.note)
        against = f" against {self.parts.uri}" if self.parts.uri else ""
        logger.info(
            f"Training {recipe.model.name} on {len(self.splits.train):,} images of {self.splits.name}, "
            f"loss={recipe.objective.loss}{against}, {self.accelerator.num_processes} process(es) on {device.type}."
        )

    def _predict(self, model: Any, split: Split, title: str = "") -> NDArray[np.float32]:
        batch_size = self.recipe.engine.eval_batch_size
        return logits_of(model, split, self.recipe.data, self.accelerator, batch_size=batch_size, title=title)

    def _right(self, model: Any) -> Any:
        return self._predict(model, self.splits.val).argmax(axis=1) == self.splits.val.labels.numpy()

    def _evaluate(self, model: Any) -> Any:
        from pct_mlops.engine import EpochScore

        logits = self._predict(self.parts.served(model), self.splits.val)
        right = logits.argmax(axis=1) == self.splits.val.labels.numpy()
        accuracy = float(right.mean())
        metrics = {"val/accuracy": accuracy}
        if self._old_right is not None:
            metrics["val/nfr"] = float((self._old_right & ~right).mean())
            metrics["val/pfr"] = float((~self._old_right & right).mean())
        return EpochScore(accuracy if isfinite(abs(logits).max()) else nan, metrics)

    def _report(self, result: EpochResult) -> None:
        nfr = f", NFR {result.metrics['val/nfr']:.2%}" if "val/nfr" in result.metrics else ""
        logger.info(
            f"epoch {result.epoch + 1}/{self.recipe.optim.epochs}: loss {sum(result.losses) / len(result.losses):.4f}, "
            f"val accuracy {result.metrics['val/accuracy']:.2%}{nfr}, {result.images_per_second:,.0f} images/s"
        )

    def _snapshot(self, model: Any) -> Path:
        from pct_mlops.models import save_classifier

        folder = self.folder / "last"
        with writing_into(self.folder, PLACE):
            save_classifier(self.parts.served(model), folder)
        return folder

    def _keep_first(self, model: Any, run: TrainingRun | None) -> None:
        if run is not None and self.recipe.engine.save_init:
            run.log_checkpoint(self._snapshot(model), 0, {})

    def _keep_best(self, model: Any, epoch: int) -> None:
        """Replace the former best by this model. A kill at any time leaves one of the two, complete."""
        from pct_mlops.models import save_classifier

        aside = self.folder / ".best.partial"
        steps = len(self.splits.train) // self.recipe.optim.global_batch_size
        with writing_into(self.folder, PLACE):
            shutil.rmtree(aside, ignore_errors=True)
            save_classifier(self.parts.served(model), aside)
            record = json.dumps({"epoch": epoch, "step": (epoch + 1) * steps})
            (aside / "epoch.json").write_text(record, encoding="utf-8")
            replace_folder(aside, self.folder / "best")
