"""Single flips, a page at a time: filtered, sorted and cut in SQL."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pct_mlops.config import PctError, unknown

KINDS = {
    "negative": "kind = 'negative'",
    "positive": "kind = 'positive'",
    "both_wrong": "kind = 'both_wrong'",
    "all": "true",
}
# Every order ends with the id, so that pages neither repeat nor lose an example.
SORTS = {
    "confidence_lost": "old_label_confidence - new_label_confidence DESC, sample_id",
    "old_confidence": "old_confidence DESC, sample_id",
    "new_confidence": "new_confidence DESC, sample_id",
    "label": "label, sample_id",
    "old_prediction": "old_prediction, sample_id",
    "new_prediction": "new_prediction, sample_id",
    "sample_id": "sample_id",
}
MAX_PAGE = 10_000
# By how much the confidence in the target fell; as decimals, so that 0.4 - 0.3 is 0.1.
FALL = "old_label_confidence::DECIMAL(9, 6) - new_label_confidence::DECIMAL(9, 6)"
_TYPES = {1: f"kind = 'negative' AND {FALL} <= 0.1", 2: f"kind = 'negative' AND {FALL} >= 0.5"}

_COLUMNS = (
    "sample_id, label, old_prediction, new_prediction, old_confidence, new_confidence, "
    "old_label_confidence, new_label_confidence"
)
# Only changed answers can be flips, and they are few: kept apart, a page never touches the rest again.
CREATE_CHANGED = f"""
CREATE TABLE changed AS
SELECT {_COLUMNS},
       CASE WHEN old_right THEN 'negative' WHEN new_right THEN 'positive' ELSE 'both_wrong' END AS kind
FROM pairs WHERE old_prediction <> new_prediction
"""
# Any example, changed or not.
ONE_EXAMPLE = f"""
SELECT {_COLUMNS},
       CASE WHEN old_right AND new_right THEN 'both_right' WHEN old_right THEN 'negative'
            WHEN new_right THEN 'positive' ELSE 'both_wrong' END AS kind
FROM pairs WHERE sample_id = $sample_id
"""
# The flip matrix: negative flips by target and wrong new class.
FLIP_MATRIX = """
SELECT label, new_prediction, num::BIGINT FROM
    (SELECT label, new_prediction, sum(num) AS num FROM cells
     WHERE old_prediction = label AND new_prediction <> label GROUP BY label, new_prediction)
ORDER BY num DESC, label, new_prediction
"""
OTHER_CONFIDENCES = """
SELECT count(*) FILTER (WHERE old_confidence <> new_confidence OR old_label_confidence <> new_label_confidence),
       count(DISTINCT new_confidence)
FROM pairs
"""


@dataclass(frozen=True)
class FlipRow:
    """One example; classes are indices, confidences lie in [0, 1].

    Attributes:
        sample_id: of the tables.
        label: the target class.
        old_prediction: the class that the old model said.
        new_prediction: the class that the new model said.
        old_confidence: of the old model in its prediction.
        new_confidence: of the new model in its prediction.
        old_label_confidence: of the old model in the target class.
        new_label_confidence: of the new model in the target class.
        kind: negative, positive or both_wrong, and both_right where nothing flipped.

    Example:
        >>> from pct_mlops import Predictions, compare
        >>> ids, labels, classes = ["a", "b", "c", "d"], [0, 1, 1, 0], ("cat", "dog")
        >>> old = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [0, 2], [0, 2]], class_names=classes)
        >>> new = Predictions.from_arrays(ids, labels, [[2, 0], [0, 2], [2, 0], [2, 0]], class_names=classes)
        >>> [(flip.sample_id, flip.kind) for flip in compare(old, new).flips("all", sort="sample_id")]
        [('c', 'negative'), ('d', 'positive')]
    """

    sample_id: str
    label: int
    old_prediction: int
    new_prediction: int
    old_confidence: float
    new_confidence: float
    old_label_confidence: float
    new_label_confidence: float
    kind: str


@dataclass(frozen=True)
class FlipFilter:
    """Which examples whose prediction changed. Classes are indices; None is any.

    slice: (column, value); type_: 1 (target confidence fell by at most 0.1) or 2 (by at least 0.5), of negative flips;
    confidence_range: lowest and highest confidence of the new model; sample_ids: only these; not_sample_ids: not these.
    """

    kind: str = "negative"
    target: int | None = None
    old_prediction: int | None = None
    new_prediction: int | None = None
    slice: tuple[str, str] | None = None
    type_: int | None = None
    confidence_range: tuple[float, float] | None = None
    sample_ids: Collection[str] | None = field(default=None)
    not_sample_ids: Collection[str] | None = field(default=None)

    def condition(self) -> tuple[str, dict[str, Any]]:
        """The WHERE clause, without the slice, and its parameters; columns come from here, values from outside."""
        if self.kind not in KINDS:
            raise unknown("kind of flip", self.kind, list(KINDS))
        if self.type_ is not None and self.type_ not in _TYPES:
            raise PctError(f"Flips are of type 1 or 2, and not {self.type_}.")
        wanted = {
            "label": self.target,
            "old_prediction": self.old_prediction,
            "new_prediction": self.new_prediction,
        }
        values: dict[str, Any] = {column: int(value) for column, value in wanted.items() if value is not None}
        parts = [KINDS[self.kind], *(f"{column} = ${column}" for column in values)]
        if self.type_ is not None:
            parts.append(_TYPES[self.type_])
        if self.confidence_range is not None:
            parts.append("new_confidence BETWEEN $least::FLOAT AND $most::FLOAT")
            values["least"], values["most"] = map(float, self.confidence_range)
        for name, ids, test in (("only", self.sample_ids, "IN"), ("not_these", self.not_sample_ids, "NOT IN")):
            if ids is not None:
                parts.append(f"sample_id {test} (SELECT unnest(${name}::VARCHAR[]))")
                values[name] = list(ids)
        return " AND ".join(f"({part})" for part in parts), values


def page_query(where: str, sort: str, limit: int, offset: int) -> tuple[str, dict[str, Any]]:
    """The query of one page; PctError for an unknown order or an impossible page."""
    if sort not in SORTS:
        raise unknown("order of flips", sort, list(SORTS))
    if not (0 < limit <= MAX_PAGE and offset >= 0):
        raise PctError(f"A page has 1 to {MAX_PAGE:,} flips and starts at 0 or later: change limit or offset.")
    query = f"SELECT * FROM changed WHERE {where} ORDER BY {SORTS[sort]} LIMIT $page_limit OFFSET $page_offset"
    return query, {"page_limit": limit, "page_offset": offset}
