"""Zones, verdicts, exit codes, and everything that must refuse."""

from __future__ import annotations

import dataclasses
import math

import pytest
from prediction_tables import pair_of_counts, table

from pct_mlops.comparison import METRICS, clopper_pearson, compare
from pct_mlops.config import Policy, Rule
from pct_mlops.config.metric_names import METRIC_INFO
from pct_mlops.gate import (
    EXIT_CODES,
    NotJudged,
    Review,
    ReviewKind,
    ReviewState,
    Verdict,
    decide,
    is_same_model,
)
from pct_mlops.predictions import Predictions


def policy(*rules, **settings):
    return Policy.model_validate({"rules": rules, **settings})


def verdicts(decision):
    return [str(check.verdict) for check in decision.checks]


@pytest.fixture(scope="module")
def comparison():
    return compare(*pair_of_counts(900, 20, 50, 30))  # nfr 0.02, pfr 0.05, accuracy +0.03


LOWER, UPPER = clopper_pearson(20, 1000, 0.95)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"metric": "nfr", "max": UPPER}, "PASS"),
        ({"metric": "nfr", "max": math.nextafter(UPPER, 0)}, "INCONCLUSIVE"),
        ({"metric": "nfr", "max": LOWER}, "INCONCLUSIVE"),
        ({"metric": "nfr", "max": math.nextafter(LOWER, 0)}, "FAIL"),
        ({"metric": "nfr", "max": 0.02, "bound": "point"}, "PASS"),
        ({"metric": "nfr", "max": 0.0199, "bound": "point"}, "FAIL"),
        ({"metric": "nfr", "min": LOWER}, "PASS"),
        ({"metric": "nfr", "min": math.nextafter(LOWER, 1)}, "INCONCLUSIVE"),
        ({"metric": "nfr", "min": UPPER}, "INCONCLUSIVE"),
        ({"metric": "nfr", "min": math.nextafter(UPPER, 1)}, "FAIL"),
        ({"metric": "accuracy_change", "min": 0.015}, "PASS"),
        ({"metric": "accuracy_change", "min": 0.03, "bound": "point"}, "PASS"),
        ({"metric": "accuracy_change", "min": 0.025}, "INCONCLUSIVE"),
        ({"metric": "accuracy_change", "min": 0.06}, "FAIL"),
        ({"metric": "accuracy_change", "max": 0.06}, "PASS"),
    ],
)
def test_three_zones(comparison, rule, expected):
    decision = decide(policy(rule), comparison)
    assert verdicts(decision) == [expected]
    assert str(decision.verdict) == expected
    assert decision.exit_code == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[expected]
    assert decision.num_examples == 1000


def test_exit_codes_are_frozen():
    codes = {str(verdict): code for verdict, code in EXIT_CODES.items()}
    assert codes == {"PASS": 0, "BOOTSTRAP": 0, "FAIL": 1, "ERROR": 2, "INCONCLUSIVE": 3}


def test_the_worst_check_is_the_verdict(comparison):
    passing, open_, failing = (
        {"metric": "nfr", "max": 0.5},
        {"metric": "nfr", "max": 0.02},
        {"metric": "nfr", "max": 0.001},
    )
    broken = {"metric": "relative_nfr", "max": 1}
    assert decide(policy(passing, passing), comparison).verdict is Verdict.PASS
    assert decide(policy(passing, open_), comparison).verdict is Verdict.INCONCLUSIVE
    assert decide(policy(open_, failing, passing), comparison).verdict is Verdict.FAIL
    assert decide(policy(failing, open_, broken, passing), comparison).verdict is Verdict.ERROR


@pytest.mark.parametrize(
    "rule",
    [{"metric": "nfr", "max": 0.021}, {"metric": "nfr", "max": 0.019}, {"metric": "accuracy_change", "min": 0.028}],
)
def test_the_number_of_examples_that_would_decide(comparison, rule):
    check = decide(policy(rule), comparison).checks[0]
    assert check.verdict is Verdict.INCONCLUSIVE
    assert f"about {check.examples_needed:,} examples" in check.sentence

    def outcome(num):
        return decide(policy(rule), _Scaled(comparison, num / 1000)).checks[0].verdict

    # Rounded up to two digits: enough, and not more than a ninth too many.
    assert outcome(check.examples_needed) is not Verdict.INCONCLUSIVE
    assert outcome(check.examples_needed * 0.85) is Verdict.INCONCLUSIVE


class _Scaled:
    """A comparison at the same rates on more examples."""

    def __init__(self, comparison, scale):
        self._comparison, self._scale = comparison, scale

    def __getattr__(self, name):
        return getattr(self._comparison, name)

    def estimate(self, *arguments, scale=1.0):
        return self._comparison.estimate(*arguments, scale=scale * self._scale)


def test_a_value_on_the_limit_is_never_decided(comparison):
    check = decide(policy({"metric": "nfr", "max": 0.02}), comparison).checks[0]
    assert check.examples_needed is None
    assert "too close to the limit" in check.sentence


def test_more_confidence_asks_for_more(comparison):
    rule = {"metric": "nfr", "max": UPPER}
    assert decide(policy(rule, confidence=0.99), comparison).verdict is Verdict.INCONCLUSIVE
    assert decide(policy(rule, confidence=0.9), comparison).verdict is Verdict.PASS


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_can_be_judged_overall_by_class_and_by_slice(name):
    old, new = pair_of_counts(900, 20, 50, 30, slices={"camera": ["day", "night"] * 500})
    costs = {"cat": 2.0}
    comparison = compare(old, new, costs=costs)
    where = {"classes": ["cat"]}, {"slice": {"column": "camera", "value": "day"}}, {"slice": {"column": "camera"}}
    for place in ({}, *where, {**where[0], **where[2]}):
        rule = {"metric": name, "max": 1.0, **place}
        decision = decide(policy({**rule, "bound": "point"}, costs=costs), comparison)
        assert decision.verdict is Verdict.PASS
        bounded = decide(policy(rule, costs=costs), comparison)
        if METRIC_INFO[name].no_bounds:
            assert bounded.verdict is Verdict.ERROR
            assert "use 'bound: point'" in bounded.checks[0].sentence
        else:
            assert bounded.verdict is Verdict.PASS


def classes_comparison():
    labels = [0] * 200 + [1] * 150 + [2] * 20
    answers = [1] * 30 + [0] * 170 + [1] * 150 + [0] * 20
    return compare(table(labels, labels), table(labels, answers, model_version="2"))


def test_class_rules_judge_every_class_with_support():
    decision = decide(policy({"metric": "class_nfr", "max": 0.05, "min_support": 150}), classes_comparison())
    assert [(check.class_name, str(check.verdict), check.support) for check in decision.checks] == [
        ("cat", "FAIL", 200),
        ("dog", "PASS", 150),
    ]
    assert decision.verdict is Verdict.FAIL
    assert decision.not_judged == (NotJudged("class_nfr", "owl", 20, 150, negative_flips=20),)
    assert "class_nfr of 'cat'" in decision.checks[0].sentence


def test_too_little_support_is_an_error_not_a_pass():
    decision = decide(policy({"metric": "class_nfr", "max": 0.9, "min_support": 201}), classes_comparison())
    assert decision.verdict is Verdict.ERROR
    assert "No class has 201 examples" in decision.checks[0].sentence
    assert len(decision.not_judged) == 3
    overall = decide(policy({"metric": "nfr", "max": 0.9, "min_support": 371}), classes_comparison())
    assert overall.verdict is Verdict.ERROR


def test_class_without_examples_is_not_judged():
    decision = decide(policy({"metric": "class_nfr", "max": 0.9}), compare(*pair_of_counts(5, 1, 1, 1)))
    assert [check.class_name for check in decision.checks] == ["cat"]
    assert [item.class_name for item in decision.not_judged] == ["dog", "owl"]


RULE = {"metric": "nfr", "max": 0.5}
# Past the policy's own check, as a what-if in memory may be.
UNKNOWN = policy(RULE).model_copy(update={"rules": (policy(RULE).rules[0].model_copy(update={"metric": "nope"}),)})
NEW = table([0], [0]).info


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": policy(), "comparison": "given"}, "no rules"),
        ({"policy": policy(), "comparison": None, "baseline_exists": False, "candidate": NEW}, "no rules"),
        ({"comparison": None}, "nothing to compare"),
        ({"comparison": None, "candidate": NEW}, "nothing to compare"),
        ({"comparison": None, "problem": "The tables are not comparable."}, "not comparable"),
        ({"comparison": "given", "problem": "The baseline has no table."}, "no table"),
        ({"comparison": None, "baseline_exists": False, "candidate": NEW, "problem": "No."}, "No."),
        ({"comparison": None, "baseline_exists": False}, "candidate has no predictions"),
        ({"comparison": "given", "baseline_exists": False}, "no baseline exists"),
        (
            {"comparison": None, "baseline_exists": False, "candidate": dataclasses.replace(NEW, split="val")},
            "of 'val'",
        ),
        ({"policy": UNKNOWN, "comparison": "given"}, "Unknown metric 'nope'"),
        ({"policy": policy({"metric": "pfi", "max": 1, "bound": "point"}), "comparison": "all wrong"}, "undefined"),
    ],
)
def test_everything_unknown_refuses(comparison, arguments, message):
    arguments = {"policy": policy(RULE), **arguments}
    if arguments["comparison"] == "all wrong":
        arguments["comparison"] = compare(*pair_of_counts(0, 0, 0, 9))
    elif arguments["comparison"] == "given":
        arguments["comparison"] = comparison
    decision = decide(**arguments)
    assert decision.verdict is Verdict.ERROR
    assert decision.exit_code == 2
    assert message in " ".join([decision.sentence, *(check.sentence for check in decision.checks)])


class _Broken(_Scaled):
    """A comparison whose numbers are not numbers."""

    def estimate(self, *arguments, scale=1.0):
        estimate = super().estimate(*arguments, scale=scale)
        return dataclasses.replace(estimate, **{self.field: float("nan")})


@pytest.mark.parametrize(
    ("field", "bound"), [("value", "point"), ("value", "upper"), ("upper", "upper"), ("lower", "upper")]
)
def test_nan_refuses(comparison, field, bound):
    broken = _Broken(comparison, 1.0)
    broken.field = field
    assert decide(policy({**RULE, "bound": bound}), broken).verdict is Verdict.ERROR


def test_nan_limit_refuses_even_past_the_policy_check(comparison):
    rule = Rule.model_construct(metric="nfr", max=float("nan"), min=None, bound="point", min_support=1)
    assert (
        decide(Policy.model_construct(rules=(rule,), confidence=0.95, evaluation="test"), comparison).verdict
        is Verdict.ERROR
    )


def test_a_rule_without_a_limit_refuses(comparison):
    rule = policy(RULE).rules[0].model_copy(update={"max": None})
    decision = decide(policy(RULE).model_copy(update={"rules": (rule,)}), comparison)
    assert decision.verdict is Verdict.ERROR
    assert "has no limit" in decision.checks[0].sentence


def test_what_if_in_memory_reads_nothing_and_decides_alike(comparison):
    strict = policy({"metric": "nfr", "max": 0.01})
    eased = strict.model_copy(update={"rules": (strict.rules[0].model_copy(update={"max": UPPER}),)})
    assert decide(strict, comparison).verdict is Verdict.FAIL
    assert decide(eased, comparison).verdict is Verdict.PASS
    assert eased.digest == policy({"metric": "nfr", "max": UPPER}).digest


def test_bootstrap(comparison):
    decision = decide(policy(RULE), None, baseline_exists=False, candidate=NEW)
    assert (decision.verdict, decision.exit_code, decision.checks) == (Verdict.BOOTSTRAP, 0, ())
    assert decision.candidate is NEW
    assert decision.baseline is None


@pytest.mark.parametrize(
    ("least", "verdict", "says"),
    [
        (0.9, "BOOTSTRAP", "may become the first one"),
        (0.94, "INCONCLUSIVE", "about 1,600 examples would decide"),
        (0.97, "FAIL", "outside even at its best"),
    ],
)
def test_a_first_version_must_reach_the_policy_s_minimum(least, verdict, says):
    _, new = pair_of_counts(900, 20, 50, 30)  # accuracy 95%, between 93.7 and 96.1%
    asked = policy(RULE, bootstrap={"accuracy_new": least})
    decision = decide(asked, None, baseline_exists=False, candidate=new.info, alone=compare(new, new))
    assert (str(decision.verdict), len(decision.checks)) == (verdict, 1)
    assert says in decision.sentence
    check = decision.checks[0]
    assert (check.metric, check.value, check.limit, check.support) == ("accuracy_new", 0.95, least, 1000)
    assert decision.exit_code == EXIT_CODES[decision.verdict]


def test_a_minimum_without_the_table_is_an_error_and_a_worse_review_speaks_first():
    _, new = pair_of_counts(900, 20, 50, 30)
    asked = policy(RULE, bootstrap={"accuracy_new": 0.94})
    unknown = decide(asked, None, baseline_exists=False, candidate=new.info)
    assert (unknown.verdict, "give its table" in unknown.sentence) == (Verdict.ERROR, True)
    rejected = ReviewState(decision=Review(ReviewKind.REJECT, "anna", "too dark", "2030-01-01T00:00:00+00:00"))
    both = decide(asked, None, baseline_exists=False, candidate=new.info, alone=compare(new, new), review=rejected)
    assert (both.verdict, both.sentence) == (Verdict.FAIL, "Rejected by anna: too dark")


def test_a_minimum_for_the_first_version_changes_the_digest_and_nothing_later(comparison):
    asked = policy(RULE, bootstrap={"accuracy_new": 0.999})
    assert asked.digest != policy(RULE).digest
    assert decide(asked, comparison).checks == decide(policy(RULE), comparison).checks


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"model_version": "1"}, {"model_version": "1"}, True),
        ({"model_version": "1"}, {"model_version": "2"}, False),
        ({"model_version": ""}, {"model_version": ""}, False),
        ({"model_uri": "models:/a/1", "model_name": ""}, {"model_uri": "models:/a/1", "model_name": "b"}, True),
        ({"model_uri": "models:/a/1", "model_version": "1"}, {"model_uri": "models:/a/2", "model_version": "2"}, False),
    ],
)
def test_candidate_and_baseline_must_differ(one, other, same):
    old, new = table([0, 0], [0, 1], **one), table([0, 0], [0, 0], **other)
    assert is_same_model(old.info, new.info) is same
    decision = decide(policy({"metric": "nfr", "max": 1.0}), compare(old, new))
    assert decision.verdict is (Verdict.ERROR if same else Verdict.PASS)
    assert ("same model" in decision.sentence) is same


def test_one_file_against_itself_is_refused(tmp_path):
    saved = table([0, 0], [0, 1], model_version="").save(tmp_path / "t.parquet")
    assert "same model" in decide(policy(RULE), compare(saved, saved)).sentence
    (tmp_path / "other.parquet").symlink_to(saved.path)
    assert "same model" in decide(policy(RULE), compare(saved, Predictions.load(tmp_path / "other.parquet"))).sentence


@pytest.mark.parametrize("role", ["old", "new"])
@pytest.mark.parametrize("split", ["val", "train", ""])
def test_only_the_evaluation_split_judges(role, split):
    old, new = table([0], [0], model_version="1"), table([0], [0], model_version="2")
    changed = table([0], [0], model_version="3", split=split)
    comparison = compare(changed, new) if role == "old" else compare(old, changed)
    decision = decide(policy({"metric": "nfr", "max": 1.0}), comparison)
    assert decision.verdict is Verdict.ERROR
    assert {"old": "baseline", "new": "candidate"}[role] in decision.sentence


def test_sentences_tell_numbers_apart_that_look_alike(comparison):
    sentence = decide(policy({"metric": "nfr", "max": UPPER - 1e-7}), comparison).checks[0].sentence
    shown = [word.rstrip(",:") for word in sentence.split() if "%" in word and word != "95%"]
    assert len(set(shown[1:])) == 2


def test_decision_names_its_policy(comparison):
    strict, lax = policy(RULE, confidence=0.99), policy(RULE)
    assert decide(strict, comparison).policy_digest == strict.digest != lax.digest
    assert decide(strict, comparison).confidence == 0.99
