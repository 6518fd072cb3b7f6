"""Rules on named classes, slices, classes within slices, and limits relative to the floor."""

from __future__ import annotations

import pytest
from prediction_tables import table

from pct_mlops.comparison import compare
from pct_mlops.config import Policy
from pct_mlops.gate import NotJudged, Verdict, decide


def policy(*rules, **settings):
    return Policy.model_validate({"rules": rules, **settings})


def make(slices=None):
    """cat 200 (30 flip), dog 150 (none), owl 20 (none); the flips are all at night."""
    labels = [0] * 200 + [1] * 150 + [2] * 20
    answers = [1] * 30 + [0] * 170 + [1] * 150 + [2] * 20
    camera = ["night"] * 60 + ["day"] * 300 + ["dusk"] * 10
    old = table(labels, labels, slices={"camera": camera} if slices is None else slices)
    return compare(old, table(labels, answers, model_version="2"))


@pytest.fixture(scope="module")
def comparison():
    return make()


def found(decision):
    return [(check.class_name, check.slice, str(check.verdict), check.support) for check in decision.checks]


def test_critical_classes_have_limits_of_their_own(comparison):
    rules = (
        {"metric": "class_nfr", "max": 0.3, "classes": ["cat"]},
        {"metric": "class_nfr", "max": 0.01, "classes": ["dog", "owl"], "bound": "point"},
        {"metric": "btc", "min": 0.5, "classes": ["owl", "cat"]},
    )
    decision = decide(policy(*rules), comparison)
    assert found(decision) == [
        ("cat", None, "PASS", 200),
        ("dog", None, "PASS", 150),
        ("owl", None, "PASS", 20),
        ("owl", None, "PASS", 20),
        ("cat", None, "PASS", 200),
    ]


def test_one_value_of_a_column(comparison):
    night = {"metric": "nfr", "max": 0.1, "slice": {"column": "camera", "value": "night"}}
    decision = decide(policy(night), comparison)
    assert found(decision) == [(None, ("camera", "night"), "FAIL", 60)]
    check = decision.checks[0]
    assert (check.value, check.corrected_bound) == (0.5, None)
    assert check.sentence.startswith("nfr where camera is 'night' is 50.00%, its lower bound at 95% confidence is")


def test_every_value_of_a_column(comparison):
    decision = decide(
        policy({"metric": "nfr", "max": 0.1, "slice": {"column": "camera"}, "min_support": 20}), comparison
    )
    assert found(decision) == [(None, ("camera", "day"), "PASS", 300), (None, ("camera", "night"), "FAIL", 60)]
    assert decision.not_judged == (NotJudged("nfr", None, 10, 20, ("camera", "dusk"), negative_flips=0),)
    assert decision.not_judged[0].name == "camera=dusk"
    assert "corrected for the number of checks" in decision.checks[1].sentence


def test_classes_within_slices(comparison):
    rule = {"metric": "class_nfr", "max": 0.1, "slice": {"column": "camera"}, "min_support": 15}
    decision = decide(policy(rule), comparison)
    assert found(decision) == [
        ("cat", ("camera", "day"), "PASS", 140),
        ("dog", ("camera", "day"), "PASS", 150),
        ("cat", ("camera", "night"), "FAIL", 60),
    ]
    assert decision.checks[2].sentence.startswith("class_nfr of 'cat' where camera is 'night' is 50.00%")
    assert {item.name for item in decision.not_judged} == {
        "owl where camera=day",
        "cat where camera=dusk",
        "dog where camera=dusk",
        "owl where camera=dusk",
        "dog where camera=night",
        "owl where camera=night",
    }


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"classes": ["catt"]}, "Unknown class 'catt': choose one of cat"),
        ({"classes": ["cat", "owl"], "min_support": 100}, "nfr of 'owl' needs 100 examples, and there are 20"),
        ({"slice": {"column": "camra"}}, "Unknown slice column 'camra': choose one of camera"),
        (
            {"slice": {"column": "camera", "value": "dawn"}},
            "Unknown value of column 'camera' 'dawn': choose one of day",
        ),
        (
            {"slice": {"column": "camera", "value": "dusk"}, "min_support": 11},
            "nfr where camera is 'dusk' needs 11 examples, and there are 10",
        ),
        ({"slice": {"column": "camera"}, "min_support": 1000}, "No value of column 'camera' has 1,000 examples"),
        ({"classes": "all", "min_support": 1000}, "No class has 1,000 examples"),
    ],
)
def test_what_was_asked_for_and_cannot_be_judged_is_an_error(comparison, rule, message):
    decision = decide(policy({"metric": "nfr", "max": 1, **rule}, {"metric": "nfr", "max": 1}), comparison)
    assert (decision.verdict, decision.exit_code) == (Verdict.ERROR, 2)
    assert message in decision.checks[0].sentence
    assert [str(check.verdict) for check in decision.checks] == ["ERROR", "PASS"]


def test_classes_of_one_name_are_all_judged():
    """ImageNet has two classes 'crane'; a rule about it must not look at the last one alone."""
    names = ("crane", "dog", "crane")
    labels = [0] * 100 + [1] * 100 + [2] * 100
    old = table(labels, labels, class_names=names)
    for flipped in (0, 2):
        answers = [1 if label == flipped and place % 5 == 0 else label for place, label in enumerate(labels)]
        comparison = compare(old, table(labels, answers, class_names=names, model_version="2"))
        decision = decide(policy({"metric": "class_nfr", "max": 0.1, "classes": ["crane"]}), comparison)
        assert decision.verdict is Verdict.FAIL
        assert [check.value for check in decision.checks] == [0.2 * (flipped == 0), 0.2 * (flipped == 2)]


def test_examples_without_a_value_are_no_value_of_a_column():
    """A file of slices that lacks nearly all examples: nothing that was asked for is certified."""
    labels = [0] * 300
    some = {"camera": ["day"] * 9 + [None] * 291}
    for slices in (some, {"camera": [None] * 300}):
        comparison = compare(table(labels, labels, slices=slices), table(labels, labels, model_version="2"))
        every = {"metric": "nfr", "max": 0.1, "slice": {"column": "camera"}, "min_support": 10}
        for rule, words in (
            (every, "No value of column 'camera' has 10 examples"),
            ({**every, "classes": "all"}, "No class within a value of column 'camera' has 10 examples"),
        ):
            decision = decide(policy(rule), comparison)
            assert decision.verdict is Verdict.ERROR
            assert words in decision.checks[0].sentence
        asked = {**every, "slice": {"column": "camera", "value": "(none)"}}
        assert decide(policy(asked), comparison).verdict is Verdict.PASS
        assert decide(policy({**asked, "classes": "all"}), comparison).verdict is Verdict.PASS


def test_no_columns_at_all():
    decision = decide(policy({"metric": "nfr", "max": 1, "slice": {"column": "camera"}}), make(slices={}))
    assert "There is no slice column 'camera': neither table has one" in decision.checks[0].sentence


def test_more_checks_than_anybody_reads_are_refused_at_once(comparison, monkeypatch):
    monkeypatch.setattr("pct_mlops.gate.scopes.MAX_CHECKS", 8)
    rule = {"metric": "class_nfr", "max": 1, "slice": {"column": "camera"}}
    decision = decide(policy(rule), comparison)
    assert decision.verdict is Verdict.ERROR
    assert "would be judged 9 times" in decision.checks[0].sentence
    assert decide(policy({**rule, "classes": ["cat", "dog"], "bound": "point"}), comparison).verdict is Verdict.PASS


def test_undefined_for_one_class_is_an_error_for_it():
    # Nothing of 'dog' was right before: btc divides by nothing there.
    old, new = table([0, 0, 1], [0, 0, 0]), table([0, 0, 1], [0, 0, 1], model_version="2")
    decision = decide(policy({"metric": "btc", "min": 0.0, "classes": "all", "bound": "point"}), compare(old, new))
    assert [(check.class_name, str(check.verdict)) for check in decision.checks] == [("cat", "PASS"), ("dog", "ERROR")]
    assert "btc of 'dog' is undefined here" in decision.checks[1].sentence
    assert decision.verdict is Verdict.ERROR


def test_a_limit_relative_to_the_floor(comparison):
    rule = {"metric": "nfr", "max_times_floor": 2}
    passed = decide(policy(rule), comparison, floor=0.06)
    assert (passed.verdict, passed.checks[0].limit) == (Verdict.PASS, 0.12)
    assert "at most 12.00% (2 times the floor of 6.00%) is allowed" in passed.checks[0].sentence
    assert decide(policy(rule), comparison, floor=0.02).verdict is Verdict.FAIL
    assert decide(policy(rule), comparison, floor=0.04).verdict is Verdict.INCONCLUSIVE
    missing = decide(policy(rule), comparison)
    assert missing.verdict is Verdict.ERROR
    assert "measure it with 'pct floor'" in missing.checks[0].sentence
    for floor in (0.5, 0.9, float("nan"), -0.1):
        assert decide(policy(rule), comparison, floor=floor).verdict is Verdict.ERROR


def test_weighted_nfr_needs_the_policys_own_costs():
    labels = [0] * 100 + [1] * 100
    old, new = table(labels, labels), table(labels, [1] * 10 + [0] * 90 + [1] * 100, model_version="2")
    asked = policy({"metric": "weighted_nfr", "max": 0.2}, costs={"cat": 4.0})
    decision = decide(asked, compare(old, new, costs={"cat": 4.0}))
    assert decision.verdict is Verdict.PASS
    assert decision.checks[0].value == pytest.approx(40 / 500)
    for costs in (None, {"cat": 1.0}):
        other = decide(asked, compare(old, new, costs=costs))
        assert other.verdict is Verdict.ERROR
        assert "other costs" in other.sentence
    for others in ([], [{"metric": "nfr", "max": 0.9}]):
        silent = policy(*others, {"metric": "weighted_nfr", "max": 0.2})
        assert "other costs" in decide(silent, compare(old, new, costs={"cat": 4.0})).sentence


def test_slices_are_those_of_the_policys_own_file(tmp_path):
    for name in ("mine", "other"):
        (tmp_path / f"{name}.csv").write_text("sample_id,k\ntest/0,a\ntest/1,a\n")
    text = "slices: {file: mine.csv}\nrules: [{metric: nfr, max: 0.9, slice: {column: k}}]\n"
    (tmp_path / "p.yaml").write_text(text)
    asked = Policy.read(tmp_path / "p.yaml")
    old, new = table([0, 0], [0, 0]), table([0, 0], [0, 0], model_version="2")
    assert decide(asked, compare(old, new, slices=asked.slices_path)).verdict is Verdict.PASS
    for slices in (None, tmp_path / "other.csv"):
        decision = decide(asked, compare(old, new, slices=slices))
        assert decision.verdict is Verdict.ERROR
        assert "without the policy's file of slices" in decision.sentence
    silent = asked.model_copy(update={"slices": None})
    decision = decide(silent, compare(old, new, slices=asked.slices_path))
    assert decision.verdict is Verdict.ERROR, "the command line, which joins no file, would not know the column"
    assert "file of slices that the policy does not name" in decision.sentence
