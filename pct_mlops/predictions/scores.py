"""Reads probabilities or logits: what each example's prediction, its confidence and the target's confidence are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pct_mlops.errors import TableError
from pct_mlops.predictions.arrays import SLAB
from pct_mlops.predictions.arrow_numbers import numbers

TOLERANCE = 1e-3  # by which the sum of probabilities may miss 1, as sums of half-precision numbers do
ROUNDING = 1e-6  # by which one probability may exceed 1, as a softmax in float32 does
_TINY = float(np.finfo(np.float32).tiny)


def are_probabilities(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell for each row of scores [N, C] whether it lies in [0, 1] and sums to 1."""
    inside = ((values >= 0) & (values <= 1 + ROUNDING)).all(axis=1)
    sums = values.sum(axis=1, dtype=np.float64)
    return np.asarray(inside & (np.abs(sums - 1) <= TOLERANCE))


def to_logits(probabilities: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return logits [N, C] whose softmax are the probabilities. For 0 the least positive float32 is taken."""
    if probabilities.dtype.itemsize < 4:
        probabilities = probabilities.astype(np.float32)  # half precision has no number as small as that
    return np.log(np.maximum(probabilities, _TINY)).astype(np.float32)


class ScoreReader:
    """Reader of one table's scores, a batch at a time. `finish` says what only the last batch settles."""

    def __init__(self, kind: str, num_classes: int, what: str) -> None:
        self.kind, self.num_classes, self.what = kind, num_classes, what
        self._all_probabilities = num_classes > 1
        self.stated = False

    def read(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return prediction, confidence, label_confidence [n] and logits [n, C] of a batch with a list column scores.

        A prediction that the columns hold is what the model said. Without one, the class of the greatest score is it.
        """
        ids, lists = columns["sample_id"], columns["scores"]
        flat = lists.flatten()
        if lists.null_count or len(flat) != len(lists) * self.num_classes:
            raise TableError(f"{self.what}: {self.kind} are missing: give {self.num_classes:,} for each example.")
        if flat.null_count:
            raise self._not_finite(ids[pc.index(flat.is_null(), True).as_py() // self.num_classes])
        given = columns.get("prediction")
        return self.of_arrays(
            numbers(flat).reshape(-1, self.num_classes),
            numbers(columns["label"]),
            None if given is None else numbers(given),
            ids,
        )

    def of_arrays(
        self,
        values: npt.NDArray[Any],
        labels: npt.NDArray[Any],
        predictions: npt.NDArray[Any] | None,
        ids: pa.Array,
    ) -> dict[str, Any]:
        """Return the same from scores [n, C], labels [n] and perhaps predictions [n].

        A label from C up is a class that the model does not know. It gives such a class no probability.
        """
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise self._not_finite(ids[int(np.argmin(finite))])
        alike = are_probabilities(values)
        self._all_probabilities &= bool(alike.all())
        if self.kind == "probabilities":
            if not alike.all():
                row = int(np.argmin(alike))
                raise TableError(
                    f"{self.what}: the probabilities of '{ids[row].as_py()}' sum to {values[row].sum():.4g}, or one is "
                    "outside 0 to 1: if these are raw scores, give them as logits (or as columns logit_CLASS)."
                )
            values = values.clip(0, 1)
            logits = to_logits(values)
        else:
            logits = values.astype(np.float32)
        said = values.argmax(axis=1).astype(np.int32) if predictions is None else predictions.astype(np.int32)
        rows = np.arange(len(values))
        self.stated |= bool((logits[rows, said] < logits.max(axis=1, initial=-np.inf)).any())
        shares = values if self.kind == "probabilities" else softmax(logits)
        is_known = labels < self.num_classes
        return {
            "prediction": said,
            "confidence": shares[rows, said].astype(np.float32),
            "label_confidence": np.where(is_known, shares[rows, np.where(is_known, labels, 0)], 0).astype(np.float32),
            "logits": logits,
        }

    def _not_finite(self, sample_id: pa.Scalar) -> TableError:
        return TableError(
            f"{self.what}: {self.kind} of '{sample_id.as_py()}' hold NaN, infinity or no number: score it again."
        )

    def finish(self) -> bool:
        """Tell whether any prediction is not where its scores are greatest.

        Raise PctError where all logits are probabilities.
        """
        if self.kind == "logits" and self._all_probabilities:
            raise TableError(
                f"{self.what}: the logits lie in 0 to 1 and sum to 1 for every example, as probabilities do: "
                "give them as probabilities (or as columns prob_CLASS)."
            )
        return self.stated


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the softmax of logits [N, C] in float64, in slabs of at most SLAB numbers."""
    shares = np.empty(logits.shape, np.float64)
    step = max(SLAB // max(logits.shape[1], 1), 1)
    for start in range(0, len(logits), step):
        part = logits[start : start + step].astype(np.float64)
        part = np.exp(part - part.max(axis=1, keepdims=True))
        shares[start : start + step] = part / part.sum(axis=1, keepdims=True)
    return shares
