"""A filter on flips and its parameters in an address: what is written is read again, and nothing else matters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pct_mlops.comparison import FlipFilter
from pct_mlops.comparison.flips import KINDS

CLASSES = ("ant", "bee", "a=b&c", "ж 猫")
VALUES = {"(empty)": "", "night": "night", "1": "1.0"}
MARKED = frozenset({"a", "b"})
PARAMETERS = ("kind", "target", "answer", "was", "type", "column", "value", "conf", "reviewed", "sort", "page")

texts = st.text(max_size=12) | st.sampled_from(["2", "yes", "0-100", "bee", "all", "night"])
classes = st.none() | st.integers(0, len(CLASSES) - 1)
percents = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted).map(tuple)
ids = st.sampled_from([{}, {"sample_ids": MARKED}, {"not_sample_ids": MARKED}])


def filters(values):
    """Every filter that the gallery can ask for, with slices of these values."""
    return st.builds(
        lambda marks, **given: FlipFilter(**given, **marks),
        ids,
        kind=st.sampled_from(sorted(KINDS)),
        target=classes,
        old_prediction=classes,
        new_prediction=classes,
        type_=st.sampled_from([None, 1, 2]),
        slice=st.none() | st.tuples(st.text(min_size=1, max_size=9), values),
        confidence_range=st.none()
        | percents.filter(lambda pair: pair != (0, 100)).map(lambda pair: (pair[0] / 100, pair[1] / 100)),
    )


@given(filters(st.sampled_from(sorted(VALUES.values()))))
def test_a_filter_comes_back_from_its_address(wanted):
    query = wanted.to_query(CLASSES, VALUES)
    assert all(isinstance(text, str) and text for text in query.values())
    assert FlipFilter.from_query(query, CLASSES, VALUES, marked=MARKED) == wanted


@given(filters(st.text(min_size=1, max_size=1000)))
def test_a_typed_value_comes_back_as_it_is(wanted):
    assert FlipFilter.from_query(wanted.to_query(CLASSES), CLASSES, marked=MARKED) == wanted


@given(
    st.dictionaries(st.sampled_from(PARAMETERS), st.text(max_size=12) | st.sampled_from(["2", "yes", "0-100", "bee"]))
)
def test_any_address_is_a_filter_that_can_be_asked_for(query):
    found = FlipFilter.from_query(query, CLASSES, VALUES, marked=MARKED)
    found.condition()
    assert FlipFilter.from_query(found.to_query(CLASSES, VALUES), CLASSES, VALUES, marked=MARKED) == found


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        # Links that people keep: they must go on to open the same view.
        ({}, FlipFilter()),
        ({"kind": "positive", "target": "bee"}, FlipFilter("positive", target=1)),
        ({"answer": "bee", "was": "ant"}, FlipFilter(new_prediction=1, old_prediction=0)),
        ({"type": "2", "conf": "20-90"}, FlipFilter(type_=2, confidence_range=(0.2, 0.9))),
        ({"column": "weather", "value": "(empty)"}, FlipFilter(slice=("weather", ""))),
        ({"reviewed": "no", "kind": "all"}, FlipFilter("all", not_sample_ids=MARKED)),
        ({"reviewed": "yes"}, FlipFilter(sample_ids=MARKED)),
        # What names nothing.
        ({"kind": "sideways", "target": "cat", "type": "3", "conf": "90-20", "reviewed": "maybe"}, FlipFilter()),
        ({"column": "weather"}, FlipFilter()),
        ({"value": "night"}, FlipFilter()),
    ],
)
def test_links_open_the_view_that_they_opened_before(query, wanted):
    assert FlipFilter.from_query(query, CLASSES, VALUES, marked=MARKED) == wanted


def test_filters_on_confidences_that_no_table_holds_are_refused():
    from pct_mlops import Predictions, compare
    from pct_mlops.errors import NotComparableError

    ids, labels = ["a", "b"], ["cat", "dog"]
    old = Predictions.from_arrays(sample_ids=ids, labels=labels, predictions=["cat", "dog"])
    plain = Predictions.from_arrays(sample_ids=ids, labels=labels, predictions=["dog", "dog"])
    sure = Predictions.from_arrays(sample_ids=ids, labels=labels, predictions=["dog", "dog"], scores=[0.9, 0.8])
    says = "Flips cannot be filtered by confidence_range, because the new table has no confidence: leave"
    for ask in (compare(old, plain).flips, compare(old, plain).num_flips):
        with pytest.raises(NotComparableError, match=says):
            ask(confidence_range=(0.5, 1.0))
        with pytest.raises(NotComparableError, match="by type_, because neither table has label_confidence"):
            ask(type_=1)
    assert [flip.sample_id for flip in compare(old, sure).flips(confidence_range=(0.5, 1.0))] == ["a"]
    assert compare(old, sure).flips(confidence_range=(0.0, 0.5)) == []
