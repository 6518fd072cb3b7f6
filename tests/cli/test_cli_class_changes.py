"""CSV files and versions whose classes differ: one command each, numbers as numpy counts them."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml

from pct_mlops.cli import main
from pct_mlops.reports import report_schema

RANDOM = np.random.default_rng(1)
LABEL = np.array(["gif"] * 400 + ["png"] * 400 + ["npz"] * 400)
IDS = [f"{place:04d}" for place in range(len(LABEL))]
KNOWN = LABEL != "npz"
# On what the old model knows accuracy falls, and it rises over all, as npz is new.
OLD = np.where(KNOWN & (RANDOM.random(1200) < 0.96), LABEL, "zip")
NEW = np.where(RANDOM.random(1200) < 0.94, LABEL, "zip")
LOSS = "On the labels that the old model predicts at least once, accuracy fell from"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, said in (("old", OLD), ("new", NEW)):
        frame = pd.DataFrame({"id": IDS, "label": LABEL, "prediction": said})
        frame.sample(frac=1, random_state=2).to_csv(f"{name}.csv", index=False)
    return tmp_path


def policy(*rules, **more):
    with open("policy.yaml", "w", encoding="utf-8") as file:
        yaml.safe_dump({"rules": list(rules), **more}, file)
    return "policy.yaml"


def counts(within):
    was, now = (OLD == LABEL)[within], (NEW == LABEL)[within]
    parts = {"both_right": was & now, "negative_flips": was & ~now, "positive_flips": ~was & now}
    found = {name: int(part.sum()) for name, part in parts.items()} | {"both_wrong": int((~was & ~now).sum())}
    return {**found, "total": int(within.sum())}


def test_compare(folder, capsys):
    assert main(["compare", "old.csv", "new.csv", "--json", "report.json"]) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if "taken as split" not in line]
    assert lines[0].startswith(LOSS)
    said = " ".join(" ".join(lines).split())
    assert said.index("800 examples with a label that the old model predicts") < said.index("accuracy_old")
    report = json.loads((folder / "report.json").read_text())
    change = report["class_change"]
    assert (change["shared"], change["new"], change["gone"]) == (["gif", "png", "zip"], ["npz"], [])
    assert (change["num_shared"], change["num_new"], change["num_gone"]) == (800, 400, 0)
    assert change["on_shared"]["counts"] == counts(KNOWN)
    assert change["on_new"]["counts"] == counts(~KNOWN)
    assert report["counts"] == counts(np.ones(1200, bool))
    nfr = change["on_shared"]["metrics"]["nfr"]
    assert nfr["value"] == counts(KNOWN)["negative_flips"] / 800
    assert 0 < nfr["lower"] < nfr["value"] < nfr["upper"]
    assert change["shared_loss"].startswith(LOSS)
    assert main(["compare", "new.csv", "new.csv", "--json", "same.json"]) == 0
    assert json.loads((folder / "same.json").read_text())["class_change"] is None


def test_gate_on_a_part_and_its_reports(folder, capsys):
    wide = counts(KNOWN)["negative_flips"] / 1000
    limit = {"metric": "nfr", "max": wide, "bound": "point"}
    words = ["gate", "new.csv", "--baseline", "old.csv", "--policy"]
    assert main([*words, policy(limit)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert LOSS in said.split("nfr is")[0]
    assert "Rule 1 of the policy judged all examples: write 'on: shared'" in said
    reports = ["--json", "g.json", "--markdown", "g.md", "--junit", "g.xml"]
    assert main([*words, policy({**limit, "on": "shared"}), *reports]) == 1
    report = json.loads((folder / "g.json").read_text())
    (check,) = report["checks"]
    assert (check["on"], check["support"], check["value"]) == ("shared", 800, counts(KNOWN)["negative_flips"] / 800)
    assert report["class_change"]["on_new"]["counts"] == counts(~KNOWN)
    text = (folder / "g.md").read_text()
    assert text.index(LOSS) < text.index("|")
    suite = ElementTree.parse(folder / "g.xml").getroot().find("testsuite")
    assert suite.find("system-out").text.startswith(LOSS)
    assert "nfr on shared classes" in suite.find("testcase").get("name")
    # Without differing classes there are no new ones.
    same = pd.read_csv("new.csv").assign(label=LABEL[0])
    same.assign(prediction=LABEL[0]).to_csv("a.csv", index=False)
    same.assign(prediction=[LABEL[0]] * 1199 + ["png"]).to_csv("b.csv", index=False)
    assert main(["gate", "b.csv", "--baseline", "a.csv", "--policy", policy({**limit, "on": "new"})]) == 2


def test_aliases_of_a_policy(folder):
    # The old model says zip where npz is right, and npz is finer.
    policy({"metric": "accuracy_old", "min": 0.1}, {"metric": "nfr", "max": 0.9}, aliases={"zip": "npz"})
    assert main(["gate", "new.csv", "--baseline", "old.csv", "--policy", "policy.yaml", "--json", "g.json"]) == 0
    found = json.loads((folder / "g.json").read_text())["counts"]
    was = (OLD == LABEL) | ((OLD == "zip") & (LABEL == "npz"))
    now = NEW == LABEL
    assert (found["negative_flips"], found["positive_flips"]) == (int((was & ~now).sum()), int((~was & now).sum()))


def test_tables_that_agree_only_by_alias_are_no_copies(folder):
    labels = ["zip", "npz", "npz", "png"] * 20
    for name, said in (("a", ["zip", "zip", "zip", "png"]), ("b", labels[:4])):
        pd.DataFrame({"id": IDS[:80], "label": labels, "prediction": said * 20}).to_csv(f"{name}.csv", index=False)
    policy({"metric": "nfr", "max": 0.1}, aliases={"zip": "npz"})
    assert main(["gate", "b.csv", "--baseline", "a.csv", "--policy", "policy.yaml"]) == 0


def test_policy_check_explains_both(folder, capsys):
    # A bare on is true to YAML 1.1.
    (folder / "policy.yaml").write_text(
        "rules: [{metric: nfr, max: 0.02, on: shared}]\naliases: {zip: [npz, jar]}\n", encoding="utf-8"
    )
    assert main(["policy", "check", "policy.yaml"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "on the labels that the old model knows is at most 2.00%" in said
    assert "'npz or jar' counts as right where the label is 'zip'" in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"aliases": {"zip": "zip"}}, "names a class twice, or itself"),
        ({"aliases": {"zip": []}}, "should name a finer class"),
        ({"aliases": ["zip"]}, "should be 'class: finer class' pairs"),
        ({"aliases": {"zip": True}}, "put it in quotes"),
    ],
)
def test_aliases_that_make_no_sense(folder, capsys, more, says):
    policy({"metric": "nfr", "max": 0.02}, **more)
    assert main(["policy", "check", "policy.yaml"]) == 2
    assert says in capsys.readouterr().err
    for wrong, says in (("on: old", "rules.0.on"), ("on:", "'rules.0.on' has no value")):
        (folder / "policy.yaml").write_text(f"rules:\n  - metric: nfr\n    max: 0.02\n    {wrong}\n", encoding="utf-8")
        assert main(["policy", "check", "policy.yaml"]) == 2
        assert says in capsys.readouterr().err


def test_versions(store, folder, capsys):
    client = store.registry.client
    client.create_registered_model("types")
    for name in ("old", "new"):
        (folder / name).mkdir()
        (folder / name / "MLmodel").write_text("flavors: {}\n")
        version = client.create_model_version("types", str(folder / name)).version
        assert store.pct("attach", f"types/{version}", f"{folder}/{name}.csv") == 0
    client.set_registered_model_alias("types", "production", "1")
    limit = {"metric": "nfr", "max": 0.5, "on": "shared"}
    capsys.readouterr()
    assert store.pct("gate", "types/2", "--policy", policy(limit), "--json", folder / "v.json") == 0
    assert LOSS in " ".join(capsys.readouterr().out.split())
    found = json.loads((folder / "v.json").read_text())
    assert found["class_change"]["on_shared"]["counts"] == counts(KNOWN)


def test_versions_that_state_their_classes(store, folder, capsys):
    from pct_mlops import Predictions

    client = store.registry.client
    client.create_registered_model("stated")
    names = {"1": ["png", "gif"], "2": ["gif", "png", "npz"], "3": ["gif", "png", "npz"]}
    for number, classes in names.items():
        (folder / number).mkdir()
        (folder / number / "MLmodel").write_text("flavors: {}\n")
        labels = np.where(LABEL == "png", "png", "gif")
        if number == "3":
            labels[:5] = "png"
        logits = np.random.default_rng(int(number)).normal(size=(len(labels), len(classes)))
        places = [classes.index(label) for label in labels]
        table = Predictions.from_arrays(IDS, places, logits, class_names=classes, split="test").save(
            f"{number}.parquet"
        )
        client.create_model_version("stated", str(folder / number))
        assert store.pct("attach", f"stated/{number}", table.path.absolute()) == 0
    client.set_registered_model_alias("stated", "production", "1")
    given = policy({"metric": "nfr", "max": 0.9})
    assert store.pct("gate", "stated/2", "--policy", given, "--json", folder / "s.json") == 0
    assert json.loads((folder / "s.json").read_text())["class_change"]["new"] == ["npz"]
    capsys.readouterr()
    assert store.pct("gate", "stated/3", "--policy", given) == 2
    said = " ".join("".join(capsys.readouterr()).split())
    assert "5 examples with another label (0000: gif became png" in said


def shares_of(said, names):
    """Probabilities whose greatest is at the prediction."""
    shares = np.full((len(said), len(names)), 0.1 / (len(names) - 1))
    shares[np.arange(len(said)), [names.index(name) for name in said]] = 0.9
    return shares


@pytest.fixture
def scored(folder):
    """old.npz with 3 probabilities an example and new.npz with 4, each with the names of its own scores."""
    for name, said, names in (("old", OLD, ["zip", "gif", "png"]), ("new", NEW, ["gif", "npz", "png", "zip"])):
        shares = shares_of(np.where(np.isin(said, names), said, "zip"), names)
        np.savez(f"{name}.npz", id=IDS, label=LABEL, probabilities=shares, class_names=names)
    return folder


def test_probabilities_of_other_classes_in_one_command(scored, capsys):
    words = ["gate", "new.npz", "--baseline", "old.npz", "--policy", policy({"metric": "nfr", "max": 0.9})]
    assert main([*words, "--json", "g.json"]) == 0
    captured = capsys.readouterr()
    assert "old.npz: the model does not know 1 of the labels (npz), so its predictions for 400 examples" in captured.err
    report = json.loads((scored / "g.json").read_text())
    jsonschema.validate(report, report_schema())
    change = report["class_change"]
    assert (change["shared"], change["new"], change["inferred"]) == (["gif", "png", "zip"], ["npz"], [])
    assert change["on_shared"]["counts"] == counts(KNOWN)
    assert change["on_new"]["counts"] == counts(~KNOWN)
    assert "On the labels that the old model knows, accuracy fell" in " ".join(captured.out.split())
    assert main(["import", "old.npz", "old.parquet"]) == 0
    assert main(["compare", "old.parquet", "new.npz", "--json", "c.json"]) == 0
    again = json.loads((scored / "c.json").read_text())
    jsonschema.validate(again, report_schema())
    assert again["class_change"]["on_shared"]["counts"] == counts(KNOWN)
    # The confidence in a target that the model does not know is 0, which has no finite log loss.
    assert again["metrics"]["nll_old"]["value"] is None
    assert again["metrics"]["ece_old"]["value"] is not None


def test_numbered_labels_need_the_names_of_the_scores(scored, capsys):
    names = ["gif", "npz", "png", "zip"]
    for name in ("old", "new"):
        arrays = dict(np.load(f"{name}.npz"))
        arrays["label"] = np.array([names.index(label) for label in LABEL])
        np.savez(f"{name}.npz", **arrays)
    # Each file numbers its own classes, so these are other labels.
    assert main(["compare", "old.npz", "new.npz"]) == 2
    assert "with another label" in capsys.readouterr().err
    assert main(["compare", "old.npz", "new.npz", "--classes", ",".join(names), "--json", "c.json"]) == 0
    found = json.loads((scored / "c.json").read_text())
    assert found["class_change"]["new"] == ["npz"]
    assert found["counts"] == counts(np.ones(1200, bool))
    # Without them, nobody can say what a number means that has no score.
    arrays.pop("class_names")
    np.savez("new.npz", **{**arrays, "probabilities": shares_of(["a"] * 1200, ["a", "b"])})
    assert main(["import", "new.npz", "t.parquet"]) == 2
    assert "has the label '2', which is no class of 0, 1: list all classes with --classes" in capsys.readouterr().err


def test_labels_that_neither_model_knows_are_in_every_report(scored, capsys):
    for name in ("a", "b"):
        arrays = dict(np.load("old.npz"))
        arrays["probabilities"] = np.random.default_rng(len(name)).dirichlet(np.ones(3), 1200)
        np.savez(f"{name}.npz", **arrays)
        RANDOM.shuffle(arrays["probabilities"])
    outputs = ["--json", "g.json", "--markdown", "g.md", "--junit", "g.xml"]
    words = ["gate", "old.npz", "--baseline", "a.npz", "--policy", policy({"metric": "nfr", "max": 0.9})]
    assert main([*words, *outputs]) == 0
    says = "Neither model knows the label of 400 examples (npz)"
    assert says in " ".join(capsys.readouterr().out.split())
    report = json.loads((scored / "g.json").read_text())
    assert (report["class_change"], report["unknown_labels"]) == (None, {"npz": 400})
    assert any(note.startswith(says) for note in report["notes"])
    assert says in (scored / "g.md").read_text().replace("\\", "")
    assert main(["compare", "a.npz", "old.npz"]) == 0
    assert says in " ".join(capsys.readouterr().out.split())
