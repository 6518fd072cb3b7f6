"""A baseline that is not what the gate would compare with, and what a mark does under the policy in force."""

from __future__ import annotations

import pytest

from pct_mlops.config import Policy
from pct_mlops.explorer.components import review_form
from pct_mlops.explorer.queries import baselines, pairs
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.gate import Mark
from pct_mlops.registry import Registry, reviews


def test_where_the_baseline_is_another_one_the_page_says_so_and_an_acceptance_is_refused(explore, desk, model):
    app = explore("--tracking-uri", desk.uri, "--policy", desk.policy, view="review", model=model)
    assert any("Version 1 of" in line.value and "is production now" in line.value for line in app.caption)
    app.text_input(key="reviewer_field").set_value("Ada")
    app.text_input(key="decision_note").set_value("fine")
    # Production moves after the page was drawn: the caches still know the old one.
    desk.add(model, desk.tables[0], "production")
    app.button(key="decide_accept").click().run()

    registry = Registry(desk.uri)
    assert reviews(registry, registry.get(model, 2)) == ()
    refused = next(box.value for box in app.error if "not written" in box.value).replace("\\", "")
    assert refused == (
        f"The acceptance was not written: version 3 of {model} is production now: "
        "this page compares with version 1, not with the baseline of the gate."
    )
    for view in ("review", "overview", "gate"):
        app.switch_page(f"views/{view}.py").run()
        assert [f"Version 3 of {model} is production now" in box.value for box in app.warning][-1], view
        assert not app.success, view
        assert any("PASS: this says nothing about the version" in box.value for box in app.info), view


def test_the_baseline_is_the_alias_that_the_policy_names(desk, model, folder):
    (folder / "champion.yaml").write_text("baseline: champion\nrules: [{metric: nfr, max: 0.5}]\n")
    pair = Pair(VersionTable(desk.uri, model, 1), VersionTable(desk.uri, model, 2), "", "")
    pairs.forget_tables()
    alias = baselines.alias_of(str(folder / "champion.yaml"))

    assert "is champion: the gate has no baseline yet" in baselines.standing(pair, alias).sentence
    desk.client.set_registered_model_alias(model, alias, "2")
    found = baselines.fresh_standing(pair, alias)
    assert (found.is_stale, found.baseline) == (True, 2)
    assert "The new version, 2, is champion" in found.sentence


@pytest.mark.parametrize(
    ("mark", "apart", "effect"),
    [
        (Mark.LABEL_ERROR, ("label_error",), "is left out of the flip rates"),
        (Mark.LABEL_ERROR, (), "counts against the version as before"),
        (Mark.ACCEPTED_LOSS, ("label_error",), "counts against the version as before"),
        (Mark.BLOCKER, ("label_error",), "fails the version"),
        (Mark.LABEL_ERROR, None, "policy of the gate decides"),
    ],
)
def test_a_mark_says_what_it_does_under_this_policy(mark, apart, effect):
    rules = [{"metric": "nfr", "max": 0.5}]
    given = None if apart is None else Policy.model_validate({"rules": rules, "reviews": {"count_apart": apart}})

    assert effect in review_form.mark_effect(mark, given)
