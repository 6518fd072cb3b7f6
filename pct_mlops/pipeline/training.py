"""One training, from its first step to the predictions of its best epoch."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.config import PctError, Recipe
from pct_mlops.pipeline.processes import on_main
from pct_mlops.pipeline.teacher import Teacher
from pct_mlops.registry import TrainingRun

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from pct_mlops.data import Split, Splits
    from pct_mlops.engine import EpochResult
    from pct_mlops.losses import Objective
    from pct_mlops.models import Classifier


@dataclass
class Training:
    """What a training needs and where it stands. `best_step` counts optimizer steps up to the best epoch's end."""

    recipe: Recipe
    splits: Splits
    objective: Objective
    teacher: Teacher | None
    accelerator: Accelerator
    resume: bool
    say: Callable[[str], None]
    best_step: int = 0
    fingerprint: str = field(init=False)
    folder: Path = field(init=False)
    _old_right: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        self.fingerprint = _fingerprint(self.recipe, self.splits, self.teacher)
        default = Path("checkpoints") / self.recipe.model_name / self.fingerprint[:12]
        self.folder = (self.recipe.engine.checkpoint_dir or default).resolve()

    def fit(self, model: Classifier, loader: Any, run: TrainingRun | None) -> None:
        """Train, keep the best epoch by accuracy on val, log every epoch."""
        from pct_mlops.engine import Checkpoints, fit

        checkpoints = Checkpoints(self.folder, self.fingerprint, self.recipe.engine.checkpoint_steps)
        on_main(self.accelerator, lambda: self._prepare(checkpoints))
        self._announce()
        if self.teacher is not None:
            self._old_right = self._right(self.teacher.model)
        results = fit(
            model,
            self.objective,
            loader,
            optim=self.recipe.optim,
            accelerator=self.accelerator,
            evaluate=self._evaluate,
            teacher=self.teacher.model if self.teacher else None,
            checkpoints=checkpoints,
            resume=self.resume,
            on_improved=self._keep_best,
        )
        for result in results:
            self._report(result)
            if run is not None:
                run.log_curve("train/loss", result.losses, result.step)
                metrics = {**result.metrics, "train/lr": result.lr, "train/images_per_second": result.images_per_second}
                run.log_metrics(metrics, result.step)
                run.log_checkpoint(self._snapshot(model), result.step, result.metrics)

    def score_best(self) -> tuple[Classifier, dict[str, NDArray[np.float32]]]:
        """The best epoch's model, and its logits on val and test (split name -> [N, C])."""
        from pct_mlops.models import classifier_from_bytes

        def read() -> tuple[bytes, bytes, int]:
            try:
                step = json.loads((self.folder / "best" / "epoch.json").read_text())["step"]
                files = [
                    (self.folder / "best" / name).read_bytes() for name in ("architecture.json", "model.safetensors")
                ]
            except (OSError, ValueError, KeyError) as error:
                raise PctError(f"The best epoch's weights at {self.folder} are gone ({error}): train again.") from error
            return files[0], files[1], step

        record, weights, self.best_step = on_main(self.accelerator, read)
        best = classifier_from_bytes(record, weights, str(self.folder / "best"))
        splits = (self.splits.val, self.splits.test)
        logits = {split.name: self._predict(best, split, f"score {split.name}") for split in splits}
        return best.cpu().eval(), logits

    def _prepare(self, checkpoints: Any) -> None:
        if not self.resume:
            checkpoints.clear()
            shutil.rmtree(self.folder / "best", ignore_errors=True)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PctError(
                f"{self.folder} cannot be written: set engine.checkpoint_dir to a folder that can."
            ) from error

    def _announce(self) -> None:
        recipe, device = self.recipe, self.accelerator.device
        against = f" against {self.teacher.uri}" if self.teacher else ""
        self.say(
            f"Training {recipe.model.name} on {len(self.splits.train):,} images of {self.splits.name}, "
            f"loss={recipe.objective.loss}{against}, {self.accelerator.num_processes} process(es) on {device.type}."
        )

    def _predict(self, model: Any, split: Split, title: str = "") -> NDArray[np.float32]:
        from pct_mlops.data import eval_loader
        from pct_mlops.engine import predict

        loader = eval_loader(
            split,
            self.recipe.data,
            batch_size=self.recipe.engine.eval_batch_size,
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
            device=self.accelerator.device,
        )
        shape = self.splits.image_shape
        return predict(model, loader, len(split), self.accelerator, image_shape=shape, title=title)

    def _right(self, model: Any) -> Any:
        return self._predict(model, self.splits.val).argmax(axis=1) == self.splits.val.labels.numpy()

    def _evaluate(self, model: Any) -> Any:
        from pct_mlops.engine import Evaluation

        right = self._right(model)
        accuracy = float(right.mean())
        metrics = {"val/accuracy": accuracy}
        if self._old_right is not None:
            metrics["val/nfr"] = float((self._old_right & ~right).mean())
            metrics["val/pfr"] = float((~self._old_right & right).mean())
        return Evaluation(accuracy, metrics)

    def _report(self, result: EpochResult) -> None:
        loss = sum(result.losses) / len(result.losses)
        nfr = f", NFR {result.metrics['val/nfr']:.2%}" if "val/nfr" in result.metrics else ""
        self.say(
            f"epoch {result.epoch + 1}/{self.recipe.optim.epochs}: loss {loss:.4f}, "
            f"val accuracy {result.metrics['val/accuracy']:.2%}{nfr}, {result.images_per_second:,.0f} images/s"
        )

    def _snapshot(self, model: Classifier) -> Path:
        from pct_mlops.models import save_classifier

        folder = self.folder / "last"
        save_classifier(model, folder)
        return folder

    def _keep_best(self, model: Any, epoch: int) -> None:
        """Aside first, then renamed: a kill leaves the former best or the new one."""
        from pct_mlops.models import save_classifier

        if not self.accelerator.is_main_process:
            return
        aside, best = self.folder / ".best.partial", self.folder / "best"
        shutil.rmtree(aside, ignore_errors=True)
        save_classifier(model, aside)
        steps = len(self.splits.train) // self.recipe.optim.global_batch_size
        (aside / "epoch.json").write_text(json.dumps({"epoch": epoch, "step": (epoch + 1) * steps}), encoding="utf-8")
        shutil.rmtree(best, ignore_errors=True)
        aside.rename(best)


def _fingerprint(recipe: Recipe, splits: Splits, teacher: Teacher | None) -> str:
    """What a checkpoint must agree on to be resumed: all that changes the result, and nothing else."""
    parts = recipe.model_dump(
        mode="json", exclude={"engine": {"checkpoint_dir", "checkpoint_steps", "eval_batch_size"}}
    )
    parts |= {"teacher_uri": teacher.uri if teacher else "", "preprocessing": splits.preprocessing_id}
    parts |= {"num_train": len(splits.train), "num_val": len(splits.val)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
