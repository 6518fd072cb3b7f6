"""What-if: the sliders decide as the gate does, the address keeps them, and the file shown is a policy."""

from __future__ import annotations

import pytest

from pct_mlops.comparison import compare
from pct_mlops.config import Policy, Rule
from pct_mlops.explorer.components.limit_slider import dial
from pct_mlops.gate import Verdict, decide, limit_name, with_limits
from pct_mlops.predictions import Predictions

RULES = """
confidence: 0.9
rules:
  - {metric: nfr, max: 0.01}
  - {metric: accuracy_change, min: -0.5}
  - {metric: class_nfr, max: 0.9, min_support: 20}
"""


@pytest.fixture(scope="module")
def policy(folder):
    (folder / "rules.yaml").write_text(RULES)
    return folder / "rules.yaml"


@pytest.fixture(scope="module")
def comparison(folder):
    return compare(*(Predictions.load(folder / f"{which}.parquet") for which in ("old", "new")))


def text_of(app):
    return " ".join(item.value.replace("\\", "") for item in [*app.markdown, *app.caption])


def banner(app):
    return (app.success or app.error or app.warning)[0].value


def test_without_a_move_it_says_what_the_gate_says(explore, files, policy, comparison):
    decision = decide(Policy.read(policy), comparison)

    app = explore(*files, "--policy", policy, view="gate")

    assert not app.exception
    assert str(decision.verdict) in banner(app)
    assert "own limits: move a slider" in text_of(app)
    assert "What if" not in text_of(app)
    nfr = decision.checks[0]
    assert f"upper bound {100 * (nfr.upper - 0.01):.2f} points outside" in text_of(app)
    assert app.button(key="reset").disabled
    assert "limit1" not in app.query_params


def test_a_moved_limit_decides_and_stands_in_the_address_and_in_the_file(explore, files, policy, comparison, tmp_path):
    expected = with_limits(Policy.read(policy), {0: 0.25}, 0.99)

    app = explore(*files, "--policy", policy, view="gate", confidence="0.99")
    app.slider(key="limit1").set_value(25.0).run()

    assert app.query_params["limit1"] == "25"
    assert app.query_params["confidence"] == "0.99"
    assert decide(expected, comparison).verdict is Verdict.PASS
    assert "What if: with your limits it would pass." in text_of(app)
    assert not app.success, "green is for the verdict under the policy, which stays on top"
    assert "FAIL" in banner(app)
    assert "Judged now under rules.yaml" in banner(app).replace("\\", "")
    assert ":gray-badge[would pass]" in text_of(app)
    pasted = tmp_path / "policy.yaml"
    pasted.write_text(app.get("code")[0].value)
    assert Policy.read(pasted).digest == expected.digest

    app.button(key="reset").click().run()
    assert not {"limit1", "confidence"} & set(app.query_params)
    assert "FAIL" in banner(app)


def test_without_a_policy_there_is_something_to_begin_with(explore, files):
    app = explore(*files, view="gate")

    assert not app.exception
    assert "No policy was given" in app.info[0].value
    assert "What if: with your limits it" in text_of(app)
    assert not [*app.success, *app.error, *app.warning], "an example policy gives no verdict"
    assert "-badge[✓" not in text_of(app)
    assert len(app.slider) == 3


def test_an_address_out_of_range_gives_notices_and_the_policys_own(explore, files, policy):
    query = {"limit1": "x", "limit2": "1e9", "limit3": "nan", "confidence": "0.1"}

    app = explore(*files, "--policy", policy, view="gate", **query)

    assert not app.exception
    assert ["which is not here" in notice.value for notice in app.warning] == [True] * 4
    assert not set(query) & set(app.query_params)


def test_what_cannot_be_judged_is_said_and_a_broken_policy_is_one_sentence(explore, files, folder, make_table, truth):
    split = folder / "val.parquet"
    make_table(truth.ids, truth.labels, truth.new, 3, split="val").save(split)
    app = explore(files[0], split, view="gate")
    assert not app.exception
    assert "ERROR" in app.error[0].value

    (folder / "broken.yaml").write_text("rules: [{metrik: nfr}]")
    app = explore(*files, "--policy", folder / "broken.yaml", view="gate")
    assert not app.exception
    assert "metrik" in app.error[0].value


@pytest.mark.parametrize(
    ("rule", "suffix"),
    [
        ({"metric": "nfr", "max": 0.0123}, "%"),
        ({"metric": "accuracy_new", "min": 0.93}, "%"),
        ({"metric": "accuracy_change", "min": -0.002}, " points"),
        ({"metric": "relative_nfr", "max": 0.4, "bound": "point"}, ""),
    ],
)
def test_a_slider_holds_the_policys_limit_exactly_and_what_was_observed(comparison, rule, suffix):
    rule = Rule.model_validate(rule)
    (check,) = decide(Policy(rules=(rule,)), comparison).checks
    own = rule.max if rule.max is not None else rule.min

    found = dial("limit1", rule, check)

    assert found.suffix == suffix
    assert found.limit(found.shown(own)) == own
    low, high = found.span
    assert all(low <= value <= high for value in (own, check.value, check.lower, check.upper) if value is not None)
    assert 100 <= (high - low) * found.scale / found.step <= 1000


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "nfr", "max_times_floor": 0.0005},
        {"metric": "nfr", "max_times_floor": 1e300},
        {"metric": "nfr", "max": 0.0},
        {"metric": "accuracy_change", "min": -0.9},
        {"metric": "accuracy_new", "min": 1.0},
        {"metric": "fractional_nfr", "max": 0.9, "bound": "point"},
        {"metric": "nll_new", "max": 1e308, "bound": "point"},
    ],
)
def test_whatever_limit_a_policy_has_the_slider_holds_it_and_ends_where_a_limit_may_be(comparison, rule):
    rule = Rule.model_validate(rule)
    name = limit_name(rule)
    (check,) = decide(Policy(rules=(rule,)), comparison).checks

    found = dial("limit1", rule, check)

    low, high = (found.shown(end) for end in found.span)
    assert low < high
    assert max(abs(low), abs(high)) < 2**53, "a browser counts no further"
    assert low <= found.shown(getattr(rule, name)) <= high
    assert found.limit(found.shown(getattr(rule, name))) == getattr(rule, name)
    for end in (low, high):
        Rule.model_validate({**rule.model_dump(exclude_none=True), name: found.limit(end)})


def test_files_that_a_policy_names_the_floor_and_pinned_examples_count(
    explore, files, folder, truth, comparison, marks_of
):
    flipped = truth.ids[int(((truth.old == truth.labels) & (truth.new != truth.labels)).argmax())]
    (folder / "pinned.csv").write_text(f"sample_id\n{flipped}\n")
    rows = [f"{sample},{'night' if i % 3 else 'day'}" for i, sample in enumerate(truth.ids)]
    (folder / "hours.csv").write_text("\n".join(["sample_id,hour", *rows]))
    (folder / "full.yaml").write_text(
        "pinned: {file: pinned.csv}\nslices: {file: hours.csv}\nrules:\n"
        "  - {metric: nfr, max: 0.9, slice: {column: hour}}\n  - {metric: nfr, max_times_floor: 2}\n"
    )
    app = explore(*files, "--policy", folder / "full.yaml", view="gate")

    assert not app.exception
    assert "ERROR" in banner(app)  # no floor was measured of two files
    assert "nfr of each hour" in app.slider(key="limit1").label.replace("\\", "")
    assert any(flipped in html.proto.body for html in app.get("html"))

    app = explore(*files, "--policy", folder / "full.yaml", view="slices", by="hour")
    assert not app.exception
    assert any(mark.query.get("value") == "night" for mark in marks_of(app))


def test_a_file_of_slices_that_does_not_fit_takes_nothing_else_away(explore, files, folder):
    (folder / "other.csv").write_text("sample_id,hour\nnobody,day\n")
    (folder / "other.yaml").write_text("slices: {file: other.csv}\nrules: [{metric: nfr, max: 0.9}]\n")

    app = explore(*files, "--policy", folder / "other.yaml", view="slices")
    assert not app.exception
    assert "holds none of the 400 examples" in app.error[0].value
    assert not explore(*files, "--policy", folder / "other.yaml", view="classes").error


def test_many_rules_fold_and_all_have_a_slider(explore, files, folder):
    rules = "\n".join(f"  - {{metric: nfr, max: 0.{i}}}" for i in range(11, 25))
    (folder / "many.yaml").write_text(f"rules:\n{rules}\n")

    app = explore(*files, "--policy", folder / "many.yaml", view="gate")

    assert not app.exception
    assert len(app.slider) == 14
    assert app.expander[0].label == "2 more rules"
