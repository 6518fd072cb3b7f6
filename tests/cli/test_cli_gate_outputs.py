"""What the gate writes and prints: one verdict everywhere, and nothing moves when it cannot be written or recorded."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import jsonschema
import pytest
from tiny_store import NAME

from pct_mlops.config import PctError
from pct_mlops.explorer.components.history_table import history_table
from pct_mlops.explorer.queries import decisions as explorer_judging
from pct_mlops.explorer.queries import pairs as explorer
from pct_mlops.explorer.queries import version_rates
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.registry import PRODUCTION, history, promote, record_decision
from pct_mlops.reports import report_schema

EXPLORER = "https://explorer.example/"
ATOMIC_FILES = "pct_mlops.workflows.runtime.atomic_files"


def words(folder, policy, *more):
    files = ("--json", folder / "r.json", "--junit", folder / "r.xml", "--markdown", folder / "r.md")
    files = (*files, "--html", folder / "r.html")
    return ("--policy", policy, *files, *more)


def gate(store, folder, policy="lenient", *more, candidate=f"{NAME}@candidate"):
    return store.pct("gate", candidate, *words(folder, store.policy(policy), *more))


def verdicts(folder, printed):
    """The verdict as every output has it, after checking each against its exit code and schema."""
    report = json.loads((folder / "r.json").read_text())
    jsonschema.validate(report, report_schema(), jsonschema.Draft202012Validator)
    suite = ElementTree.parse(folder / "r.xml").getroot()[0]
    properties = {item.get("name"): item.get("value") for item in suite.find("properties")}
    assert int(properties["exit_code"]) == report["exit_code"]
    kinds = {child.get("type") for case in suite.findall("testcase") for child in case} - {None}
    worst = next((kind for kind in ("ERROR", "FAIL", "INCONCLUSIVE") if kind in kinds), properties["verdict"])
    heading = (folder / "r.md").read_text().splitlines()[0].split()[2].rstrip(":")
    page = re.search(r"<b>. (\w+)</b>", (folder / "r.html").read_text())[1]
    return {printed.split()[1], report["verdict"], properties["verdict"], worst, heading, page}, report


def test_one_verdict_everywhere(store, tmp_path, capsys):
    (store.folder / "error.yaml").write_text(
        "rules: [{metric: nfr, max: 0.9}, {metric: class_nfr, max: 0.9, min_support: 9999}]"
    )
    # No example is lost for certain, and none gained: 0.97 lies between the bounds of the accuracy that digits/2 has.
    (store.folder / "open.yaml").write_text(
        "rules: [{metric: nfr, max: NFR, bound: upper}]".replace("NFR", middle(store))
    )
    capsys.readouterr()
    for policy, expected, code in (
        ("lenient", "PASS", 0),
        ("strict", "FAIL", 1),
        ("open", "INCONCLUSIVE", 3),
        ("error", "ERROR", 2),
    ):
        before = store.state()
        assert gate(store, tmp_path, policy, "--explorer-url", EXPLORER) == code
        printed = capsys.readouterr().out
        found, report = verdicts(tmp_path, printed)
        assert found == {expected}
        assert report["exit_code"] == code
        assert str(judged_by_the_explorer(store, policy).verdict) == expected
        link = f"{EXPLORER}?model={NAME}&old=1&new=2"
        assert f"Every flip: {link}" in printed
        assert f"]({link})" in (tmp_path / "r.md").read_text()
        assert f'href="{link.replace("&", "&amp;")}"' in (tmp_path / "r.html").read_text()
        if expected == "ERROR":
            assert store.state() == before
            continue
        assert store.registry.resolve("digits/2").tags["gate.verdict"] == expected
        assert recorded(store, tmp_path, "gate/version-2-against-1.json") == report


def test_a_first_version_is_one_everywhere(store, tmp_path, capsys):
    store.without_production()
    capsys.readouterr()
    for words, done in (((), None), (("--promote",), True)):
        assert gate(store, tmp_path, "lenient", *words, "--explorer-url", EXPLORER) == 0
        found, report = verdicts(tmp_path, capsys.readouterr().out)
        assert found == {"BOOTSTRAP"}
        assert (report["exit_code"], report["baseline"], report["checks"]) == (0, None, [])
        assert "metrics" not in report, "there is nothing to compare with"
        tags = store.registry.resolve("digits/2").tags
        assert (tags["gate.verdict"], tags["gate.baseline_version"], tags["gate.nfr"]) == ("BOOTSTRAP", "", "")
        assert tags["gate.policy_digest"] == report["policy"]["digest"]
        kept = recorded(store, tmp_path, "gate/version-2-against-none.json")
        assert (kept["verdict"], kept["exit_code"]) == ("BOOTSTRAP", 0)
        assert (report["promotion"] or {}).get("done") is done
    # What the explorer shows of it: there is no pair to look at, only the move.
    version_rates.moves.clear()
    (move,) = version_rates.moves(store.registry.tracking_uri, NAME)
    assert (move.verdict, move.from_version, move.to_version) == ("BOOTSTRAP", None, 2)
    assert ">BOOTSTRAP<" in history_table([move], version_rates.move_points(store.uri, NAME, [move], print))


def test_a_first_version_below_the_policy_s_minimum_does_not_go_into_production(store, tmp_path, capsys):
    store.without_production()
    (store.folder / "least.yaml").write_text("rules: [{metric: nfr, max: 0.9}]\nbootstrap: {accuracy_new: 0.999}")
    capsys.readouterr()
    assert gate(store, tmp_path, "least", "--promote") == 1
    found, report = verdicts(tmp_path, capsys.readouterr().out)
    assert found == {"FAIL"}
    assert [check["metric"] for check in report["checks"]] == ["accuracy_new"]
    assert "production" not in store.registry.aliases(NAME)
    (store.folder / "least.yaml").write_text("rules: [{metric: nfr, max: 0.9}]\nbootstrap: {accuracy_new: 0.5}")
    assert gate(store, tmp_path, "least", "--promote") == 0
    assert store.registry.aliases(NAME)["production"] == 2


def recorded(store, folder, path):
    """The report that the registry keeps with digits/2."""
    run = store.registry.resolve("digits/2").run_id
    return json.loads(Path(store.registry.client.download_artifacts(run, path, str(folder))).read_text())


def judged_by_the_explorer(store, policy):
    """What its overview and what-if show for the same two versions."""
    explorer.forget_tables()
    old, new = (VersionTable(store.registry.tracking_uri, NAME, number) for number in (1, 2))
    return explorer_judging.decision(Pair(old, new, "", ""), str(store.policy(policy)))


def middle(store):
    """The NFR of digits/2 as observed: a limit that lies between its bounds."""
    report = store.folder / "compared.json"
    assert store.pct("compare", "digits/1", "digits/2", "--json", report) == 0
    return str(json.loads(report.read_text())["metrics"]["nfr"]["value"])


def test_what_cannot_be_judged_is_an_error_in_every_file(store, tmp_path, capsys):
    for name in ("r.json", "r.xml", "r.md"):
        (tmp_path / name).write_text("PASS of last week")
    assert gate(store, tmp_path, candidate=f"{NAME}@nobody") == 2
    error = capsys.readouterr().err
    found, report = verdicts(tmp_path, "! ERROR")
    assert found == {"ERROR"}
    assert error == f"Error: {report['sentence']}\n"


@pytest.mark.parametrize("file", ["r.json", "r.xml", "r.md"])
def test_an_output_that_cannot_be_written_keeps_production(store, tmp_path, capsys, file):
    (tmp_path / file).mkdir()
    before = store.state()
    assert gate(store, tmp_path, "lenient", "--promote") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert file in captured.err
    assert "cannot be written" in captured.err
    assert store.state() == before, "nothing moved and nothing was recorded"
    written = [path for path in tmp_path.iterdir() if path.is_file()]
    assert all("PASS" not in path.read_text() for path in written)
    assert not [path for path in written if path.suffix == ".tmp"]


def failing(monkeypatch, name, sentence):
    def fails(*_, **__):
        raise PctError(sentence)

    monkeypatch.setattr(f"pct_mlops.registry.{name}", fails)


@pytest.mark.parametrize(("name", "sentence"), [("record_decision", "The disk is full."), ("promote", "It moved.")])
def test_what_fails_before_the_move_keeps_production_and_is_an_error(
    store, tmp_path, capsys, monkeypatch, name, sentence
):
    failing(monkeypatch, name, sentence)
    assert gate(store, tmp_path, "lenient", "--promote") == 2
    printed = capsys.readouterr().out
    found, report = verdicts(tmp_path, printed)
    assert found == {"ERROR"}
    assert report["sentence"] == f"Judged PASS, but nothing was promoted: {sentence}"
    assert report["promotion"] == {"target": NAME, "reason": "", "override": False, "done": False}
    assert "Promoted" not in printed
    assert store.registry.aliases(NAME)["production"] == 1
    assert len(history(store.registry, NAME)) == 1
    tag = store.registry.resolve("digits/2").tags.get("gate.verdict")
    assert tag == ("ERROR" if name == "promote" else None), "no tag says PASS where the command said ERROR"


def test_production_that_moves_while_the_gate_judges_stays(store, tmp_path, capsys, monkeypatch):
    def moved_meanwhile(registry, *given, **more):
        if "production" in registry.aliases(NAME):
            registry.client.delete_registered_model_alias(NAME, "production")
        return record_decision(registry, *given, **more)

    monkeypatch.setattr("pct_mlops.registry.record_decision", moved_meanwhile)
    assert gate(store, tmp_path, "lenient", "--promote") == 2
    found, report = verdicts(tmp_path, capsys.readouterr().out)
    assert found == {"ERROR"}
    assert "nothing was promoted: Production of digits is gone since the gate judged" in report["sentence"]
    assert "production" not in store.registry.aliases(NAME)
    assert len(history(store.registry, NAME)) == 1


def test_a_promotion_that_breaks_off_after_the_move_says_where_production_is(store, tmp_path, capsys, monkeypatch):
    def breaks(registry, version, *_, **__):
        registry.client.set_registered_model_alias(NAME, PRODUCTION, str(version.version))
        raise PctError("The server is gone.")

    monkeypatch.setattr("pct_mlops.registry.promote", breaks)
    assert gate(store, tmp_path, "lenient", "--promote") == 2
    printed = capsys.readouterr().out
    found, report = verdicts(tmp_path, printed)
    assert found == {"ERROR"}
    assert report["sentence"] == (
        f"Judged PASS, but the promotion broke off after production had moved, run 'pct verify {NAME} --repair': "
        "The server is gone."
    )
    assert report["promotion"]["done"] is None
    printed = " ".join(printed.split())
    assert "Run 'pct verify digits' to see whether production moved." in printed
    assert "Not promoted" not in printed
    assert store.registry.resolve("digits/2").tags["gate.verdict"] == "PASS", "the record that the repair goes by"


def test_a_run_that_was_overtaken_by_one_of_the_same_candidate_says_so(store, tmp_path, capsys, monkeypatch):
    def overtaken(*given, **more):
        promote(*given, **more)
        return promote(*given, **more)

    monkeypatch.setattr("pct_mlops.registry.promote", overtaken)
    assert gate(store, tmp_path, "lenient", "--promote") == 2
    found, report = verdicts(tmp_path, capsys.readouterr().out)
    assert found == {"ERROR"}
    assert "models:/digits/2 is production already, and this run moved nothing more:" in report["sentence"]
    assert report["promotion"]["done"] is False
    assert [move.to_version for move in history(store.registry, NAME)] == [1, 2]
    assert store.registry.resolve("digits/2").tags["gate.verdict"] == "PASS", "what is in production passed"


def test_an_interrupted_promotion_says_where_production_is(store, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pct_mlops.registry.promote", interrupted)
    assert gate(store, tmp_path, "lenient", "--promote") == 2
    found, report = verdicts(tmp_path, capsys.readouterr().out)
    assert found == {"ERROR"}
    assert report["sentence"] == "Judged PASS, but nothing was promoted: interrupted."
    monkeypatch.setattr("pct_mlops.workflows.gating.gate_run.version_evidence", interrupted)
    assert gate(store, tmp_path, "lenient", "--promote") == 130
    assert not list(tmp_path.glob("r.*")), "and no file of an earlier run"


def test_a_file_that_vanishes_after_the_move_is_said(store, tmp_path, capsys, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    # In that module only: the registry renames files too.
    monkeypatch.setattr(
        "pct_mlops.workflows.runtime.atomic_files.os", SimpleNamespace(**{**vars(os), "replace": fails})
    )
    assert gate(store, tmp_path, "lenient", "--promote") == 2
    captured = capsys.readouterr()
    assert "models:/digits/2 is production now, but" in captured.err
    assert captured.out == ""


def test_a_file_that_cannot_be_put_in_its_place_makes_the_others_say_error(store, tmp_path, capsys, monkeypatch):
    def replace(source, target):
        if target.name == "r.xml":
            raise OSError(28, "No space left on device")
        os.replace(source, target)

    monkeypatch.setattr(
        "pct_mlops.workflows.runtime.atomic_files.os", SimpleNamespace(**{**vars(os), "replace": replace})
    )
    assert gate(store, tmp_path) == 2
    error = capsys.readouterr().err
    assert "r.xml cannot be written" in error
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["verdict"], f"Error: {report['sentence']}\n") == ("ERROR", error)
    assert "ERROR" in (tmp_path / "r.md").read_text()
    assert gate(store, tmp_path, "lenient", "--promote") == 2
    assert "models:/digits/2 is production now, but" in capsys.readouterr().err
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["verdict"], report["promotion"]["done"]) == ("PASS", True), "what can be written is"
    assert sorted(path.name for path in tmp_path.glob("*r.*")) == ["r.html", "r.json", "r.md"], "nothing is left aside"


def test_a_promotion_says_so_in_every_file(store, tmp_path, capsys):
    assert gate(store, tmp_path, "lenient", "--promote", "--reason", "weekly") == 0
    _, report = verdicts(tmp_path, capsys.readouterr().out)
    assert report["promotion"] == {"target": NAME, "reason": "weekly", "override": False, "done": True}
    assert "**Promoted: models:/digits/2 is production now.**" in (tmp_path / "r.md").read_text()
    assert history(store.registry, NAME)[-1].override is False
    path = history(store.registry, NAME)[-1].report.split("/", 2)[-1]
    kept = recorded(store, tmp_path, path)
    assert kept["promotion"]["done"] is None, "recorded before the move: the history has the last word"


def test_outputs_that_are_inputs_or_the_same_are_refused(store, tmp_path, capsys):
    policy = store.policy("lenient")
    assert store.pct("gate", "digits/2", "--policy", policy, "--json", policy) == 2
    assert "would be written over" in capsys.readouterr().err
    pinning = store.folder / "pinning.yaml"
    pinning.write_text("rules: [{metric: nfr, max: 0.9}]\npinned: {file: pinned.csv}")
    (store.folder / "pinned.csv").write_text("sample_id\n")
    for text in (pinning.read_text(), pinning.read_text().replace("0.9", "nine")):  # even by a policy that is no good
        pinning.write_text(text)
        assert store.pct("gate", "digits/2", "--policy", pinning, "--json", store.folder / "pinned.csv") == 2
        assert "pinned.csv is read and would be written over" in capsys.readouterr().err
        assert (store.folder / "pinned.csv").read_text() == "sample_id\n"
    assert store.pct("gate", "digits/2", "--policy", policy, "--json", "x", "--junit", "./x") == 2
    assert "the same file" in capsys.readouterr().err
    assert store.pct("gate", "digits/2", "--policy", policy, "--explorer-url", "javascript:x") == 2
    assert "not the address of an explorer" in capsys.readouterr().err


def test_a_link_stays_a_link_and_a_device_a_device(store, tmp_path):
    (tmp_path / "real.json").write_text("")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    policy = store.policy("lenient")
    assert (
        store.pct("gate", "digits/2", "--policy", policy, "--json", tmp_path / "link.json", "--junit", "/dev/null") == 0
    )
    assert json.loads((tmp_path / "real.json").read_text())["verdict"] == "PASS"
