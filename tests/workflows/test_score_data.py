"""`pct score --data`: models of any flavour are asked about a file of examples."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from foreign_store import CLASSES, FLAVOURS
from tiny_store import NAME, RECIPE

from pct_mlops.predictions import Predictions, sql
from pct_mlops.registry.downloads import downloads
from pct_mlops.workflows.runtime.references import version_predictions

pytestmark = pytest.mark.slow
PLAIN = ("id", "label")


def stored(foreign, reference, split="test"):
    registry = foreign.registry
    return version_predictions(registry, registry.resolve(reference), split)


def rows(table):
    with sql.connect() as connection:
        table.attach(connection, "mine", vectors=True)
        found = connection.sql("SELECT * FROM mine ORDER BY sample_id").to_arrow_table()
    return found.to_pydict()


@pytest.mark.parametrize("name", FLAVOURS)
def test_scores_of_each_flavour_are_those_of_its_model(foreign, name, capsys):
    data = foreign.folder / "test.csv"
    assert foreign.pct("score", f"{name}/1", "--data", data, "--split", "val") == 2
    said = capsys.readouterr().err
    assert "loading it runs whatever code its author put there" in said
    assert "add --allow-code" in said
    assert f"'pct attach {name}/1 FILE'" in said
    more = ("--classes", ",".join(CLASSES)) if name == "pets-torch" else ()
    assert foreign.pct("score", f"{name}/1", "--data", data, "--split", "val", "--allow-code", *more) == 0
    logits = np.load(foreign.folder / f"{name}-1.npy")
    table = stored(foreign, f"{name}/1", "val")
    found = rows(table)
    order = [CLASSES.index(each) for each in table.info.class_names]
    labels = foreign.examples()["label"].map(CLASSES.index).to_numpy()
    assert [order[label] for label in found["label"]] == labels.tolist()
    assert [order[label] for label in found["prediction"]] == logits.argmax(1).tolist()
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(found["confidence"], expected.max(1), atol=1e-5)
    assert f"accuracy {(logits.argmax(1) == labels).mean():.2%}" in capsys.readouterr().out


def test_a_text_classifier_that_says_labels_alone(foreign, tmp_path, capsys):
    words = ("score", "pets-words/1", "--allow-code")
    assert foreign.pct(*words, "--data", foreign.folder / "texts.csv") == 0
    table = stored(foreign, "pets-words/1")
    assert "confidence" not in table.info.columns, "nothing is made up"
    assert table.info.class_names == tuple(CLASSES)
    frame = pd.read_csv(foreign.folder / "texts.csv")
    right = [next((name for name in CLASSES if name in text), "cat") for text in frame["text"]]
    assert table.accuracy() == pytest.approx((frame["label"] == right).mean())
    assert foreign.pct("gate", "pets-words/1", "--policy", foreign.policy()) == 0
    # The same as JSON lines, where the columns have names of their own.
    lines = tmp_path / "texts.jsonl"
    renamed = frame.rename(columns={"id": "key", "label": "gold"})
    lines.write_text("\n".join(json.dumps(row) for row in renamed.to_dict("records")))
    output = tmp_path / "out.parquet"
    columns = ("--columns", "label=gold,sample_id=key")
    assert foreign.pct(*words, "--data", lines, "--output", output, *columns) == 0
    assert Predictions.load(output).accuracy() == table.accuracy()
    assert foreign.pct(*words, "--data", lines, "--scores", "logits", *columns) == 2
    assert "gives labels and no scores" in capsys.readouterr().err


def test_a_former_table_is_kept(foreign, capsys):
    version = foreign.free_version("pets-sklearn/1", "kept")
    assert foreign.pct("attach", version, foreign.file("pets-sklearn", 2)) == 0
    assert foreign.pct("score", version, "--data", foreign.folder / "test.csv", "--allow-code") == 0
    files = foreign.registry.files(foreign.registry.resolve(version))
    digest = foreign.table("pets-sklearn", 2).info.digest[:8]
    former = Predictions.load(files.find(f"predictions/test-{digest}.parquet"))
    assert former.accuracy() == foreign.table("pets-sklearn", 2).accuracy()


def test_scored_versions_of_others_are_tied_to_their_files(foreign, tmp_path, capsys):
    first, second = (foreign.free_version(f"pets-sklearn/{number}", "tied") for number in (1, 2))
    demanding = foreign.policy(evidence={"tied": True})
    for version in (first, second):
        assert foreign.pct("attach", version, foreign.file("pets-sklearn", 1)) == 0
        assert foreign.pct("gate", version, "--policy", demanding, "--promote") == 2
        assert foreign.pct("score", version, "--data", foreign.folder / "test.csv", "--allow-code") == 0
        assert foreign.pct("gate", version, "--policy", demanding, "--promote") == 0
    files = foreign.registry.files(foreign.registry.resolve(first))
    (tmp_path / "requirements.txt").write_text("another\n")
    files.add(tmp_path / "requirements.txt", "")
    capsys.readouterr()
    # What is recorded as evidence is read from the store, also where the model was copied before.
    assert foreign.pct("score", first, "--data", foreign.folder / "test.csv", "--allow-code") == 2
    assert "changed since its evidence was recorded" in capsys.readouterr().err
    again = type(foreign)(foreign.uri, foreign.folder)
    downloads.cache_clear()
    assert again.pct("score", first, "--data", foreign.folder / "test.csv", "--allow-code") == 2
    assert "changed since its weights were recorded" in capsys.readouterr().err


def test_bad_input_of_each_flag(foreign, tmp_path, capsys):
    data = foreign.folder / "test.csv"
    frame = foreign.examples()
    files = {}

    def write(name, changed):
        files[name] = tmp_path / f"{name}.csv"
        changed.to_csv(files[name], index=False)
        return files[name]

    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    np.savez(tmp_path / "short.npz", images=np.zeros((3, 2)), label=[0], id=["a"])
    np.savez(tmp_path / "objects.npz", images=np.array([object()]), label=[0], id=["a"])
    allowed = ("pets-sklearn/1", "--allow-code")
    cases = [
        (("pets-sklearn/1", "--columns", "label=x"), "--columns goes with --data FILE"),
        (("pets-sklearn/1", "--allow-code"), "--allow-code goes with --data FILE"),
        (("pets-sklearn/1", "--data", data, "--recipe", "x.yaml"), "leave --recipe and --set out"),
        (("pets-sklearn/1",), "score it on a file of examples with 'pct score pets-sklearn/1 --data FILE'"),
        ((*allowed, "--data", "absent.csv"), "There is no file absent.csv"),
        ((*allowed, "--data", "absent.xlsx"), "give a file that ends in .csv"),
        ((*allowed, "--data", write("no_id", frame.drop(columns="id"))), "no column for sample_id"),
        ((*allowed, "--data", write("no_label", frame.drop(columns="label"))), "no column for label"),
        ((*allowed, "--data", write("no_b", frame.drop(columns="b"))), "takes the column 'b', which the data lack"),
        ((*allowed, "--data", write("text", frame.assign(b="much"))), "takes float64 in the column 'b'"),
        ((*allowed, "--data", write("twice", frame.assign(id="x"))), "more than once"),
        ((*allowed, "--data", write("none", frame[:0])), "holds no examples"),
        ((*allowed, "--data", write("hole", frame.assign(label=[None, *frame["label"][1:]]))), "no label in row 1"),
        ((*allowed, "--data", data, "--columns", "label=gold"), "has no column 'gold'"),
        ((*allowed, "--data", data, "--columns", "nothing"), "is no list of pairs"),
        ((*allowed, "--data", data, "--classes", "cat,dog"), "2 names were given: correct --classes"),
        ((*allowed, "--data", data, "--classes", "cat,dog,owl"), "horse"),
        ((*allowed, "--data", tmp_path / "broken.npz"), "cannot be read as .npz"),
        ((*allowed, "--data", tmp_path / "objects.npz"), "without running code"),
        ((*allowed, "--data", tmp_path / "short.npz"), "give one of each for every example"),
        (("pets-torch/1", "--allow-code", "--data", data), "does not say which is which"),
        (("model.pth", "--data", data), "names no version"),
    ]
    for words, says in cases:
        assert foreign.pct("score", *words) == 2, words
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line, words


def test_images_for_a_model_of_ours_run_no_code(store, tmp_path, monkeypatch, capsys):
    """It is rebuilt from safetensors, and says what it said when it was registered."""
    from pct_mlops.config import Recipe
    from pct_mlops.data import load_data

    def refuse(*_, **__):
        raise AssertionError("loaded through mlflow")

    monkeypatch.setattr("mlflow.pyfunc.load_model", refuse)
    monkeypatch.setattr("pickle.loads", refuse)
    recipe = Recipe.model_validate(RECIPE)
    split = load_data(recipe.data, recipe.seed.data).test
    images = split.images(range(len(split))).numpy()
    before = rows(version_predictions(store.registry, store.registry.resolve(f"{NAME}/1"), "test"))
    for number, array in enumerate((images, images[:, 0], images.transpose(0, 2, 3, 1), images / np.float32(255))):
        file, output = tmp_path / f"{number}.npz", tmp_path / f"{number}.parquet"
        np.savez(file, images=array, label=split.labels.numpy(), id=split.sample_ids)
        assert store.pct("score", f"{NAME}/1", "--data", file, "--output", output) == 0
        found = rows(Predictions.load(output))
        assert found["sample_id"] == before["sample_id"]
        assert found["prediction"] == before["prediction"]
        np.testing.assert_allclose(found["logits"], before["logits"], atol=1e-4)
    np.savez(file, images=images.astype(np.float32), label=split.labels.numpy(), id=split.sample_ids)
    assert store.pct("score", f"{NAME}/1", "--data", file) == 2
    assert "numbers from 0 to 1" in capsys.readouterr().err
    np.savez(file, images=images[:, :, :5], label=split.labels.numpy(), id=split.sample_ids)
    assert store.pct("score", f"{NAME}/1", "--data", file) == 2
    assert "takes arrays of shape [1, 8, 8], and an example has [1, 5, 8]" in capsys.readouterr().err
