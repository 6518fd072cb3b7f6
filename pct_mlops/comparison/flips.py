"""Single flips, a page at a time: filtered, sorted and cut in SQL."""

from __future__ import annotations

from dataclasses import dataclass
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

# Only changed answers can be flips, and they are few: kept apart, a page never touches the rest again.
CREATE_CHANGED = """
CREATE TABLE changed AS
SELECT sample_id, label, old_prediction, new_prediction, old_confidence, new_confidence,
       old_label_confidence, new_label_confidence,
       CASE WHEN old_right THEN 'negative' WHEN new_right THEN 'positive' ELSE 'both_wrong' END AS kind
FROM pairs WHERE old_prediction <> new_prediction
"""


@dataclass(frozen=True)
class FlipRow:
    """One example whose prediction changed; classes are indices, confidences lie in [0, 1]."""

    sample_id: str
    label: int
    old_prediction: int
    new_prediction: int
    old_confidence: float
    new_confidence: float
    old_label_confidence: float
    new_label_confidence: float
    kind: str


def condition(kind: str, **wanted: int | None) -> tuple[str, dict[str, Any]]:
    """The WHERE clause and its parameters; columns come from this module, values from outside."""
    if kind not in KINDS:
        raise unknown("kind of flip", kind, list(KINDS))
    parts = [KINDS[kind]]
    values = {column: int(value) for column, value in wanted.items() if value is not None}
    parts += [f"{column} = ${column}" for column in values]
    return " AND ".join(parts), values


def page_query(where: str, sort: str, limit: int, offset: int) -> tuple[str, dict[str, Any]]:
    """The query of one page; PctError for an unknown order or an impossible page."""
    if sort not in SORTS:
        raise unknown("order of flips", sort, list(SORTS))
    if not (0 < limit <= MAX_PAGE and offset >= 0):
        raise PctError(f"A page has 1 to {MAX_PAGE:,} flips and starts at 0 or later: change limit or offset.")
    query = f"SELECT * FROM changed WHERE {where} ORDER BY {SORTS[sort]} LIMIT $page_limit OFFSET $page_offset"
    return query, {"page_limit": limit, "page_offset": offset}
