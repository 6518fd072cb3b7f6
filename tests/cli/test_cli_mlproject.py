"""MLproject's commands are lines that `pct` understands, whatever their parameters hold."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest
from mlflow.projects.utils import load_project

from pct_mlops.cli.main import pct

ROOT = Path(__file__).resolve().parents[2]
PROJECT = load_project(str(ROOT))
VERBS = {"main": "train", "promote": "gate", "try-policy": "policy"}
GIVEN = {
    "model": "digits/1",
    "old": "digits/1",
    "like": "digits/1",
    "new": "digits/2",
    "candidate": "digits@candidate",
    "name": "digits",
    "reason": "night images regressed",
    "output": "mean.parquet",
    "file": "predictions.csv",
    "recipe": "projects/fashion_mnist/recipe.yaml",
}


def parsed(entry_point, **parameters):
    """The verb and its parameters as click reads them; nothing is run."""
    entry = PROJECT.get_entry_point(entry_point)
    required = {key: GIVEN[key] for key, item in entry.parameters.items() if item.default is None}
    words = shlex.split(entry.compute_command({**required, **parameters}, None))
    assert words[:3] == ["python", "-m", "pct_mlops"]
    assert not entry.compute_command({**required, **parameters}, None).count("\n"), "one line"
    with click.Context(pct, info_name="pct") as parent:
        command = pct.get_command(parent, words[3])
        assert command is not None, f"{entry_point} names no verb of pct"
        with command.make_context(words[3], words[4:], parent=parent) as context:
            return words[3], context.params


@pytest.mark.parametrize("entry_point", sorted(PROJECT._entry_points))
def test_defaults_parse(entry_point):
    verb, params = parsed(entry_point)
    assert verb == VERBS.get(entry_point, entry_point)
    entry = PROJECT.get_entry_point(entry_point)
    assert "" not in [params.get(key) for key in entry.parameters], "what was not given is None, not an empty text"


def test_every_verb_has_an_entry_point():
    assert {VERBS.get(name, name) for name in PROJECT._entry_points} == set(pct.commands)


def test_the_default_recipe_and_policy_are_there():
    assert (ROOT / parsed("main")[1]["recipe"]).is_file()
    assert (ROOT / parsed("gate")[1]["policy"]).is_file()


def test_parameters_arrive():
    _, params = parsed("main", loss="cna", arch="resnet18", epochs="3", model_name="a b", num_processes="2")
    values = {key: params[key] for key in ("loss", "arch", "epochs", "model_name", "num_processes")}
    assert values == {"loss": "cna", "arch": "resnet18", "epochs": "3", "model_name": "a b", "num_processes": "2"}


def test_set_holds_a_whole_part_of_a_recipe():
    text = "objective.distance={name: ldi, top_k: 3} seed.model=3 teacher.refs=[{ref: shoes/1}, {ref: shoes/2}]"
    _, params = parsed("main", set=text)
    parts = [
        "objective.distance={name: ldi, top_k: 3}",
        "seed.model=3",
        "teacher.refs=[{ref: shoes/1}, {ref: shoes/2}]",
    ]
    assert params["overrides"] == parts


def test_set_holds_several_words_and_hostile_ones_stay_words():
    _, params = parsed("main", set="optim.lr=0.05 seed.model=3 'data.root=/a b'")
    assert params["overrides"] == ["optim.lr=0.05", "seed.model=3", "data.root=/a b"]
    _, params = parsed("main", loss="none; touch /tmp/x", model_name="$(id)")
    assert (params["loss"], params["model_name"]) == ("none; touch /tmp/x", "$(id)")


def test_promote_promotes_and_gate_does_not():
    assert parsed("promote")[1]["promote"] is True
    assert parsed("gate")[1]["promote"] is False


def test_every_environment_manager_reads_the_same_lock():
    text = (ROOT / "conda.yaml").read_text()
    assert "-r requirements.lock" in text
    assert Path(PROJECT.env_config_path).name == "conda.yaml"
