"""CSV files and versions whose classes differ: one command each, numbers as numpy counts them."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml

from pct_mlops.cli import main

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
