"""Tables and the weights that made them: what is said, what is refused, and what a policy may demand."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

from pct_mlops import Policy, Predictions, Rule, compare, decide
from pct_mlops.gate import Tie, Ties, Verdict, tie_of
from pct_mlops.gate.explain import explain
from pct_mlops.reports import report_schema, to_json, to_junit, to_markdown

RULE = Rule(metric="nfr", max=0.9, bound="point")
TIED, RECOMPUTED = Policy(rules=(RULE,), evidence={"tied": True}), Policy(rules=(RULE,), evidence="recomputed")
PLAIN = Policy(rules=(RULE,))


def table(name):
    random = np.random.default_rng(len(name))
    ids = [str(number) for number in range(40)]
    labels = np.arange(40) % 3
    about = {"class_names": ["a", "b", "c"], "split": "test", "model_name": "pets", "model_version": name}
    return Predictions.from_arrays(ids, labels, random.normal(size=(40, 3)), **about)


@pytest.fixture(scope="module")
def comparison():
    return compare(table("1"), table("22"))


@pytest.mark.parametrize(
    ("made_by", "version", "tie"),
    [("", "", Tie.NOT_TIED), ("a", "", Tie.NOT_TIED), ("", "a", Tie.NOT_TIED), ("a", "a", Tie.TIED)],
)
def test_a_tie_needs_both_to_say_the_same(made_by, version, tie):
    assert tie_of(made_by, version) is tie
    assert tie_of("a", "b") is Tie.OTHER_WEIGHTS


@pytest.mark.parametrize("ties", [Ties(Tie.OTHER_WEIGHTS, Tie.TIED), Ties(Tie.TIED, Tie.OTHER_WEIGHTS)])
@pytest.mark.parametrize("policy", [PLAIN, TIED, RECOMPUTED])
def test_other_weights_are_an_error_under_every_policy(comparison, ties, policy):
    decision = decide(policy, comparison, ties=ties)
    assert decision.verdict is Verdict.ERROR
    assert decision.error_code == "table"
    title = "pets/22" if ties.candidate is Tie.OTHER_WEIGHTS else "pets/1"
    assert f"The table of {title} was made by other weights" in decision.sentence


@pytest.mark.parametrize(
    ("candidate", "baseline", "tied", "recomputed"),
    [
        (Tie.TIED, Tie.TIED, True, False),
        (Tie.RECOMPUTED, Tie.RECOMPUTED, True, True),
        (Tie.NOT_TIED, Tie.TIED, False, False),
        (Tie.TIED, Tie.NOT_TIED, False, False),
        (Tie.TIED, Tie.RECOMPUTED, True, False),
    ],
)
def test_a_policy_may_demand_more(comparison, candidate, baseline, tied, recomputed):
    ties = Ties(candidate, baseline)
    assert decide(PLAIN, comparison, ties=ties).verdict is Verdict.PASS
    for policy, enough in ((TIED, tied), (RECOMPUTED, recomputed)):
        decision = decide(policy, comparison, ties=ties)
        assert (decision.verdict is Verdict.PASS) is enough
        if not enough:
            assert decision.verdict is Verdict.ERROR
            title = "pets/22" if candidate is Tie.NOT_TIED else "pets/1"
            advice = "add --recompute" if policy is RECOMPUTED else f"make it with 'pct score {title}'"
            assert decision.sentence.endswith(f"{advice}.")


def test_files_and_unknown_ties_never_satisfy_a_demand(comparison):
    assert decide(PLAIN, comparison).verdict is Verdict.PASS
    for policy in (TIED, RECOMPUTED):
        decision = decide(policy, comparison)
        assert decision.verdict is Verdict.ERROR
        assert "judge registered versions" in decision.sentence


def test_a_first_version_is_held_to_it_too():
    first = table("1").info
    for tie, verdict in ((Tie.TIED, Verdict.BOOTSTRAP), (Tie.NOT_TIED, Verdict.ERROR)):
        decision = decide(TIED, None, baseline_exists=False, candidate=first, ties=Ties(tie))
        assert decision.verdict is verdict
    assert decide(PLAIN, None, baseline_exists=False, candidate=first, ties=Ties(Tie.NOT_TIED)).notes == (
        "Evidence: the candidate's table is not tied to its model's weights.",
    )


def test_every_report_says_it(comparison):
    decision = decide(PLAIN, comparison, ties=Ties(Tie.TIED, Tie.NOT_TIED))
    note = (
        "Evidence: the candidate's table is tied to its model's weights and the baseline's table is not tied to its "
        "model's weights."
    )
    assert decision.notes[-1] == note
    report = json.loads(json.dumps(to_json(decision, comparison)))
    assert report["evidence"] == {"candidate": "tied", "baseline": "not tied"}
    jsonschema.validate(report, report_schema())
    assert "not tied to its model's weights" in to_markdown(decision, comparison)
    suite = ElementTree.fromstring(to_junit(decision, datetime.now(timezone.utc)))
    found = {item.get("name"): item.get("value") for item in suite.iter("property")}
    assert (found["evidence.candidate"], found["evidence.baseline"]) == ("tied", "not tied")
    both = decide(PLAIN, comparison, ties=Ties(Tie.TIED, Tie.TIED))
    assert both.notes[-1] == "Evidence: both tables are tied to their models' weights."
    alone = to_json(decide(PLAIN, comparison), comparison)
    assert alone["evidence"] is None
    jsonschema.validate(json.loads(json.dumps(alone)), report_schema())


def test_a_policy_says_what_it_demands():
    assert any("the gate scores both models itself (--recompute)" in line for line in explain(RECOMPUTED))
    assert any("attached tables do not count" in line for line in explain(TIED))
    assert not any("Evidence" in line for line in explain(PLAIN))
    assert len({policy.digest for policy in (PLAIN, TIED, RECOMPUTED)}) == 3
