"""Versions of others, over a real server: their tables are attached, judged, promoted and looked at."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from foreign_store import CLASSES, FLAVOURS
from PIL import Image

import pct_mlops
from pct_mlops.errors import PctError
from pct_mlops.predictions import Predictions
from pct_mlops.predictions.alignment import with_classes
from pct_mlops.registry import history

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", FLAVOURS)
def test_attach_gate_promote_and_explore(foreign, name, capsys, tmp_path):
    policy = foreign.policy()
    assert foreign.pct("gate", f"{name}/1", "--policy", policy) == 2
    assert f"'pct attach {name}/1 FILE'" in " ".join(capsys.readouterr().out.split())
    for number in (1, 2):
        assert foreign.pct("attach", f"{name}/{number}", foreign.file(name, number)) == 0
        said = capsys.readouterr().out
        table = foreign.table(name, number)
        assert f"models:/{name}/{number} carries predictions/test.parquet: 400 examples of 3 classes" in said
        assert f"accuracy {table.accuracy():.2%}, digest {table.info.digest[:12]}" in said
        assert f"Next: pct gate {name}/{number} --policy policy.yaml" in said
        assert foreign.pct("gate", f"{name}/{number}", "--policy", policy, "--promote", "--reason", "ours now") == 0
    said = capsys.readouterr().out
    # An independent count of what the gate says.
    right = [np.load(foreign.folder / f"{name}-{n}.npy").argmax(1) for n in (1, 2)]
    labels = foreign.examples()["label"].map(CLASSES.index).to_numpy()
    lost = int(((right[0] == labels) & (right[1] != labels)).sum())
    assert f"{lost:,} negative flips" in said

    registry = foreign.registry
    moves = [(move.from_version, move.to_version, move.verdict) for move in history(registry, name)]
    assert moves == [(None, 1, "BOOTSTRAP"), (1, 2, "PASS")]
    assert foreign.pct("verify", name) == 0
    assert foreign.pct("history", name) == 0
    assert foreign.pct("compare", f"{name}/1", f"{name}@production") == 0
    ids = tmp_path / "ids.txt"
    ids.write_text(foreign.examples()["id"][0])
    words = (
        "--reject",
        "--by",
        "ada",
        "--reason",
        "no",
        "--samples",
        ids,
        "--mark",
        "blocker",
        "--baseline",
        f"{name}/1",
    )
    assert foreign.pct("review", f"{name}/2", *words) == 0
    assert foreign.pct("gate", f"{name}/2", "--baseline", f"{name}/1", "--policy", policy) == 1
    capsys.readouterr()
    _open_in_the_explorer(foreign, name)


def _open_in_the_explorer(foreign, name):
    from pct_mlops.explorer.queries import decisions, example_facts, example_images, flip_pages, pairs, version_rates
    from pct_mlops.explorer.queries.pairs import Pair, VersionTable

    pairs.forget_tables()
    old, new = (VersionTable(foreign.uri, name, number) for number in (1, 2))
    pair = Pair(old, new, f"{name}/1", f"{name}/2")
    assert pairs.models(foreign.uri) == sorted(pairs.models(foreign.uri))
    assert pairs.counts(pair).total == 400
    assert pairs.recorded_verdict(pair) == "FAIL"
    assert str(decisions.decision(pair, str(foreign.policy())).verdict) == "FAIL", "the rejection stands"
    assert example_facts.changes(pair)[1] is False, "there is no recipe to compare"
    assert example_images.tiles(pair, ["pet/0000"])[0] == {}
    assert len(version_rates.moves(foreign.uri, name)) == 2
    points = version_rates.move_points(foreign.uri, name, version_rates.moves(foreign.uri, name), lambda *_: None)
    assert points[1].num_flips == pairs.counts(pair).negative_flips
    assert flip_pages is not None
    pairs.forget_tables()


def test_a_table_that_is_there_gives_way_only_when_told_to(foreign, capsys):
    version = foreign.free_version()
    first, second = foreign.file("pets-sklearn", 1), foreign.file("pets-sklearn", 2)
    assert foreign.pct("attach", version, first) == 0
    capsys.readouterr()
    assert foreign.pct("attach", version, first) == 0
    assert "This very table was there already" in capsys.readouterr().out
    assert foreign.pct("attach", version, second) == 2
    assert "replace them with --replace" in capsys.readouterr().err
    assert foreign.pct("attach", version, second, "--replace") == 0
    said = capsys.readouterr().out
    digest = Predictions.load(first).info.digest[:8]
    assert f"Its former table is kept as predictions/test-{digest}.parquet" in said
    assert said.count("former table") == 1, "said once"
    registry = foreign.registry
    files = registry.files(registry.resolve(version))
    former = Predictions.load(files.find(f"predictions/test-{digest}.parquet"))
    now = Predictions.load(files.find("predictions/test.parquet"))
    assert (former.accuracy(), now.accuracy()) == (
        Predictions.load(first).accuracy(),
        Predictions.load(second).accuracy(),
    )
    assert now.info.title == version


def test_pictures_and_texts_go_along(foreign, tmp_path, capsys):
    version = foreign.free_version(name="shown")
    ids = foreign.examples()["id"]
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, format="png")
    pd.DataFrame({"sample_id": [*ids[:5], "nobody"], "png": [buffer.getvalue()] * 6}).to_parquet(tmp_path / "p.parquet")
    pd.DataFrame({"sample_id": ids, "text": 'a, "pet"'}).to_csv(tmp_path / "t.csv", index=False)
    given = ("--thumbnails", tmp_path / "p.parquet", "--texts", tmp_path / "t.csv")
    assert foreign.pct("attach", version, foreign.file("pets-sklearn", 1), *given) == 0
    said = capsys.readouterr().out
    assert "The explorer shows pictures of 5 of 400 examples" in said
    assert "The explorer shows texts of 400 of 400 examples" in said
    registry, digest = foreign.registry, foreign.table("pets-sklearn", 1).info.digest
    assert len(pd.read_parquet(registry.images("shown", digest))) == 5
    assert set(pd.read_parquet(registry.texts("shown", digest))["text"]) == {'a, "pet"'}
    _look_at_one(foreign, "shown/1")
    again = foreign.free_version(name="shown")
    assert foreign.pct("attach", again, foreign.file("pets-sklearn", 2), *given) == 0
    assert "shown has pictures of these examples already: --replace stores the new ones" in capsys.readouterr().out


def _look_at_one(foreign, reference):
    from pct_mlops.explorer.queries import example_contents, example_images, pairs
    from pct_mlops.explorer.queries.pairs import Pair, VersionTable

    pairs.forget_tables()
    name, _, number = reference.partition("/")
    table = VersionTable(foreign.uri, name, int(number))
    pair = Pair(table, table, "old", "new")
    known, problem = example_contents.inputs(pair, ["pet/0000", "nobody"])
    assert (known["pet/0000"].text, "nobody" in known, problem) == ('a, "pet"', False, "")
    assert list(example_images.tiles(pair, ["pet/0000", "pet/0300"])[0]) == ["pet/0000"]
    pairs.forget_tables()


def test_bad_input_is_said_in_one_sentence_and_stores_nothing(foreign, tmp_path, capsys):
    version = foreign.free_version()
    good = foreign.file("pets-sklearn", 1)
    val = foreign.file("pets-sklearn", 1, split="val")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(good.read_bytes()[:200])
    (tmp_path / "none.csv").write_text("sample_id,text\nnobody,x\n")
    (tmp_path / "other.csv").write_text("id,words\nnobody,x\n")
    pd.DataFrame({"sample_id": ["a"], "png": [b"GIF"]}).to_parquet(tmp_path / "gif.parquet")
    cases = [
        (("absent/1", good), "has no model 'absent'"),
        ((version.split("/")[0] + "/999", good), "has no version 999"),
        ((version, "absent.parquet"), "There is no prediction table absent.parquet"),
        ((version, "pets-sklearn/2"), "There is no file pets-sklearn/2"),
        ((version, broken), "cut short or damaged"),
        ((version, val), "holds predictions on 'val', and 'test' was asked for"),
        ((version, good, "--split", "../x"), "no name of a split"),
        ((version, good, "--thumbnails", good), "holds no pictures that can be read"),
        ((version, good, "--thumbnails", tmp_path / "gif.parquet"), "holds no PNG"),
        ((version, good, "--texts", tmp_path / "other.csv"), "texts of none of the table's examples"),
        ((version, good, "--texts", tmp_path / "none.csv"), "texts of none of the table's examples"),
        ((version, good, "--texts", tmp_path / "absent.csv"), "There is no file"),
    ]
    for words, says in cases:
        assert foreign.pct("attach", *words) == 2, words
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
    registry = foreign.registry
    assert registry.download(registry.resolve(version), "predictions/test.parquet") is None


def test_other_classes_and_examples_than_productions_are_said(foreign, tmp_path, capsys):
    first, second, third = (foreign.free_version(name="beside") for _ in range(3))
    assert foreign.pct("attach", first, foreign.file("pets-sklearn", 1)) == 0
    assert "Nothing is in production of beside yet" in capsys.readouterr().out
    assert foreign.pct("gate", first, "--policy", foreign.policy(), "--promote") == 0
    capsys.readouterr()
    assert foreign.pct("attach", second, foreign.file("pets-sklearn", 2)) == 0
    assert "the same examples, targets and classes as models:/beside/1" in capsys.readouterr().out
    swapped = foreign.file("pets-sklearn", 2, class_names=["cat", "horse", "dog"])
    assert foreign.pct("attach", third, swapped) == 0
    said = capsys.readouterr().out
    assert "Its classes (without owl)" not in said
    assert "The gate will refuse it, because its examples or targets are not those of models:/beside/1" in said
    fourth, fifth = (foreign.free_version(name="beside") for _ in range(2))
    # The same names in another order are brought into production's.
    table = foreign.table("pets-sklearn", 2)
    swapped = Predictions.temporary(with_classes(table, ["horse", "cat", "dog"]))
    assert swapped.info.digest != table.info.digest
    done = pct_mlops.attach(fourth, swapped, tracking_uri=foreign.uri)
    assert (done.table.info.class_names, done.table.info.digest) == (tuple(CLASSES), table.info.digest)
    assert foreign.pct("gate", fourth, "--policy", foreign.policy()) == 0
    capsys.readouterr()
    # A file of another format, with names of its own, and with fewer and other classes.
    frame = foreign.examples().assign(said="owl")
    frame["gold"] = frame.pop("label").replace("horse", "owl")
    frame[["id", "gold", "said"]].to_csv(tmp_path / "other.csv", index=False)
    columns = ("--columns", "label=gold,prediction=said")
    assert foreign.pct("attach", fifth, tmp_path / "other.csv", *columns) == 0
    assert "Its classes (without horse and with owl) are not those of models:/beside/1" in capsys.readouterr().out


def test_from_python_with_what_mlflow_returned(foreign, tmp_path):
    import mlflow

    table = foreign.table("pets-sklearn", 1)
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    client = foreign.registry.client
    with mlflow.start_run(experiment_id="0") as run, pytest.raises(PctError, match="no model was logged"):
        pct_mlops.log_predictions(run, table, tracking_uri=foreign.uri)
    made = client.create_logged_model(run.info.experiment_id, name="m", source_run_id=run.info.run_id)
    client.log_model_artifact(made.model_id, str(tmp_path / "MLmodel"))
    client.finalize_logged_model(made.model_id, "READY")
    stored = pct_mlops.log_predictions(run, table, tracking_uri=foreign.uri)
    assert (stored.model, stored.path) == (f"models:/{made.model_id}", "predictions/test.parquet")
    by_id = pct_mlops.log_predictions(SimpleNamespace(model_id=made.model_id), table, "test", tracking_uri=foreign.uri)
    assert "there already" in by_id.notes[0]
    # A version that is made of it afterwards carries the table.
    version = mlflow.register_model(f"models:/{made.model_id}", "logged")
    registry = foreign.registry
    assert Predictions.load(registry.predictions(registry.resolve("logged/1"))).accuracy() == table.accuracy()
    with pytest.raises(PctError, match="--replace"):
        pct_mlops.log_predictions(version, foreign.table("pets-sklearn", 2), tracking_uri=foreign.uri)
    done = pct_mlops.attach("logged/1", foreign.table("pets-sklearn", 2), replace=True, tracking_uri=foreign.uri)
    assert done.former.startswith("predictions/test-")
    absent = ((object(), "of type object"), ("m-" + "0" * 32, "no logged model"), ("0" * 32, "of run 0000"))
    for nothing, says in absent:
        with pytest.raises(PctError, match=says):
            pct_mlops.log_predictions(nothing, table, tracking_uri=foreign.uri)


def test_a_version_that_no_run_made(store, tmp_path, capsys):
    """Of a plain path in a local store: the report is kept with its files."""
    from pct_mlops.registry import history

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    client = store.registry.client
    client.create_registered_model("plain")
    client.create_model_version("plain", str(folder))
    table = store.registry.predictions(store.registry.resolve("digits/1"))
    assert store.pct("attach", "plain/1", table) == 2
    assert "made by other weights" in capsys.readouterr().err
    rows = Predictions.load(table)
    from pct_mlops.predictions.with_info import save_with_info

    save_with_info(rows, tmp_path / "own.parquet", weights="")
    assert store.pct("attach", "plain/1", tmp_path / "own.parquet") == 0
    assert "It is not tied to the version's weights" in capsys.readouterr().out
    assert store.pct("gate", "plain/1", "--policy", store.policy("lenient"), "--promote") == 0
    (move,) = history(store.registry, "plain")
    assert (move.verdict, move.to_version) == ("BOOTSTRAP", 1)
    assert (folder / "gate").is_dir()
    assert move.report.startswith("models:/plain/1/gate/")
