"""What `--resume` says: where it goes on, what differs from the nearest checkpoint, and what it refuses."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from tiny_store import RECIPE, heard

from pct_mlops.config import PctError, Recipe
from pct_mlops.config.base import apply_overrides
from pct_mlops.engine import Checkpoints
from pct_mlops.errors import DataError
from pct_mlops.workflows.training.job import Training
from pct_mlops.workflows.training.resuming import _settings, fingerprint_of, say_resume

PLAIN = ("optim.epochs=3",)


def recipe_of(*overrides):
    return Recipe.model_validate(apply_overrides(RECIPE, [*PLAIN, *overrides]))


def content_of(recipe, **more):
    return {"recipe": _settings(recipe), "models": ["", ""], "examples": ["a", "b"], **more}


def checkpoints_of(place, recipe, **more):
    content = content_of(recipe, **more)
    fingerprint = fingerprint_of(content)
    return Checkpoints(place / fingerprint[:12], fingerprint, made_from=content)


def left(place, *overrides, epoch=2, step=0, pickled=False, **more):
    """A folder as a training leaves it that was stopped there; without its tensors."""
    recipe = recipe_of(*overrides)
    checkpoints = checkpoints_of(place, recipe, **more)
    folder = checkpoints.folder / f"epoch-{epoch:04d}-step-{step:06d}"
    folder.mkdir(parents=True)
    record = {"fingerprint": checkpoints.fingerprint, "num_processes": 1, "epoch": epoch, "step": step}
    if pickled:
        (folder / "random_states_0.pkl").write_bytes(b"")
    else:
        record |= {"format": 2, "made_from": dict(checkpoints.made_from)}
    (folder / "state.json").write_text(json.dumps(record))
    recipe.write(checkpoints.folder / "recipe.yaml")
    return folder


def said(place, *overrides, asked=True, **more):
    recipe = recipe_of(*overrides)
    with heard() as lines:
        say_resume(checkpoints_of(place, recipe, **more), recipe, asked=asked)
    return " ".join(lines)


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    ("at", "says"),
    [({"epoch": 2}, "after epoch 2 of 3 from"), ({"epoch": 1, "step": 5}, "in epoch 2 of 3, after step 5, from")],
)
def test_it_says_where_it_goes_on(tmp_path, asked, at, says):
    folder = left(tmp_path, **at)
    assert said(tmp_path, asked=asked) == f"Resumes {says} {folder}."


def test_nothing_there_is_said_only_to_those_who_asked(tmp_path):
    assert said(tmp_path, asked=False) == ""
    text = said(tmp_path)
    assert text.startswith(f"--resume found no checkpoint of this recipe in {tmp_path}")
    assert text.endswith(": starts at epoch 1.")
    assert said(tmp_path, "optim.start_epoch=1").endswith(": starts at epoch 2.")


def test_folders_beside_one_that_the_user_named_are_nobody_s_business(tmp_path):
    left(tmp_path, "optim.lr=0.2")
    left(tmp_path, pickled=True)
    recipe = recipe_of("optim.lr=0.3")
    with heard() as lines:
        say_resume(checkpoints_of(tmp_path, recipe), recipe, asked=True, beside=False)
    own = checkpoints_of(tmp_path, recipe).folder
    assert lines == [f"--resume found no checkpoint of this recipe in {own}: starts at epoch 1."]


@pytest.mark.parametrize("made_from", [[1], "abc", {"recipe": {"optim": [1]}}, {"recipe": {"optim": {"epochs": "x"}}}])
def test_a_neighbour_s_record_of_any_type_stops_nothing(tmp_path, made_from):
    folder = left(tmp_path, "optim.lr=0.2")
    record = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**record, "made_from": made_from}))
    assert said(tmp_path).startswith("--resume found no checkpoint of this recipe")


@pytest.mark.parametrize("wrong", [{"made_from": [1]}, {"epoch": "2"}, {"step": None}, {"num_processes": 1.5}])
def test_an_own_record_of_another_type_is_damaged(tmp_path, wrong):
    folder = left(tmp_path)
    record = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**record, **wrong}))
    with pytest.raises(DataError, match=r"is damaged \(state.json: it holds values of another type"):
        said(tmp_path)


def test_the_nearest_checkpoint_is_named_with_what_differs_and_how_to_go_on(tmp_path):
    left(tmp_path, "optim.lr=0.3", "seed.model=4", "optim.weight_decay=0.5")
    near = left(tmp_path, "optim.lr=0.2")
    left(tmp_path, "objective.loss=ldi", "optim.lr=0.2")
    assert said(tmp_path) == (
        f"--resume found no checkpoint of this recipe in {tmp_path}: starts at epoch 1. "
        f"The nearest one differs in optim.lr 0.2 -> 0.1: {near}, after epoch 2 of 3. "
        f"Go on with it by 'pct train {near.parent / 'recipe.yaml'} --resume'."
    )
    assert said(tmp_path, asked=False) == ""


def test_a_nearest_one_that_cannot_be_gone_on_with_says_why(tmp_path):
    left(tmp_path, examples=["other", "b"])
    assert "The nearest one has the same recipe: " in said(tmp_path)
    why = "It cannot be gone on with: the examples, labels, weight tables or plug-ins are other ones now."
    assert said(tmp_path).endswith(why)
    assert "the old models or the start weights are other ones now" in said(tmp_path, models=["models:/a/2", "1"])


def test_a_nearest_one_that_is_complete_says_where_its_model_is(tmp_path):
    folder = left(tmp_path, "optim.epochs=2")
    assert f"differs in optim.epochs 2 -> 3: {folder}, after epoch 2 of 2. It is complete, and its model is" in said(
        tmp_path
    )


def test_many_differences_are_counted_and_hostile_ones_are_plain(tmp_path):
    folder = left(tmp_path, "optim.lr=0.2", "seed.model=4", "seed.data=3", "optim.weight_decay=0.5", "data.views=2")
    assert re.search(r"differs in (\S+ \S+ -> \S+, ){4}1 more: ", said(tmp_path))
    state = folder / "state.json"
    record = json.loads(state.read_text())
    record["made_from"]["recipe"] = {**_settings(recipe_of()), "model_name": "\x1b[31m" + "x" * 500}
    state.write_text(json.dumps(record))
    text = said(tmp_path)
    assert "\x1b" not in text
    assert "x" * 60 not in text
    for content in ([1], {"recipe": 3}, {}):
        state.write_text(json.dumps({**record, "made_from": content}))
        assert said(tmp_path).endswith("starts at epoch 1.")


def test_a_damaged_neighbour_is_passed_over(tmp_path):
    (left(tmp_path, "optim.lr=0.2") / "state.json").write_text("{")
    assert said(tmp_path).endswith("starts at epoch 1.")


def test_pickles_of_an_older_version_are_refused_where_they_are_of_this_recipe(tmp_path):
    left(tmp_path, "optim.lr=0.2", pickled=True)
    assert said(tmp_path).endswith("starts at epoch 1.")
    # Its name is another one, because the older version told recipes apart in another way.
    folder = left(tmp_path, pickled=True, examples=["as it was", "then"])
    with pytest.raises(PctError, match=rf"^The checkpoint {folder} was written by an older version, as pickles, "):
        said(tmp_path)
    assert said(tmp_path, asked=False) == ""


def test_another_recipe_in_the_same_folder_is_refused_with_what_differs(tmp_path):
    folder = left(tmp_path, "optim.lr=0.2", examples=["c", "d"])
    recipe = recipe_of()
    content = content_of(recipe)
    checkpoints = Checkpoints(folder.parent, fingerprint_of(content), made_from=content)
    says = (
        rf"^The checkpoint {folder} belongs to another recipe \(optim\.lr 0\.2 -> 0\.1 changed; the examples, labels, "
        r"weight tables or plug-ins are other ones now\): resume with the recipe that made it, or choose another engine"
    )
    with pytest.raises(PctError, match=says):
        say_resume(checkpoints, recipe, asked=True)


def test_the_command_line_says_it_and_its_advice_works(store, monkeypatch):
    """Killed after its first epoch; resumed with another recipe; then with the command that the sentence names."""
    whole = Training._report

    def stop(self, result):
        whole(self, result)
        raise PctError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_report", stop)
        assert store.pct("train", store.recipe) == 2
    with heard() as lines:
        assert store.pct("train", store.recipe, "--resume", "--set", "data.augment.flip=true", "--epochs", "1") == 0
    (line,) = (line for line in lines if line.startswith("--resume found no checkpoint"))
    assert "differs in data.augment.flip false -> true, optim.epochs 2 -> 1: " in line
    assert sum(line.startswith("epoch ") for line in lines) == 1
    command = shlex.split(re.search(r"by 'pct (.*)'\.$", line)[1])
    with heard() as lines:
        assert store.pct(*command) == 0
    (line,) = (line for line in lines if line.startswith("Resumes"))
    assert re.fullmatch(r"Resumes after epoch 1 of 2 from \S+epoch-0001-step-000000\.", line)
    assert [line[:9] for line in lines if line.startswith("epoch ")] == ["epoch 2/2"]
    with heard() as lines:
        assert store.pct(*command) == 0
    assert any(line.startswith("Resumes after epoch 2 of 2 from ") and "nothing is left" in line for line in lines)


def test_a_full_disk_when_the_best_weights_are_written_is_a_sentence(tmp_path, monkeypatch):
    from types import SimpleNamespace

    import safetensors

    def full(*_):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("pct_mlops.models.files.save_model", full)
    architecture = SimpleNamespace(model_dump_json=lambda indent: "{}")
    training = SimpleNamespace(
        folder=tmp_path,
        parts=SimpleNamespace(served=lambda model: SimpleNamespace(architecture=architecture)),
        splits=SimpleNamespace(train=[0]),
        recipe=recipe_of(),
    )
    best = tmp_path / "best"
    best.mkdir()
    with pytest.raises(PctError, match=r"cannot be written \(.*No space left on device.*\): make room there, or move"):
        Training._keep_best(training, None, 0)
    assert best.is_dir()
