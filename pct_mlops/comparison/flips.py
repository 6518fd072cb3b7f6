"""Single flips, a page at a time: filtered, sorted and cut in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pct_mlops.config import unknown
from pct_mlops.errors import ConfigError

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
MAX_SLICE_VALUE = 1000  # characters that an address may give for one
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
    """One example; classes are indices, confidences lie in [0, 1] and are None where a table has none.

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
    old_confidence: float | None
    new_confidence: float | None
    old_label_confidence: float | None
    new_label_confidence: float | None
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

    def to_query(self, classes: Sequence[str], slice_values: Mapping[str, str] | None = None) -> dict[str, str]:
        """Write the filter as parameters of the explorer's address, defaults left out; `from_query` reads them.

        Args:
            classes: What the classes are called, in their order; no two alike.
            slice_values: The values of the slice column by what they are called; None where a value is its own name.

        Returns:
            Parameter -> text. Confidences are whole percents. Of `sample_ids` and `not_sample_ids` the address says
            only which is given ("reviewed": yes or no): the ids are those of the reviewers' marks.
        """
        wanted = {"target": self.target, "answer": self.new_prediction, "was": self.old_prediction}
        found = {name: classes[index] for name, index in wanted.items() if index is not None}
        if self.kind != "negative":
            found["kind"] = self.kind
        if self.type_ is not None:
            found["type"] = str(self.type_)
        if self.confidence_range is not None:
            found["conf"] = "-".join(str(round(100 * value)) for value in self.confidence_range)
        if self.slice is not None:
            column, value = self.slice
            names = {held: name for name, held in (slice_values or {}).items()}
            found |= {"column": column, "value": names.get(value, value)}
        if self.sample_ids is not None or self.not_sample_ids is not None:
            found["reviewed"] = "yes" if self.sample_ids is not None else "no"
        return found

    @classmethod
    def from_query(
        cls,
        query: Mapping[str, str],
        classes: Sequence[str],
        slice_values: Mapping[str, str] | None = None,
        *,
        marked: Collection[str] = (),
    ) -> FlipFilter:
        """Read what `to_query` wrote; a parameter that names nothing is passed over, as an old link may hold one.

        Args:
            query: Parameters of an address; a "column" must be one that the tables have.
            classes: What the classes are called, in their order.
            slice_values: The values of that column by what they are called; None: any text is one.
            marked: Examples that carry a reviewer's mark, for "reviewed".
        """

        def index(name: str) -> int | None:
            return classes.index(query[name]) if query.get(name) in classes else None

        column, value = query.get("column"), query.get("value", "")[:MAX_SLICE_VALUE]
        known = bool(value) if slice_values is None else value in slice_values
        reviewed = query.get("reviewed")
        return cls(
            kind=query["kind"] if query.get("kind") in KINDS else "negative",
            target=index("target"),
            old_prediction=index("was"),
            new_prediction=index("answer"),
            slice=(column, value if slice_values is None else slice_values[value]) if column and known else None,
            type_=next((number for number in _TYPES if query.get("type") == str(number)), None),
            confidence_range=_confidence_range(query.get("conf", "")),
            sample_ids=frozenset(marked) if reviewed == "yes" else None,
            not_sample_ids=frozenset(marked) if reviewed == "no" else None,
        )

    def condition(self) -> tuple[str, dict[str, Any]]:
        """The WHERE clause, without the slice, and its parameters; columns come from here, values from outside."""
        if self.kind not in KINDS:
            raise unknown("kind of flip", self.kind, list(KINDS))
        if self.type_ is not None and self.type_ not in _TYPES:
            raise ConfigError(f"Flips are of type 1 or 2, and not {self.type_}.")
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


def percent_range(text: str, whole: tuple[int, int] = (0, 100)) -> tuple[int, int] | None:
    """Two whole numbers inside `whole`, written "20-90"; None where the text is none."""
    low, _, high = text.partition("-")
    if not (low.isascii() and low.isdigit() and high.isascii() and high.isdigit() and len(text) < 20):
        return None
    return (int(low), int(high)) if whole[0] <= int(low) <= int(high) <= whole[1] else None


def _confidence_range(text: str) -> tuple[float, float] | None:
    """As fractions; None for all of them, which filters nothing."""
    found = percent_range(text)
    return None if found in (None, (0, 100)) else (found[0] / 100, found[1] / 100)


def page_query(where: str, sort: str, limit: int, offset: int) -> tuple[str, dict[str, Any]]:
    """The query of one page; PctError for an unknown order or an impossible page."""
    if sort not in SORTS:
        raise unknown("order of flips", sort, list(SORTS))
    if not (0 < limit <= MAX_PAGE and offset >= 0):
        raise ConfigError(f"A page has 1 to {MAX_PAGE:,} flips and starts at 0 or later: change limit or offset.")
    query = f"SELECT * FROM changed WHERE {where} ORDER BY {SORTS[sort]} LIMIT $page_limit OFFSET $page_offset"
    return query, {"page_limit": limit, "page_offset": offset}
