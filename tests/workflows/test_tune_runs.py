"""A tuning on the tiny store: val only, an untreated update beside it, a chosen recipe that trains."""

from __future__ import annotations

import csv

import pytest
import torch
from tiny_store import NAME, heard

from pct_mlops.config import PctError, Recipe
from pct_mlops.workflows.studies.grid import read_wish
from pct_mlops.workflows.studies.tune import tune

QUICK = ["optim.epochs=1", "data.train_fraction=0.2", "objective.loss=update"]


def start(store, *grids, wish=("100", None), overrides=QUICK, **options):
    torch.set_num_threads(1)
    options = {"tracking_uri": store.uri, "show": lambda table: None, **options}
    with heard() as said:
        return tune(store.recipe, grids, overrides=overrides, wish=read_wish(*wish), **options), said


def test_a_tuning_and_its_second_start(store, tmp_path):
    before = store.state()
    out = tmp_path / "out"
    found, said = start(store, "objective.mix=0.1,0.9", output=out)
    assert [row.method for row in found.rows] == [
        *("none, cold start", "none, cold start, 1.5 x epochs", "update, mix 0.1", "update, mix 0.9")
    ]
    assert store.registry.versions(NAME)[0].version == 2, "nothing is registered"
    assert store.state()[:2] == before[:2], "no alias and no tag of the model"
    assert not any("test" in line for line in said), "test stays unread"
    with (out / "trainings.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = min(rows[2:], key=lambda row: float(row["nfr"]))
    assert found.chosen == best["method"]
    assert found.chosen in found.sentence
    chosen = Recipe.read(out / "chosen.yaml")
    assert chosen.objective.mix == float(best["method"].rpartition(" ")[2])
    assert chosen.objective.loss == "update"
    assert (out / "pareto.html").stat().st_size > 1000
    again, said = start(store, "objective.mix=0.1,0.9")
    assert (again.rows, again.chosen) == (found.rows, found.chosen)
    assert len([line for line in said if "complete before" in line]) == 4
    assert store.pct("train", str(out / "chosen.yaml")) == 0


def test_a_wish_that_no_setting_meets_is_said(store, tmp_path):
    (tmp_path / "chosen.yaml").write_text("model_name: of an earlier tuning")
    found, _ = start(store, "objective.mix=0.1", wish=(None, "0%"), output=tmp_path)
    assert (found.chosen, found.recipe) == (None, "")
    assert found.sentence.startswith("No setting of these gives the best accuracy at an NFR of at most 0%: try others")
    assert not (tmp_path / "chosen.yaml").exists()
    words = [word for pair in QUICK for word in ("--set", pair)]
    assert store.pct("tune", store.recipe, *words, "--try", "objective.mix=0.1", "--nfr-target", "0%") == 1


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ("objective.mixx=0.1", "did you mean mix"),
        ("objective.mix=2", "less than or equal to 1"),
        ("seed.model=1,2", "changes what is measured"),
        ("data.val_fraction=0.1,0.2", "changes what is measured"),
        ("model.name=small_resnet9", "Unknown architecture"),
        ("optim.gradient_accumulation=1,7", "do not divide into"),
    ],
)
def test_settings_that_cannot_be_are_said_before_a_run_starts(shared_store, grid, says):
    before = shared_store.state()
    with pytest.raises(PctError, match=says):
        start(shared_store, grid)
    assert shared_store.state() == before


def test_another_val_than_productions_is_said_before_a_run_starts(shared_store):
    before = shared_store.state()
    with pytest.raises(PctError, match="val examples are not those that models:/digits/1 was scored on"):
        start(shared_store, "objective.mix=0.1", overrides=[*QUICK, "data.val_fraction=0.3"])
    assert shared_store.state() == before


def test_a_target_of_the_recipe_is_not_one_of_the_untreated_update(store):
    found, _ = start(store, "objective.mix=0.1", overrides=[*QUICK, "objective.nfr_target=0.9"])
    assert [row.num_failed for row in found.rows] == [0, 0, 0]


def test_a_tuning_starts_from_production_also_against_another_version(store, monkeypatch):
    """As 'pct train chosen.yaml' does. teacher.ref says only what flips are counted against."""
    from pct_mlops.workflows.studies import trials

    recipes = []

    def record(recipe, session, *, run=None):
        recipes.append(recipe)
        raise PctError("Stop here.")

    monkeypatch.setattr(trials, "train_once", record)
    with pytest.raises(PctError, match="Stop here"):
        start(store, "objective.mix=0.1", overrides=[*QUICK, "teacher.ref=digits/2"])
    assert [(one.model.init, one.teacher.ref) for one in recipes if one.objective.loss == "update"] == [
        ("models:/digits/1", "digits/2")
    ]
