"""Probabilistic update of stored labels by a new model's predictions (Träuble et al., NeurIPS 2021, arXiv 2107.01057).

There are C classes. An example has an unknown label y, a stored label a and a new prediction b. With n_y of the N
examples of the stored labels' val table, and m_y of the new model's, having label y:

    p(y)        = (n_y + s) / (N + s C)
    p(a | y)    = (stored_counts[y, a] + s) / (n_y + s C)      the stored labels' confusion matrix on labelled val data
    p(b | y)    = (new_counts[y, b] + s) / (m_y + s C)         the same of the new model, on its own val table
    p(y | a, b) = p(y) p(a | y) p(b | y) / sum over y of it

s is the smoothing, which is added to every cell. It is 1 / C, so that each class gets one more example (Laplace's is 1,
which gives C more). Given the true label, the two predictions are taken as independent. Models that make the same
mistakes therefore make the posterior surer than it should be. Only predictions are used, no confidences.

Let k = argmax_y p(y | a, b), where the stored label wins ties. The stored label a becomes k by one of three strategies,
which are those of the paper's section 3.3 (it leaves ties open):

    mb    always (max belief)
    mbme  when the entropy of p(y | a, b) is below that of p(y | a) (max belief, min entropy)
    cr    when p(k | a, b) / p(a | a, b) > cost_ratio (cost ratio: what a negative flip costs in positive flips),
          which is mb for ratios up to 1

The paper differs in three ways:

- It begins with a uniform p(y), unless the classes' shares are known. Here the shares are those on val.
- It smooths nothing, or where there are many classes takes from the confusion matrices the diagonal alone, with one
  share for all wrong predictions. Laplace's smoothing, which is in its supplement, outweighs the counts there.
- It makes chains of steps, in which the belief from all earlier predictions goes on to the next. Here one step is made
  from a table of labels. The stored label, and how often such labels are right on val, stand for all earlier steps.

The paper's section 3.2 decides which examples to ask the new model about where not all can be asked. That is not done
here: the new model has predicted every example.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pct_mlops.config import unknown
from pct_mlops.errors import ConfigError, TableError
from pct_mlops.predictions import sql
from pct_mlops.predictions.alignment import shared_class_order
from pct_mlops.predictions.arrays import SLAB
from pct_mlops.predictions.schema import TableInfo, arrow_schema
from pct_mlops.predictions.table import Predictions
from pct_mlops.predictions.writing import write_temporary

STRATEGIES = ("mb", "mbme", "cr")
BATCH = 65_536  # rows in memory at once

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class Beliefs(NamedTuple):
    """Logarithms of p(y) [C], and of p(a | y) and p(b | y) [C, C], by prediction, then y."""

    prior: Floats
    stored: Floats
    new: Floats


class UpdateRule(NamedTuple):
    """The rule by which a stored label changes: one of STRATEGIES, and the cost ratio that cr needs."""

    strategy: str = "mb"
    cost_ratio: float = 1.0

    def __str__(self) -> str:
        return f"cr {self.cost_ratio:g}" if self.strategy == "cr" else self.strategy

    def check(self) -> None:
        """Raise PctError for an unknown strategy, or a cost ratio that is not positive."""
        if self.strategy not in STRATEGIES:
            raise unknown("strategy", self.strategy, list(STRATEGIES))
        if not 0 < self.cost_ratio < math.inf:
            raise ConfigError(f"The cost ratio is {self.cost_ratio}: give a positive number, for example 2.")


class Revision(NamedTuple):
    """The labels to keep [n], and the posterior of every class [n, C]."""

    labels: Labels
    posterior: Floats


def default_smoothing(num_classes: int) -> float:
    """Return the smoothing that adds one more example to each class."""
    return 1 / num_classes


def estimate_beliefs(stored_counts: NDArray[Any], new_counts: NDArray[Any], smoothing: float | None = None) -> Beliefs:
    """Estimate beliefs from counts [C, C] of labelled examples, by label, then prediction.

    Raise PctError unless smoothing is positive.
    """
    smoothing = default_smoothing(len(stored_counts)) if smoothing is None else smoothing
    if not 0 < smoothing < math.inf:
        raise ConfigError(f"The smoothing is {smoothing}: give a positive number, for example 1.")
    priors = stored_counts.sum(axis=1) + smoothing
    return Beliefs(
        np.log(priors / priors.sum()), _given_label(stored_counts, smoothing), _given_label(new_counts, smoothing)
    )


def revise(beliefs: Beliefs, stored: NDArray[Any], new: NDArray[Any], rule: UpdateRule) -> Revision:
    """Revise stored labels [n] by new predictions [n], class indices both. The posterior takes n x C float64."""
    rule.check()
    before = beliefs.prior + beliefs.stored[stored]  # log joint [n, C]
    posterior = _normalised(before + beliefs.new[new])
    rows = np.arange(len(stored))
    labels = posterior.argmax(axis=1)
    kept, found = posterior[rows, stored], posterior[rows, labels]
    if rule.strategy == "mb":
        change = found > kept
    elif rule.strategy == "mbme":
        change = (found > kept) & (_entropy(posterior) < _entropy(_normalised(before)))
    else:
        # As a product: the posterior of a stored label that cannot be true may be 0.
        change = (found > kept) & (found > rule.cost_ratio * kept)
    return Revision(np.where(change, labels, stored).astype(np.int64), posterior)


def updated(
    stored: Predictions,
    new: Predictions,
    *,
    stored_val: Predictions,
    new_val: Predictions,
    rule: UpdateRule,
    smoothing: float | None = None,
) -> Predictions:
    """Return the table of revised labels, which lies in a temporary file until it is saved.

    It may have any number of rows, since a batch of them is in memory at a time. Its `confidence` is the posterior of
    the label it holds, which with cr need not be the largest. Its `label_confidence` is that of the true label. It
    holds no logits, as no single model made it. Classes are matched by name, and stand in the order of the stored ones.
    Raise PctError when tables are not comparable, when a val table has other classes, or when a val table holds the
    examples that are to be updated.
    """
    rule.check()
    stored, new, stored_val, new_val = _in_one_order(stored, new, stored_val, new_val)
    for val in (stored_val, new_val):
        _check_val(val.info, stored.info)
    connection = sql.connect()
    new.pairs(stored, connection)
    beliefs = estimate_beliefs(confusion_counts(stored_val), confusion_counts(new_val), smoothing)
    schema = arrow_schema(len(stored.info.class_names), 0, stored.info.slices, logits=False)
    info = replace(
        stored.info,
        model_name=f"{stored.info.title} updated by {new.info.title} ({rule})",
        model_version="",
        model_uri="",
        weights="",
        columns=tuple(schema.names),
        num_members=1,
        path="",
        predictions_stated=False,
        confidences_stated=False,
        known_classes=_known_to_either(stored.info, new.info),
        preprocessing=" + ".join(dict.fromkeys((stored.info.preprocessing, new.info.preprocessing))),
    )
    with sql.reading(f"{stored.info.title} or {new.info.title}"):
        batches = _revised(connection, stored.info, schema, beliefs, rule)
        return Predictions.temporary(write_temporary(info, schema, batches))


def _known_to_either(stored: TableInfo, new: TableInfo) -> tuple[str, ...]:
    """Return the classes that an updated label can be where these are fewer than those of the table, else ()."""
    known = tuple(dict.fromkeys((*stored.model_classes, *new.model_classes)))
    return known if len(known) < len(stored.class_names) else ()


def confusion_counts(table: Predictions) -> NDArray[np.int64]:
    """Count in SQL how many examples of each label got each prediction: [C, C] by label, then prediction."""
    table.check_rows()
    counts = np.zeros((len(table.info.class_names),) * 2, np.int64)
    with sql.connect() as connection, sql.reading(table.info.title):
        table.attach(connection, "mine")
        found = connection.sql("SELECT label, prediction, count(*) AS num FROM mine GROUP BY ALL").to_arrow_table()
    label, prediction, number = (column.to_numpy() for column in found.columns)
    counts[label, prediction] = number
    return counts


def _revised(
    connection: duckdb.DuckDBPyConnection,
    info: TableInfo,
    schema: pa.Schema,
    beliefs: Beliefs,
    rule: UpdateRule,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the updated table, sorted by id, from the views `old_table` and `new_table`."""
    extra = "".join(f", o.{sql.quoted(name)}" for name in info.slices)
    query = f"""SELECT o.sample_id, o.label, o.prediction, n.prediction{extra}
                FROM old_table AS o JOIN new_table AS n ON o.sample_id = n.sample_id ORDER BY o.sample_id"""
    for batch in connection.sql(query).to_arrow_reader(BATCH):
        labels, stored, new = (batch.column(i).to_numpy() for i in (1, 2, 3))
        parts = revise_rows(beliefs, labels, stored, new, rule)
        arrays = [pa.array(part, field.type) for part, field in zip(parts, list(schema)[2:5], strict=True)]
        slices = [batch.column(4 + i) for i in range(len(info.slices))]
        yield pa.record_batch([batch.column(0), batch.column(1), *arrays, *slices], schema=schema)


def revise_rows(
    beliefs: Beliefs,
    labels: NDArray[Any],
    stored: NDArray[Any],
    new: NDArray[Any],
    rule: UpdateRule,
) -> tuple[Labels, Floats, Floats]:
    """Return the revised label, its posterior and the true label's, each [n].

    At most max(SLAB, C) float64 are in memory at once.

    The posterior depends on the pair of stored label and prediction alone. A batch has far fewer pairs than rows, so
    each pair is worked out once.
    """
    num_classes = len(beliefs.prior)
    pairs, place = np.unique(stored.astype(np.int64) * num_classes + new, return_inverse=True)
    revised, confidence = np.empty(len(pairs), np.int64), np.empty(len(pairs))
    label_confidence = np.empty(len(labels))
    step = max(SLAB // num_classes, 1)
    for start in range(0, len(pairs), step):
        part = pairs[start : start + step]
        revision = revise(beliefs, part // num_classes, part % num_classes, rule)
        revised[start : start + step] = revision.labels
        confidence[start : start + step] = revision.posterior[np.arange(len(part)), revision.labels]
        rows = np.flatnonzero((place >= start) & (place < start + step))
        label_confidence[rows] = revision.posterior[place[rows] - start, labels[rows]]
    # A sum of shares may end a rounding above 1.
    return revised[place], np.minimum(confidence[place], 1), np.minimum(label_confidence, 1)


def _given_label(counts: NDArray[Any], smoothing: float) -> Floats:
    smooth = counts + smoothing
    return np.ascontiguousarray(np.log(smooth / smooth.sum(axis=1, keepdims=True)).T)


def _normalised(joint: Floats) -> Floats:
    """Return shares [n, C] from logarithms of unnormalised ones."""
    shares = np.exp(joint - joint.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _entropy(shares: Floats) -> Floats:
    """Return the entropy in nats [n]. 0 log 0 is 0."""
    return -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1)


def _in_one_order(stored: Predictions, *others: Predictions) -> tuple[Predictions, ...]:
    """Return the tables with their classes in the order of the stored one. One with other classes stays as it is."""
    same = [shared_class_order(other.info, stored.info) is not None for other in others]
    for other, fits in zip(others, same, strict=True):
        # A stored table whose classes are only those that occur in it gets the further ones of the others.
        stored = other.aligned(stored)[1] if fits else stored
    aligned = (other.aligned(stored)[0] if fits else other for other, fits in zip(others, same, strict=True))
    return (stored, *aligned)


def _check_val(val: TableInfo, stored: TableInfo) -> None:
    where = f"The validation table of {val.title}"
    if val.class_names != stored.class_names:
        raise TableError(f"{where} has other classes than {stored.title}: score it on val data with the same classes.")
    if val.digest == stored.digest:
        raise TableError(
            f"{where} holds the very examples that are to be updated, whose labels are taken as unknown: "
            "give predictions on other data."
        )
