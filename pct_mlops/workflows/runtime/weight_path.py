"""Builds models between two of the same architecture, and scores them on val for a weight interpolation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pct_mlops.reports import CurvePoint
from pct_mlops.workflows.runtime.predict_split import logits_of

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from pct_mlops.config import Recipe
    from pct_mlops.data import Split, Splits
    from pct_mlops.models import Classifier

SUBSET_SEED = 0  # chooses the training images that BatchNorm statistics are estimated on


class WeightPath:
    """Models between old and new, the same on every process of a launcher. The processes share the evaluation."""

    def __init__(
        self,
        models: tuple[Classifier, Classifier],
        recipe: Recipe,
        splits: Splits,
        accelerator: Accelerator,
        batchnorm_batches: int,
    ) -> None:
        self._old, self._new = models
        self._recipe, self._splits, self._accelerator = recipe, splits, accelerator
        self._batch = min(recipe.optim.global_batch_size, len(splits.train))
        self._num_batches = min(batchnorm_batches, len(splits.train) // self._batch)
        self._loader: Any = None

    def curve(self, shares: Sequence[float]) -> tuple[CurvePoint, ...]:
        """Return accuracy and NFR against old on val, one point for each share in ascending order.

        The shares 0 and 1 are always included.
        """
        from pct_mlops.engine.progress import Progress

        val = self._splits.val
        labels = val.labels.numpy()
        wanted = sorted({0.0, 1.0, *(float(share) for share in shares)}, reverse=True)
        inner = self._num_batches * self._batch
        total = len(val) * len(wanted) + inner * (len(wanted) - 2)
        found = []
        with Progress("interpolate", total, self._accelerator.is_main_process) as bar:
            for share in wanted:
                right = self.predict(self.model(share, bar.advance), val).argmax(axis=1) == labels
                bar.advance(len(val))
                if share == 1:
                    old_right = right
                found.append(CurvePoint(share, float(right.mean()), float((old_right & ~right).mean())))
        return tuple(reversed(found))

    def model(self, share: float, advance: Callable[[int], None] = lambda images: None) -> Classifier:
        """Build the model with this share of the old weights, in eval mode. Every call builds the same model."""
        from pct_mlops.models import interpolate_weights

        mixed = interpolate_weights(self._old, self._new, share)
        if 0 < share < 1:
            self._estimate_statistics(mixed, advance)
        return mixed.eval()

    def predict(self, model: Classifier, split: Split) -> NDArray[np.float32]:
        """Compute logits [N, C], all of them on every process."""
        batch_size = self._recipe.engine.eval_batch_size
        return logits_of(model, split, self._recipe.data, self._accelerator, batch_size=batch_size)

    def _estimate_statistics(self, model: Classifier, advance: Callable[[int], None]) -> None:
        """Set the statistics of each BatchNorm to the mean of its batch statistics over training batches.

        Everything else stays in eval mode.
        """
        import torch

        from pct_mlops.engine.setup import share_buffers, to_device
        from pct_mlops.models import batchnorm_layers, reset_batchnorm

        layers = batchnorm_layers(model)
        if not layers:
            return
        reset_batchnorm(model)
        to_device(model, self._accelerator).eval()
        for layer in layers:
            layer.train()
        with torch.no_grad():
            for batch in self._train_batches():
                model(batch.images.contiguous(memory_format=torch.channels_last))
                advance(len(batch.index))
        model.eval()
        # Devices may round differently, and all processes must judge the same model.
        share_buffers(model, self._accelerator)

    def _train_batches(self) -> Any:
        import numpy as np

        from pct_mlops.data import eval_loader

        if self._loader is None:
            train = self._splits.train
            # Shuffle: a folder lists its images by class, and a batch of one class has another variance.
            rows = np.random.RandomState(SUBSET_SEED).permutation(len(train))[: self._num_batches * self._batch]
            # Use whole images, because ten crops are for predictions only.
            data = self._recipe.data.model_copy(update={"ten_crop": False})
            self._loader = eval_loader(
                train.select(rows), data, batch_size=self._batch, device=self._accelerator.device
            )
        return self._loader
