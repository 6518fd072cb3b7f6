"""Writes the SQL that filters, sorts and pages single flips."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pct_mlops.config import unknown
from pct_mlops.errors import ConfigError
from pct_mlops.predictions.example_texts import ExampleTexts
from pct_mlops.predictions.member_counts import MemberCounts

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
    # Behind the number of retrainings that are right, where that is known.
    "flip_risk": "old_confidence, sample_id",
}
MAX_PAGE = 10_000
MAX_SLICE_VALUE = 1000  # characters of a slice's value in an address, at most
MAX_NEEDLE = 200  # characters of a text that is searched for
# By how much the confidence in the target fell. Decimals make sure that 0.4 - 0.3 is 0.1.
FALL = "old_label_confidence::DECIMAL(9, 6) - new_label_confidence::DECIMAL(9, 6)"
_TYPES = {1: f"kind = 'negative' AND {FALL} <= 0.1", 2: f"kind = 'negative' AND {FALL} >= 0.5"}

_COLUMNS = (
    "sample_id, label, old_prediction, new_prediction, old_confidence, new_confidence, "
    "old_label_confidence, new_label_confidence"
)
# Only changed predictions can be flips, and they are few. In a table of their own, a page never reads the rest again.
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
SELECT count(*) FILTER (WHERE old_confidence IS DISTINCT FROM new_confidence
                             OR old_label_confidence IS DISTINCT FROM new_label_confidence),
       count(DISTINCT new_confidence)
FROM pairs
"""


@dataclass(frozen=True)
class FlipRow:
    """One example as both models see it. Classes are indices, confidences lie in [0, 1] and are None where not known.

    Attributes:
        sample_id: id of the example in the tables.
        label: the target class.
        old_prediction: the class that the old model predicts.
        new_prediction: the class that the new model predicts.
        old_confidence: confidence of the old model in its prediction.
        new_confidence: confidence of the new model in its prediction.
        old_label_confidence: confidence of the old model in the target class.
        new_label_confidence: confidence of the new model in the target class.
        kind: negative, positive or both_wrong; both_right where both models are right.

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
class TextSearch:
    """A search for examples whose text contains `needle`, upper and lower case alike.

    It reads a file of texts, or the slice column `column` where `texts` is None.
    """

    needle: str
    texts: ExampleTexts | None = None
    column: str = ""


@dataclass(frozen=True)
class CauseSearch:
    """A search for negative flips that retraining makes too ("noise") or does not make ("systematic").

    With `cause` "", every example is found, and the counts only serve the order by flip risk.
    """

    cause: str
    counts: MemberCounts


@dataclass(frozen=True)
class FlipFilter:
    """Filter of the examples whose prediction changed. None filters nothing.

    Attributes:
        kind: negative, positive, both_wrong or all.
        target: index of the target class.
        old_prediction: index of the class that the old model predicts.
        new_prediction: index of the class that the new model predicts.
        slice: (column, value) of a slice.
        type_: negative flips whose target confidence fell by at most 0.1 (1), or by at least 0.5 (2).
        confidence_range: lowest and highest confidence of the new model in its prediction.
        sample_ids: ids of which the example must be one.
        not_sample_ids: ids of which the example must be none.
        text: a part of the example's text.
        cause: what the retrainings of the old model's recipe say of a negative flip.
    """

    kind: str = "negative"
    target: int | None = None
    old_prediction: int | None = None
    new_prediction: int | None = None
    slice: tuple[str, str] | None = None
    type_: int | None = None
    confidence_range: tuple[float, float] | None = None
    sample_ids: Collection[str] | None = None
    not_sample_ids: Collection[str] | None = None
    text: TextSearch | None = None
    cause: CauseSearch | None = None

    def to_query(self, classes: Sequence[str], slice_values: Mapping[str, str] | None = None) -> dict[str, str]:
        """Write the filter as parameters of the explorer's address, without defaults. `from_query` reads them.

        Args:
            classes: Names of the classes in their order, no two alike.
            slice_values: Names of the slice column's values -> values; None where a value is its own name.

        Returns:
            Parameter -> text. Confidences are whole percents. Of `sample_ids` and `not_sample_ids` the address says
            only which is given ("reviewed": yes or no), because the ids are those of the reviewers' marks.
        """
        wanted = {"target": self.target, "answer": self.new_prediction, "was": self.old_prediction}
        found = {name: classes[index] for name, index in wanted.items() if index is not None}
        if self.kind != "negative":
            found["kind"] = self.kind
        if self.type_ is not None:
            found["type"] = str(self.type_)
        if self.text is not None:
            found["text"] = self.text.needle
        if self.cause is not None and self.cause.cause:
            found["cause"] = self.cause.cause
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
        """Read what `to_query` wrote. A parameter that names nothing is ignored, because an old link may hold one.

        Args:
            query: Parameters of an address; a "column" must be one that the tables have.
            classes: Names of the classes in their order.
            slice_values: Names of that column's values -> values; None: any text is a value.
            marked: Ids of examples that carry a reviewer's mark, for "reviewed".
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

    def needs(self) -> dict[str, str]:
        """Return filter -> a metric that needs the same columns, for the filters on confidences that are set."""
        found = {"type_": "type_1_flips"} if self.type_ is not None else {}
        return found | ({"confidence_range": "ece_new"} if self.confidence_range is not None else {})

    def condition(self) -> tuple[str, dict[str, Any]]:
        """Return the WHERE clause, without slice and text, and its parameters.

        The clause holds only names from this module. Values from outside are parameters. Raise PctError for a kind or
        type that does not exist.
        """
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
    """Read two whole numbers inside `whole`, written as "20-90". Return None for any other text."""
    low, _, high = text.partition("-")
    if not (low.isascii() and low.isdigit() and high.isascii() and high.isdigit() and len(text) < 20):
        return None
    return (int(low), int(high)) if whole[0] <= int(low) <= int(high) <= whole[1] else None


def _confidence_range(text: str) -> tuple[float, float] | None:
    """Read a range of percents as fractions. Return None for the whole range, because it filters nothing."""
    found = percent_range(text)
    return None if found in (None, (0, 100)) else (found[0] / 100, found[1] / 100)


def page_query(where: str, sort: str, limit: int, offset: int, counted: str = "") -> tuple[str, dict[str, Any]]:
    """Return the query of one page and its parameters, or raise PctError for an unknown order or an impossible page.

    `counted` is a table of how many retrainings are right, for the order by flip risk.
    """
    if sort not in SORTS:
        raise unknown("order of flips", sort, list(SORTS))
    if not (0 < limit <= MAX_PAGE and offset >= 0):
        raise ConfigError(f"A page has 1 to {MAX_PAGE:,} flips and starts at 0 or later: change limit or offset.")
    order = SORTS[sort]
    if counted and sort == "flip_risk":
        order = f"(SELECT num_correct FROM {counted} AS c WHERE c.sample_id = changed.sample_id), {order}"
    query = f"SELECT * FROM changed WHERE {where} ORDER BY {order} LIMIT $page_limit OFFSET $page_offset"
    return query, {"page_limit": limit, "page_offset": offset}
