"""Wrong input: one sentence that says what to do, exit code 2, and everything as it was."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tiny_store import NAME, RECIPE

from pct_mlops.cli import main
from pct_mlops.predictions import Predictions

NOBODY = "http://127.0.0.1:9"


def files_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys, *words):
    """The sentence that the command ends with; nothing else may have been said."""
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("Error: ")
    assert "Traceback" not in line
    assert not line.startswith("Error: unexpected"), "a user's mistake is no bug"
    return line


RECIPES = {
    "a key is missing": ({"model_name": None}, "model_name"),
    "a misspelt section": ({"optm": {"lr": 0.1}}, "unknown key 'optm' (did you mean optim"),
    "a misspelt key": ({"optim": {"epoch": 3}}, "unknown key 'optim.epoch' (did you mean epochs"),
    "an unknown optimiser": ({"optim": {"name": "adam"}}, "optim.name"),
    "negative epochs": ({"optim": {"epochs": -1}}, "optim.epochs: Input should be greater than or equal to 1"),
    "a text for a number": ({"optim": {"lr": "fast"}}, "optim.lr"),
    "a number that is none": ({"optim": {"lr": float("nan")}}, "optim.lr"),
    "a list for a section": ({"data": [1, 2]}, "data"),
    "a text for a dictionary": ({"model": {"kwargs": "wide"}}, "model.kwargs"),
    "weight and mix": ({"objective": {"loss": "ldi", "weight": 1, "mix": 0.5}}, "either 'weight' or 'mix'"),
    "an unknown loss": ({"objective": {"loss": "ldl"}}, "Unknown loss 'ldl': choose one of ldi"),
    "an unknown distance": ({"objective": {"loss": "ldi", "distance": {"name": "l3"}}}, "'l3': choose one of l2"),
    "an unknown parameter": ({"objective": {"loss": "ldi", "distance": {"name": "ldi", "margn": 1}}}, "margin"),
    "an unknown data set": ({"data": {"name": "digit"}}, "Unknown data set 'digit': choose one of digits"),
    "an unknown architecture": ({"model": {"name": "small_resnet9"}}, "choose one of small_resnet"),
    "unknown arguments": ({"model": {"name": "small_resnet8", "kwargs": {"wdth": 4}}}, "it takes width"),
    "an impossible batch": ({"optim": {"global_batch_size": 100_000}}, "global batch"),
    "an impossible share": ({"data": {**RECIPE["data"], "val_fraction": 2}}, "data.val_fraction"),
}


@pytest.mark.parametrize("case", RECIPES)
def test_recipes(empty, capsys, case):
    changes, says = RECIPES[case]
    recipe = {key: value for key, value in {**RECIPE, **changes}.items() if value is not None}
    empty.recipe.write_text(yaml.safe_dump(recipe))
    before = files_in(empty.folder)
    line = refused(capsys, "train", empty.recipe)
    assert says in line
    assert files_in(empty.folder) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("model_name: [digits\noptim: {", "is not valid YAML near line"),
        ("- a\n- list", "should hold 'key: value' pairs"),
        ("just a sentence", "should hold 'key: value' pairs"),
        ("!!python/object/apply:os.system ['touch hacked']", "is not valid YAML"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "gate"])
def test_files_that_are_no_configuration(empty, capsys, verb, text, says):
    (empty.folder / "broken.yaml").write_text(text)
    before = files_in(empty.folder)
    words = ("train", "broken.yaml") if verb == "train" else ("gate", "digits/1", "--policy", "broken.yaml")
    assert says in refused(capsys, *words)
    assert files_in(empty.folder) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("absent.yaml",), "There is no file absent.yaml"),
        (("recipe.yaml", "--loss", "nonne"), "Unknown loss 'nonne': choose one of none"),
        (("recipe.yaml", "--arch", "resnet81"), "Unknown architecture 'resnet81': choose one of resnet18"),
        (("recipe.yaml", "--epochs", "many"), "optim.epochs"),
        (("recipe.yaml", "--epochs", "-1"), "optim.epochs"),
        (("recipe.yaml", "--set", "optim.lr"), "'optim.lr' is not an override: write key=value"),
        (("recipe.yaml", "--set", "optim.lr='0.1"), "has an open quote"),
        (("recipe.yaml", "--set", "optim.lrr=0.1"), "did you mean lr"),
        (("recipe.yaml", "--num-processes", "two"), "--num-processes should be a whole number from 1 up"),
        (("recipe.yaml", "--num-processes", "0"), "--num-processes should be a whole number from 1 up"),
        (("recipe.yaml", "--tracking-uri", NOBODY, "--loss", "ldi"), f"{NOBODY} does not respond"),
        (("recipe.yaml", "--tracking-uri", "nonsense://x"), "nonsense"),
    ],
)
def test_options_of_train(empty, capsys, monkeypatch, words, says):
    # How long it is asked again is mlflow's.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = files_in(empty.folder)
    assert says in refused(capsys, "train", *words)
    assert files_in(empty.folder) == before


@pytest.mark.parametrize("loss", ["cna", "ldi", "kl", "naive"])
def test_a_loss_that_needs_production_where_there_is_none(empty, capsys, loss):
    before = files_in(empty.folder)
    line = refused(capsys, "train", empty.recipe, "--loss", loss)
    assert "'pct train RECIPE --loss none'" in line
    assert files_in(empty.folder) == before, "not even an empty mlflow.db"


def test_the_same_in_a_registry_without_the_model(store, capsys):
    before = store.state()
    line = refused(capsys, "train", store.recipe, "--loss", "cna", "--model-name", "letters")
    assert "loss=cna trains against the production version of letters, and there is none" in line
    assert "pct gate letters@candidate --policy FILE --promote" in line
    assert store.state() == before
    assert not (store.folder / "checkpoints").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("gate", f"{NAME}@candidate", "--policy", "lenient.yaml"),
        ("compare", f"{NAME}/1", f"{NAME}/2"),
        ("score", f"{NAME}/1"),
        ("history", NAME),
        ("rollback", NAME, "--reason", "why"),
        ("ensemble", "out.parquet", f"{NAME}/1", f"{NAME}/2"),
    ],
)
def test_verbs_that_read_make_no_registry(empty, capsys, words):
    before = files_in(empty.folder)
    assert "There is no registry at sqlite:///" in refused(capsys, *words)
    assert files_in(empty.folder) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("gate", "digist@candidate", "--policy", "lenient.yaml"), "no model 'digist' (it has digits)"),
        (("score", "digits/9"), "digits has no version 9"),
        (("score", "digits"), "names no version"),
        (("score", "digits/1", "--set", "data.name=digit"), "Unknown data set 'digit'"),
        (("compare", "digits@production", "digits"), "neither a predictions file nor a registered model"),
        (("ensemble", "/proc/no/mean.parquet", "digits/1"), "cannot be written"),
        (("ensemble", "digits/1", "digits/2"), "OUTPUT comes first and is a .parquet file, and digits/1 is not"),
        (("compare", "digits/1", "digits/2", "--json", "/proc/no/x.json"), "cannot be written"),
        (("compare", "digits/1", "recipe.yaml", "--json", "./recipe.yaml"), "is read and would be written over"),
        (("ensemble", "x.parquet", "digits/1", "x.parquet"), "There is no prediction table x.parquet"),
        (("explore", "one.parquet"), "Give OLD and NEW, or neither"),
        (("explore", "one.parquet", "two.parquet"), "There is no prediction table one.parquet"),
        (("explore", "digits/1", "digits/2", "--images", "recipe.yaml"), "There are no images at recipe.yaml"),
        (("explore", "digits", "digits/2"), "'digits' is neither a predictions file nor a registered model"),
    ],
)
def test_what_the_registry_does_not_hold(store, capsys, words, says):
    before = store.state()
    assert says in refused(capsys, *words)
    assert store.state() == before


@pytest.fixture
def tables(empty):
    """good.parquet and damaged relatives of it."""
    ids, labels = [f"test/{i}" for i in range(50)], np.arange(50) % 3
    logits = np.eye(3, dtype=np.float32)[labels]
    info = {"class_names": ("a", "b", "c"), "split": "test"}
    Predictions.from_arrays(ids, labels, logits, model_name="good", **info).save("good.parquet")
    data = (empty.folder / "good.parquet").read_bytes()
    (empty.folder / "half.parquet").write_bytes(data[: len(data) // 2])
    (empty.folder / "nothing.parquet").write_bytes(b"")
    (empty.folder / "text.parquet").write_text("sample_id,label\n")
    table = pq.read_table("good.parquet")
    outside = pa.array([7, *labels[1:]], pa.int32())
    pq.write_table(table.set_column(1, table.schema.field("label"), outside), "outside.parquet")
    pq.write_table(table.drop_columns(["prediction"]), "lacking.parquet")
    pq.write_table(table.slice(1), "short.parquet")
    pq.write_table(table.drop_columns(["label"]).replace_schema_metadata(None), "bare.parquet")
    return empty


TABLES = {
    "half.parquet": "is cut short or damaged",
    "nothing.parquet": "is empty",
    "text.parquet": "is not a Parquet file",
    "outside.parquet": "1 labels outside 0 to 2",
    "lacking.parquet": "lacks the column prediction",
    "short.parquet": "holds 49 rows but says 50",
    "bare.parquet": "has no column label",
    "absent.parquet": "There is no prediction table absent.parquet",
    ".": "half.parquet is cut short or damaged",
}


@pytest.mark.parametrize("name", TABLES)
def test_damaged_tables(tables, capsys, name):
    before = files_in(tables.folder)
    assert TABLES[name] in refused(capsys, "compare", "good.parquet", name)
    assert files_in(tables.folder) == before
    code = main(["gate", name, "--baseline", "good.parquet", "--policy", "lenient.yaml", "--json", "report.json"])
    captured = capsys.readouterr()
    assert code == 2
    assert TABLES[name] in " ".join((captured.out + captured.err).split())


def test_a_damaged_table_in_the_registry(store, capsys):
    client, version = store.registry.client, store.registry.resolve("digits/2")
    path = store.registry.predictions(version)
    path.write_bytes(path.read_bytes()[:1000])
    client.log_model_artifact(store.registry.model_id(version), str(path), "predictions")
    store.registry.forget(version, "predictions/test.parquet")
    before = store.state()
    assert main(["gate", "digits/2", "--policy", "lenient.yaml", "--promote"]) == 2
    said = " ".join("".join(capsys.readouterr()).split())
    assert "! ERROR The predictions of models:/digits/2 on test cannot be used: " in said
    assert "is cut short or damaged" in said
    assert store.state() == before


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("model.safetensors", b"\x08", "does not hold the weights"),
        ("architecture.json", b"{", "is not JSON"),
        ("architecture.json", b"{}", "architecture record"),
    ],
)
def test_a_damaged_teacher(store, capsys, file, content, says):
    client, version = store.registry.client, store.registry.resolve("digits/1")
    (store.folder / file).write_bytes(content)
    client.log_model_artifact(store.registry.model_id(version), str(store.folder / file))
    before = store.state()
    line = refused(capsys, "train", store.recipe, "--loss", "ldi")
    assert says in line
    assert "models:/digits/1" in line
    assert store.state() == before


@pytest.mark.parametrize("words", [("gate", "\udcff@candidate"), ("train", "r.yaml", "--set", "data.root=\udcff")])
def test_bytes_that_are_no_text(empty, capsys, words):
    assert "is not UTF-8: write it in UTF-8" in refused(capsys, *words)


def test_debug_shows_where(empty, capsys):
    assert main(["train", "absent.yaml", "--debug"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "There is no file absent.yaml" in error
    assert main(["--debug", "train", "absent.yaml"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_is_one_line_too(empty, capsys, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("division by zero\nsecond line")

    monkeypatch.setattr("pct_mlops.workflows.tables.compare_sources.compare_sources", broken)
    assert main(["compare", "a", "b"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "Error: unexpected ZeroDivisionError: division by zero; run it again with --debug to see where."
    assert main(["compare", "a", "b", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_interruption(empty, capsys, monkeypatch):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("pct_mlops.workflows.tables.compare_sources.compare_sources", stopped)
    assert main(["compare", "a", "b"]) == 130
    assert "Interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("trian",), ("train", "--losss", "cna"), ("gate",), ("list", "loss"), ("rollback", "a")]
)
def test_usage(capsys, words):
    assert main(list(words)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error: " in captured.err
    assert "Traceback" not in captured.err
