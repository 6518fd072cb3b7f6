"""What retraining alone flips, on the tiny store: pairs by hand, where it is kept, and what the gate says."""

from __future__ import annotations

import json
import statistics

import pytest
import torch
from tiny_store import NAME

from pct_mlops.comparison import compare, flip_noise
from pct_mlops.config import Recipe
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.flip_risk import FlipRisk
from pct_mlops.predictions.member_counts import count_correct
from pct_mlops.registry import Floor, read_floor, run_file
from pct_mlops.workflows.studies import trials
from pct_mlops.workflows.studies.floor import production_then

QUICK = ("--set", "optim.epochs=1 data.train_fraction=0.2")


def one_line(capsys):
    return " ".join(capsys.readouterr().out.split())


def tables_of(store):
    """Seed -> predictions on test of each retraining."""
    client = store.registry.client
    experiment = client.get_experiment_by_name(NAME).experiment_id
    runs = client.search_runs([experiment], "tags.`pct.member` != ''")
    paths = {
        int(r.data.tags["pct.seed"]): run_file(store.registry, r.info.run_id, "predictions/test.parquet") for r in runs
    }
    return {seed: Predictions.load(paths[seed]) for seed in sorted(paths)}


def test_the_floor_is_measured_kept_and_shown(store, capsys, monkeypatch):
    torch.set_num_threads(1)
    assert store.pct("floor", "--seeds", "3", *QUICK) == 0
    text = one_line(capsys)
    tables, old = tables_of(store), Predictions.load(store.registry.predictions(store.registry.resolve("digits/1")))
    assert list(tables) == [1001, 1002, 1003]
    pairs = {(one, two): tables[two].nfr(tables[one]) for one in tables for two in tables if one != two}
    values = list(pairs.values())

    floor = read_floor(store.registry, NAME, old.info.digest)
    assert (floor.num_seeds, floor.version) == (3, 1)
    assert sorted(floor.values) == pytest.approx(sorted(values))
    assert floor.mean == pytest.approx(statistics.fmean(values))
    assert floor.std == pytest.approx(statistics.stdev(values))
    assert floor.max == pytest.approx(max(values))
    assert read_floor(store.registry, NAME, "0" * 64) is None, "another evaluation set"
    report = json.loads(run_file(store.registry, floor.run_id, "floor/floor.json").read_text())
    assert {(pair["old"], pair["new"]): pair["nfr"] for pair in report["pairs"]} == pytest.approx(pairs)
    assert {part["seed"]: part["nfr"] for part in report["against_baseline"]} == pytest.approx(
        {seed: table.nfr(old) for seed, table in tables.items()}
    )
    assert f"retraining alone flips {floor.mean:.2%} (3 seeds of another recipe than version 1's)" in text
    assert f"at most {floor.max:.2%}" in text

    assert store.pct("gate", "digits/2", "--policy", store.policy("lenient"), "--json", "report.json") == 0
    assert floor.sentence in one_line(capsys)
    context = json.loads((store.folder / "report.json").read_text())["context"]
    assert context["floor"] == {
        "mean": floor.mean,
        "std": floor.std,
        "max": floor.max,
        "num_seeds": 3,
        "version": 1,
        "sentence": floor.sentence,
    }

    check_single_examples(store, capsys, list(tables.values()), old, floor)

    monkeypatch.setattr(trials, "train_once", None)  # whoever trains now fails
    assert store.pct("floor", "digits@production", "--seeds", "2", *QUICK) == 0
    assert one_line(capsys).count("complete before") == 2
    assert read_floor(store.registry, NAME, old.info.digest).num_seeds == 2


def check_single_examples(store, capsys, members, old, floor):
    """What the floor knows of each example reaches compare, gate and risk. A floor without it says what to do."""
    new = Predictions.load(store.registry.predictions(store.registry.resolve("digits/2")))
    noise = flip_noise(compare(old, new), count_correct(old, members))
    assert noise.num_members == 3
    assert store.pct("compare", "digits/1", "digits/2", "--json", "metrics.json") == 0
    assert f"{noise.sentence} The retrainings have another recipe than version 1." in one_line(capsys)
    assert json.loads((store.folder / "metrics.json").read_text())["context"] == {"flip_noise": noise.to_json()}
    gate = ("gate", "digits/2", "--policy", store.policy("lenient"), "--json", "report.json", "--markdown", "report.md")
    assert store.pct(*gate) == 0
    assert noise.sentence in one_line(capsys)
    assert json.loads((store.folder / "report.json").read_text())["context"]["flip_noise"] == noise.to_json()
    assert f"Of {noise.num_flips:,} negative flips" in (store.folder / "report.md").read_text()

    risk = FlipRisk(old, count_correct(old, members))
    assert store.pct("risk", "digits@production", "--output", "risk.parquet") == 0
    text = one_line(capsys)
    assert f"Expected NFR of one more retraining: {risk.expected_nfr:.2%}." in text
    assert f"The floor between the 3 retrainings is {floor.mean:.2%}." in text

    kept = run_file(store.registry, floor.run_id, "floor/members.parquet")
    kept.rename(kept.with_name("gone"))
    for words in (("compare", "digits/1", "digits/2"), gate, ("risk", "digits/1")):
        assert store.pct(*words) == 0
        assert "The floor of digits/1 has no counts for each example: run 'pct floor' again." in one_line(capsys)
    kept.with_name("gone").rename(kept)
    for words in (("compare", "digits/2", "digits/1"), ("compare", kept_copy(store, old), "digits/2")):
        assert store.pct(*words) == 0
        assert "noise" not in one_line(capsys), "no floor of this old model"


def kept_copy(store, table):
    table.save(store.folder / "copy.parquet")
    return store.folder / "copy.parquet"


def test_what_was_distilled_is_retrained_against_its_own_teacher(store, monkeypatch):
    from pct_mlops.workflows.studies.floor import measure_floor

    store.registry.client.set_registered_model_alias(NAME, "production", "2")
    seen = []

    def stop(members, *rest):
        seen.extend(members)
        raise KeyboardInterrupt

    monkeypatch.setattr("pct_mlops.workflows.studies.floor.first_inputs", stop)
    before = store.state()
    with pytest.raises(KeyboardInterrupt):
        measure_floor(None, seeds=2, tracking_uri=store.uri)
    assert {member.recipe.teacher.ref for member in seen} == {"models:/digits/1"}
    assert {member.recipe.objective.loss for member in seen} == {"ldi"}
    assert store.state() == before


def test_a_floor_that_cannot_be_read_stops_no_decision(store):
    store.registry.client.set_registered_model_tag(NAME, "pct.floor", '{"digest": ')
    assert read_floor(store.registry, NAME, "0" * 64) is None
    assert store.pct("gate", "digits/2", "--policy", store.policy("lenient")) == 0


def test_the_recipe_of_production_is_known_by_all_but_its_seeds(store):
    from pct_mlops.config import Recipe
    from pct_mlops.workflows.studies.floor import _is_recipe_of
    from pct_mlops.workflows.studies.old_model import Old

    old = Old("models:/digits/1", 1, "", 0, 0.0, None)
    for overrides, same in (([], True), (["seed.model=9", "seed.sampler=8"], True), (["seed.data=1"], False)):
        assert _is_recipe_of(store.registry, old, Recipe.read(store.recipe, overrides)) is same


def test_the_sentence():
    floor = Floor("d", 5, 0.018, 0.001, 0.02, (0.018,), "r", True, 3, "now", "run")
    assert floor.sentence == "retraining alone flips 1.80% (5 seeds)"


@pytest.mark.parametrize(
    ("loss", "teacher", "trained_with", "then"),
    [
        ("kl", {}, "models:/digits/2", "models:/digits/2"),
        ("kl", {"refs": [{"ref": "digits/1"}, {"ref": "production"}]}, "models:/digits/1 + models:/digits/2", 2),
        ("kl", {"ref": "digits/1"}, "models:/digits/1", ""),
        ("mixture", {}, "models:/digits/3 + member:1", "models:/digits/3"),
        ("elodi", {}, "member:1 + member:2", ""),
        ("kl", {}, "", ""),
    ],
)
def test_production_of_then_is_the_teacher_that_the_recipe_calls_so(loss, teacher, trained_with, then):
    recipe = Recipe.model_validate({"model_name": NAME, "objective": {"loss": loss}, "teacher": teacher})
    expected = "models:/digits/2" if then == 2 else then
    assert production_then(recipe, {"pct.teacher": trained_with}) == expected


@pytest.mark.parametrize(("init", "then"), [("production", "models:/digits/2"), ("digits/1", ""), (None, "")])
def test_production_of_then_is_the_start_that_the_recipe_calls_so(init, then):
    recipe = Recipe.model_validate({"model_name": NAME, "objective": {"loss": "none"}, "model": {"init": init}})
    assert production_then(recipe, {"pct.init": "models:/digits/2"}) == then
