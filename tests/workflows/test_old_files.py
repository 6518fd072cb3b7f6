"""Old models in files of weights: teachers, starts and models to score, in folders that hold nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_store import heard

from pct_mlops.config import Recipe
from pct_mlops.predictions import Predictions
from pct_mlops.workflows.training.old_accuracy import best_order_accuracy, is_near_chance
from pct_mlops.workflows.training.train import train

SHORT = ["optim.epochs=1", "optim.global_batch_size=128"]
NAMES = [str(digit) for digit in range(10)]
ORDER = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]


@pytest.fixture
def old(trained, empty) -> dict[str, torch.Tensor]:
    """The weights of version 1 with its outputs in ORDER, also as old.pth.tar and names.txt in an empty folder."""
    recipes = [path for path in trained.rglob("recipe.yaml") if (path.parent / "predictions").is_dir()]
    (recipe,) = [path for path in recipes if Recipe.read(path).objective.loss == "none"]
    file = recipe.parent / "model.safetensors"
    state = load_file(file)
    for key in ("head.weight", "head.bias"):
        state[key] = state[key][ORDER].clone()
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, "old.pth.tar")
    Path("names.txt").write_text("\n".join(NAMES[place] for place in ORDER))
    return state


class ReachedTheFirstStep(Exception):
    pass


@pytest.fixture
def start(empty, old, monkeypatch):
    """Trains until the first step, and returns the run's metrics and the lines about old models."""
    import pct_mlops.engine

    def stop(*args, **kwargs):
        raise ReachedTheFirstStep

    def begin(*overrides):
        monkeypatch.setattr(pct_mlops.engine, "fit", stop)
        with heard() as said, pytest.raises(ReachedTheFirstStep):
            train(Recipe.read(empty.recipe, overrides), tracking_uri=empty.uri)
        (experiment,) = empty.registry.client.search_experiments(filter_string="name='digits'")
        (run,) = empty.registry.client.search_runs([experiment.experiment_id])
        return run.data.metrics, [line for line in said if "old." in line and not line.startswith("Training")]

    return begin


def test_a_file_teaches_in_a_folder_without_registry(empty, old, capsys):
    words = ["objective.loss=ldi", "teacher.ref=old.pth.tar", "teacher.classes=names.txt", *SHORT]
    assert empty.pct("train", empty.recipe, *[part for word in words for part in ("--set", word)]) == 0
    text = capsys.readouterr()
    version = empty.registry.resolve("digits@candidate")
    accuracy = empty.registry.client.get_run(version.run_id).data.metrics["teacher/val_accuracy"]
    assert version.version == 1
    assert version.tags["pct.teacher"] == "old.pth.tar"
    assert accuracy > 0.7
    assert f"\nThe teacher old.pth.tar has {accuracy:.2%} accuracy on val.\nepoch 1/1" in text.out
    assert "WARNING" not in text.out + text.err


@pytest.mark.thorough
def test_two_processes_measure_it_together(empty, old, capfd, monkeypatch):
    """That of a start from a file, which is measured by the same function, is a part of test_project_launch.py."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["objective.loss=ldi", "teacher.ref=old.pth.tar", "model.init=old.pth.tar", *SHORT]
    words = ["--num-processes", "2", *[part for word in words for part in ("--set", word)]]
    assert empty.pct("train", empty.recipe, *words, "--tracking-uri", empty.uri) == 0
    captured = capfd.readouterr()
    run = empty.registry.client.get_run(empty.registry.resolve("digits/1").run_id)
    for name in ("teacher", "init"):
        what = {"teacher": "The teacher", "init": "The start from"}[name]
        accuracy = run.data.metrics[f"{name}/val_accuracy"]
        assert captured.out.count(f"{what} old.pth.tar has {accuracy:.2%} accuracy on val.") == 1
        assert captured.err.count(f"WARNING: {what} old.pth.tar") == 1


def test_a_list_of_classes_is_as_good_as_a_file(start):
    listed = f"[{', '.join(NAMES[place] for place in ORDER)}]"
    metrics, lines = start("objective.loss=ldi", "teacher.ref=old.pth.tar", f"teacher.classes={listed}")
    accuracy = metrics["teacher/val_accuracy"]
    assert accuracy > 0.7
    assert lines == [f"The teacher old.pth.tar has {accuracy:.2%} accuracy on val."]


def test_without_classes_the_order_is_said_and_measured(start):
    metrics, lines = start("objective.loss=ldi", "teacher.ref=old.pth.tar")
    assumed, measured, warning = lines
    assert assumed == (
        "old.pth.tar does not name its classes: its outputs are taken in the order of the data (0, 1, ...). "
        "teacher.classes sets another order."
    )
    assert metrics["teacher/val_accuracy"] < 0.4
    assert measured.startswith("The teacher old.pth.tar has ")
    assert warning.startswith(f"WARNING: The teacher old.pth.tar has {metrics['teacher/val_accuracy']:.2%} accuracy")
    assert "Its classes stand in another order than it seems: give it with teacher.classes" in warning


@pytest.mark.parametrize("named", [True, False])
def test_a_file_to_start_from_is_measured_too(start, named):
    words = ["model.init_classes=names.txt"] if named else []
    metrics, lines = start("model.init=old.pth.tar", *words)
    assert (metrics["init/val_accuracy"] > 0.7) is named
    assert any(line.startswith("WARNING: The start from old.pth.tar") for line in lines) is not named
    assert any("model.init_classes sets another order" in line for line in lines) is not named


def test_a_new_head_needs_no_classes(start):
    metrics, lines = start("model.init=old.pth.tar", "model.new_head=true")
    assert "init/val_accuracy" not in metrics
    assert lines == []


def test_several_files_of_which_one_knows_fewer_classes(start, old):
    few = {**old, **{key: old[key][:4].clone() for key in ("head.weight", "head.bias")}}
    save_file(few, "old.safetensors")
    refs = f"teacher.refs=[{{ref: old.pth.tar, classes: names.txt}}, {{ref: old.safetensors, classes: {NAMES_OF_FEW}}}]"
    metrics, lines = start("objective.loss=ldi", refs)
    assert metrics["teacher/val_accuracy"] > 0.7
    (line,) = lines
    assert ", on the " in line
    assert line.endswith(" examples of the 4 classes that it knows.")


NAMES_OF_FEW = f"[{', '.join(NAMES[place] for place in ORDER[:4])}]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["teacher.classes=[a, b]"], "old.pth.tar has outputs for 10 classes, and 2 class names are known"),
        (["teacher.classes=absent.txt"], "There is no file absent.txt: give the path of a file of class names"),
        (["teacher.ref=nowhere.pt"], "There is no file nowhere.pt: give the path of a .pth.tar"),
        (["teacher.ref=digits/1"], "There is no registry at "),
        (["teacher.ref=old", "teacher.classes=names.txt"], "old records its own classes: leave out teacher.classes"),
        (["model.name=small_resnet14"], "name the architecture that the file was trained with"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_before_anything_is_made(empty, old, capsys, words, message):
    Path("old").mkdir()
    overrides = ["objective.loss=ldi", "teacher.ref=old.pth.tar", *words]
    assert empty.pct("train", empty.recipe, *[part for word in overrides for part in ("--set", word)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not Path("checkpoints").exists()


def table(path):
    found = pq.read_table(path, columns=["sample_id", "logits"])
    return dict(zip(found["sample_id"].to_pylist(), np.array(found["logits"].to_pylist()), strict=True))


def test_scoring_brings_the_outputs_into_the_order_of_the_data(empty, old, capsys):
    save_file({f"_orig_mod.{key}": value for key, value in old.items()}, "old.safetensors")
    for name, words in {
        "list": ["old.pth.tar", "--classes", ",".join(NAMES[place] for place in ORDER)],
        "file": ["old.safetensors", "--classes", "names.txt"],
        "none": ["old.pth.tar"],
    }.items():
        assert empty.pct("score", *words, "--recipe", empty.recipe, "--output", f"{name}.parquet") == 0
        captured = capsys.readouterr()
        assert ("WARNING: The model in old.pth.tar has" in captured.err) is (name == "none")
        assert ("--classes sets another order" in captured.out) is (name == "none")
    right, wrong = table("list.parquet"), table("none.parquet")
    assert all(np.allclose(row[ORDER], wrong[key], atol=1e-5) for key, row in right.items())
    assert all(np.allclose(row, right[key], atol=1e-5) for key, row in table("file.parquet").items())
    assert Predictions.load("list.parquet").accuracy() > 0.7 > 2 * Predictions.load("none.parquet").accuracy() - 0.1
    assert not Path("mlflow.db").exists(), "a file needs no registry"
    assert empty.pct("score", "old", "--recipe", empty.recipe, "--classes", "a,b", "--output", "x.parquet") == 2
    Path("old").mkdir()
    capsys.readouterr()
    assert empty.pct("score", "old", "--recipe", empty.recipe, "--classes", "a,b", "--output", "x.parquet") == 2
    assert "records its own classes: leave out --classes" in capsys.readouterr().err


def test_scoring_with_test_images_alone(empty, capsys):
    """The whole folder and its test images alone give the same table, whatever classes test lacks."""
    random = np.random.RandomState(0)
    for name in ("bird", "cat", "dog"):
        for split in ("train", "val", "test"):
            folder = Path("images") / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                Image.fromarray(random.randint(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    words = ["--set", "data={name: image_folder, root: images, num_workers: 0}", "--recipe", empty.recipe]
    from pct_mlops.models import Architecture, build_model

    record = {"class_names": ("dog", "bird", "cat"), "image_shape": (3, 8, 8), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    model = build_model(Architecture(name="small_resnet8", kwargs={"width": 8}, **record))
    torch.save({key: value for key, value in model.state_dict().items() if key not in ("mean", "std")}, "old.pt")
    score = ["score", "old.pt", *words, "--classes", "dog,bird,cat", "--output"]
    assert empty.pct(*score, "whole.parquet") == 0
    shutil.rmtree("images/train")
    shutil.rmtree("images/val")
    assert empty.pct(*score, "alone.parquet") == 0
    whole, alone = Predictions.load("whole.parquet").info, Predictions.load("alone.parquet").info
    assert alone.digest == whole.digest
    assert all(np.allclose(row, table("alone.parquet")[key], atol=1e-5) for key, row in table("whole.parquet").items())
    shutil.rmtree("images/test/bird")
    assert empty.pct(*score, "fewer.parquet") == 0
    assert Predictions.load("fewer.parquet").info.class_names == ("bird", "cat", "dog")
    capsys.readouterr()
    assert empty.pct("score", "old.pt", *words, "--output", "x.parquet") == 2
    assert "old.pt has outputs for 3 classes, and 2 class names are known" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("right", "number", "num_classes", "expected"),
    [
        (10, 100, 10, True),  # chance itself
        (0, 100, 10, True),
        (19, 100, 10, True),  # surely above chance, and below twice of it
        (25, 100, 10, False),
        (50, 100, 2, True),
        (65, 100, 2, False),  # a hard task of two classes; twice chance would be 100 %
        (55, 100, 2, True),
        (5, 10, 3, True),  # too few examples to tell it from chance
        (3, 3, 10, False),
        (9, 10, 1, False),  # with one class there is no chance
    ],
)
def test_next_to_chance_is_told_from_useful(right, number, num_classes, expected):
    assert is_near_chance(right, number, num_classes) is expected


def test_the_order_that_fits_best_is_found_where_there_are_enough_examples():
    random = np.random.RandomState(0)
    targets = np.arange(600) % 6
    order = np.array([2, 0, 1, 5, 3, 4])
    predictions = np.where(random.rand(600) < 0.9, order[targets], targets)
    assert best_order_accuracy(targets, predictions, 6) == np.mean(predictions == order[targets])
    assert best_order_accuracy(targets[:24], predictions[:24], 6) == 0, "some order fits a few examples by chance"
    guesses = random.randint(6, size=600)
    assert best_order_accuracy(targets, guesses, 6) < 0.3
