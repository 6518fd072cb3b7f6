"""Estimates before any candidate exists which examples are at risk of a negative flip.

Only an example that the model gets right can flip. The risk of the others is 0. There are two scores:

    members   risk = share of retrainings of the model's recipe that are wrong: an estimate of the probability that one
              more retraining flips the example. The sum of all risks / N is the expected NFR of a retraining.
    margin    risk = 1 - (top-1 probability - top-2 probability) of the model itself. It orders the examples, and is no
              probability. Without logits, 1 - confidence takes its place.

Examples of equal risk are ordered by their margin, the smallest first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pct_mlops.errors import TableError
from pct_mlops.predictions import sql
from pct_mlops.predictions.arrow_numbers import numbers
from pct_mlops.predictions.scores import softmax
from pct_mlops.predictions.writing import write_aside

if TYPE_CHECKING:
    from pct_mlops.predictions.member_counts import MemberCounts
    from pct_mlops.predictions.table import Predictions

MEMBERS, MARGIN = "members", "margin"
_BATCH_NUMBERS = 4_000_000
_COLUMNS = ("sample_id", "label", "prediction", "confidence", "margin", "risk", "num_members")
_ORDER = "risk DESC, is_right DESC, margin, confidence, sample_id"
# Ranks of equals are equal, so that no order is made up.
_RANKED = """
SELECT {places}, n.prediction <> n.label AS is_flip
FROM risks JOIN candidate AS n USING (sample_id) WHERE risks.is_right
"""
_CREATE = """
CREATE TABLE risks AS
SELECT sample_id, $names[label + 1] AS label, $names[prediction + 1] AS prediction, {confidence} AS confidence,
       {margin} AS margin, prediction = label AS is_right,
       CASE WHEN prediction <> label THEN 0 ELSE {risk} END AS risk, {number}::INT AS num_members, {wrong} AS num_wrong
FROM mine {joins}
"""


@dataclass(frozen=True)
class ClassRisk:
    """Risk of the examples of one class: their number, and the sum of their risks over it (the expected NFR)."""

    name: str
    num_examples: int
    rate: float


@dataclass(frozen=True)
class RankingQuality:
    """Quality of an order by risk: it should put the negative flips of a candidate first.

    Only examples that the model gets right are ordered.

    Attributes:
        order: what the examples are ordered by.
        num_flips: number of negative flips.
        num_right: number of examples that the model gets right.
        auroc: probability that a flip has a higher risk than an example that stays right; None without either.
        top_share: share of the flips among the first tenth of these examples. Of equals at its end, a part counts.
    """

    order: str
    num_flips: int
    num_right: int
    auroc: float | None
    top_share: float | None


class FlipRisk:
    """The risk of every example of one table, ordered. It lives in a private database.

    Attributes:
        table: The model's predictions.
        by: The score, "members" or "margin".
        num_members: Number of retrainings; 0 for the margin.
        own_score: "margin" of the model's probabilities, "confidence" where only that is known, else "".
    """

    def __init__(self, table: Predictions, counts: MemberCounts | None = None) -> None:
        columns = table.info.columns
        self.table = table
        self.by = MARGIN if counts is None else MEMBERS
        self.num_members = 0 if counts is None else counts.num_members
        has_margin = "logits" in columns and len(table.info.class_names) > 1
        self.own_score = MARGIN if has_margin else "confidence" if "confidence" in columns else ""
        if counts is None and not self.own_score:
            raise TableError(
                f"{table.what} holds no probabilities: measure 'pct floor', or give retrainings with --members."
            )
        table.check_rows()
        self._connection = sql.connect()
        with sql.reading(table.what):
            self._create(table, counts)

    def _create(self, table: Predictions, counts: MemberCounts | None) -> None:
        connection, joins = self._connection, ""
        has_confidence = "confidence" in table.info.columns
        table.attach(connection, "mine")
        has_margin = self.own_score == MARGIN
        if has_margin:
            schema = pa.schema([("sample_id", pa.string()), ("margin", pa.float64())])
            reader = pa.RecordBatchReader.from_batches(schema, _margins(table, schema))
            connection.from_arrow(reader).create("margins")
            joins += "JOIN margins USING (sample_id) "
        if counts is not None:
            counts.attach(connection, "counts")
            joins += "JOIN counts USING (sample_id)"
        wrong = f"({self.num_members} - num_correct)" if counts is not None else "NULL::INT"
        connection.execute(
            _CREATE.format(
                confidence="confidence" if has_confidence else "NULL::FLOAT",
                margin="margin" if has_margin else "NULL::DOUBLE",
                risk=f"{wrong} / {self.num_members}" if counts is not None else f"1 - {self.own_score}",
                number=self.num_members,
                wrong=wrong,
                joins=joins,
            ),
            {"names": list(table.info.class_names)},
        )
        if self._one("SELECT count(*) FROM risks") != table.info.num_examples:
            raise TableError(f"The retrainings lack examples of {table.what}: score both on the same data.")

    @property
    def expected_nfr(self) -> float | None:
        """Expected NFR of one more retraining, None where the risk is no probability."""
        return float(self._one("SELECT sum(risk) / count(*) FROM risks")) if self.by == MEMBERS else None

    @property
    def nfr_between_members(self) -> float | None:
        """Mean NFR of all ordered pairs of members, None for the margin. It is what `pct floor` measures."""
        if self.by != MEMBERS:
            return None
        pairs = self.num_members * (self.num_members - 1)
        query = f"SELECT sum(num_wrong::BIGINT * ({self.num_members} - num_wrong)) / count(*) / {pairs} FROM risks"
        return float(self._one(query))

    @property
    def num_at_risk(self) -> int:
        """Number of examples with a risk above 0."""
        return int(self._one("SELECT count(*) FROM risks WHERE risk > 0"))

    def top(self, limit: int = 20) -> list[dict[str, Any]]:
        """Return the examples of the highest risk as rows, each column by its name."""
        query = f"SELECT {', '.join(_COLUMNS)} FROM risks ORDER BY {_ORDER} LIMIT {limit:d}"
        return [dict(zip(_COLUMNS, row, strict=True)) for row in self._rows(query)]

    def classes(self) -> list[ClassRisk]:
        """Return the mean risk of each class that has examples, the highest first."""
        query = "SELECT label, count(*), sum(risk) / count(*) AS rate FROM risks GROUP BY 1 ORDER BY rate DESC, label"
        return [ClassRisk(*row) for row in self._rows(query)]

    def rankings(self, new: Predictions) -> list[RankingQuality]:
        """Tell how well the order by risk ranks the negative flips of a candidate, and beside it each score alone.

        Raise PctError for a candidate on other examples.
        """
        old, new = self.table.aligned(new)
        with sql.connect() as apart:
            new.pairs(old, apart)
        new.attach(self._connection, "candidate")
        own = self.own_score
        orders = {own: f"risks.{own} DESC"} if own else {}
        if self.by == MEMBERS:
            whole = {f"{MEMBERS}, then {own}": f"risk, risks.{own} DESC"} if own else {}
            orders = {**whole, f"{MEMBERS} alone": "risk", **({f"{own} alone": orders[own]} if own else {})}
        places = ", ".join(
            f"dense_rank() OVER (ORDER BY {order}) AS place_{i}" for i, order in enumerate(orders.values())
        )
        with sql.reading(new.what):
            found = self._connection.execute(_RANKED.format(places=places)).fetchnumpy()
        return [ranking_quality(name, found[f"place_{i}"], found["is_flip"]) for i, name in enumerate(orders)]

    def save(self, path: Path) -> None:
        """Write all examples by falling risk, as Parquet or, where the name ends in .csv, as CSV."""
        options = "FORMAT csv, HEADER" if path.suffix.lower() == ".csv" else "FORMAT parquet, COMPRESSION zstd"
        query = f"COPY (SELECT {', '.join(_COLUMNS)} FROM risks ORDER BY {_ORDER}) TO $path ({options})"
        with sql.reading(self.table.what):
            write_aside(path, lambda aside: self._connection.execute(query, {"path": str(aside)}))

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with sql.reading(self.table.what):
            return self._connection.execute(query).fetchall()

    def _one(self, query: str) -> Any:
        return self._rows(query)[0][0]


def ranking_quality(order: str, place: np.ndarray, is_flip: np.ndarray) -> RankingQuality:
    """Return the quality of an order. `place` [n] rises with the risk, and `is_flip` [n] says what flipped.

    The AUROC is the Mann-Whitney statistic: examples of equal place count half.

    Example:
        >>> import numpy as np
        >>> ranking_quality("risk", np.array([1, 2, 2, 3]), np.array([False, False, True, True])).auroc
        0.875
    """
    from scipy.stats import rankdata

    flips = np.asarray(is_flip, bool)
    num, num_flips = len(flips), int(flips.sum())
    if num_flips in (0, num):
        return RankingQuality(order, num_flips, num, None, None)
    above = rankdata(place)[flips].sum() - num_flips * (num_flips + 1) / 2
    auroc = float(above / (num_flips * (num - num_flips)))
    place, size = np.asarray(place), max(num // 10, 1)
    last = np.partition(place, num - size)[num - size]
    above, equal = place > last, place == last
    found = flips[above].sum() + flips[equal].mean() * (size - above.sum())
    return RankingQuality(order, num_flips, num, auroc, float(found / num_flips))


def top_margins(logits: np.ndarray) -> np.ndarray:
    """Return the highest minus the second highest probability [N] of logits [N, C], for C of at least 2.

    Example:
        >>> import numpy as np
        >>> top_margins(np.log([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2]])).round(6).tolist()
        [0.5, 0.0]
    """
    highest = np.partition(softmax(logits), -2, axis=1)[:, -2:]
    return np.asarray(highest[:, 1] - highest[:, 0])


def _margins(table: Predictions, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    size = max(1, min(65_536, _BATCH_NUMBERS // len(table.info.class_names)))
    with sql.connect() as connection, sql.reading(table.what):
        table.attach(connection, "source", vectors=True)
        for batch in connection.sql("SELECT sample_id, logits FROM source").to_arrow_reader(size):
            values = numbers(batch.column(1).flatten()).reshape(len(batch.column(0)), -1)
            yield pa.record_batch([batch.column(0).cast(pa.string()), pa.array(top_margins(values))], schema=schema)
