"""`pct verify`, `history` and `rollback` over moves that were cut off, made by hand, or made against a verdict."""

from __future__ import annotations

import pytest
from tiny_store import NAME

from pct_mlops.config.commands import train_command
from pct_mlops.registry import history, production, promote


def says(store, capsys, code, *words):
    capsys.readouterr()
    assert store.pct(*words) == code
    return capsys.readouterr().out


def test_verify_tells_what_was_cut_off_and_mends_it(store, capsys, monkeypatch):
    registry = store.registry
    monkeypatch.setattr(production, "append", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        promote(registry, registry.get(NAME, 2), registry.get(NAME, 1), verdict="PASS", policy_digest="", override=True)
    monkeypatch.undo()
    monkeypatch.setattr("pct_mlops.registry.lock._lease_of", lambda held, otherwise: 0.0)
    text = says(store, capsys, 1, "verify", NAME)
    assert "A move of digits from version 1 to version 2 (PASS, by" in text
    assert "production is the new one, version 2: --repair completes the record" in text
    text = says(store, capsys, 0, "verify", NAME, "--repair")
    assert text.startswith("Production of digits is version 2, where its last recorded move put it (")
    assert says(store, capsys, 0, "verify", NAME) == text
    assert "PASS (override)" in says(store, capsys, 0, "history", NAME)
    assert says(store, capsys, 0, "rollback", NAME, "--reason", "night images")


def test_verify_adopts_what_was_moved_by_hand(store, capsys):
    store.registry.client.set_registered_model_alias(NAME, "production", "2")
    assert "it was moved past the gate; move it back, or adopt it with --adopt" in says(
        store, capsys, 1, "verify", NAME
    )
    assert "moved past the gate" in says(store, capsys, 1, "verify", NAME, "--repair")
    words = ("--policy", store.policy("lenient"), "--promote")
    assert store.pct("gate", f"{NAME}/1", *words) == 2
    # Whatever the gate printed before, and wherever its lines broke.
    printed = " ".join("".join(capsys.readouterr()).split())
    assert "see 'pct verify digits' before anything else is moved" in printed
    text = says(store, capsys, 0, "verify", NAME, "--adopt", "--reason", "CI was down")
    assert text.startswith("Adopted: moves of production of digits go on from here.\nProduction of digits is version 2")
    assert history(store.registry, NAME)[-1].verdict == "ADOPTED"
    assert store.pct("gate", f"{NAME}/1", *words) == 0
    store.registry.client.delete_registered_model_alias(NAME, "production")
    assert store.pct("verify", NAME, "--adopt", "--reason", "taken down") == 0
    table = says(store, capsys, 0, "history", NAME)
    assert table.splitlines()[-1].split()[2:5] == ["1", "-", "ADOPTED"]


def test_reasons_are_shown_as_text_and_blank_ones_are_none(store, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    registry = store.registry
    reason = "see [/docs] \x1b[31m"
    promote(registry, registry.get(NAME, 2), registry.get(NAME, 1), verdict="PASS", policy_digest="", reason=reason)
    assert says(store, capsys, 0, "history", NAME).rstrip().endswith("see [/docs] \ufffd[31m")
    assert store.pct("rollback", NAME, "--reason", "") == 2
    assert "A rollback needs a reason: give one with --reason." in capsys.readouterr().err
    registry.client.set_registered_model_alias(NAME, "production", "1")
    assert store.pct("verify", NAME, "--adopt", "--reason", " ") == 2
    assert "An adoption needs a reason" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--adopt",), ("--reason", "why"), ("--adopt", "--repair", "--reason", "why")])
def test_options_that_do_not_go_together(shared_store, capsys, words):
    assert shared_store.pct("verify", NAME, *words) == 2
    assert "belong together, and --repair stands alone" in capsys.readouterr().err


def test_versions_are_listed_with_aliases_and_accuracy(store, capsys):
    lines = says(store, capsys, 0, "history", NAME, "--versions").splitlines()
    tags = {version.version: version.tags for version in store.registry.versions(NAME)}
    assert [line.split()[:3] for line in lines[1:3]] == [["2", "candidate", "ldi"], ["1", "production", "none"]]
    for number, line in ((2, lines[1]), (1, lines[2])):
        assert line.split()[3:5] == [f"{float(tags[number][f'pct.{split}/accuracy']):.2%}" for split in ("val", "test")]
    assert max(map(len, lines)) <= 80


def test_a_missing_version_is_said_with_the_store_and_those_that_exist(store, capsys):
    assert store.pct("history", NAME) == 0
    assert store.pct("score", f"{NAME}/9") == 2
    assert (
        f"digits has no version 9 in {store.uri} (it has digits/2, digits/1): name one of these; "
        "'pct history digits --versions' lists them."
    ) in capsys.readouterr().err
    assert store.pct("score", f"{NAME}@nobody") == 2
    assert f"digits has no alias 'nobody' in {store.uri} (it has @candidate, @production)" in capsys.readouterr().err


def test_errors_name_a_command_that_works_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train_command() == "'pct train RECIPE --loss none'"
    (tmp_path / "MLproject").write_text("name: pct")
    assert train_command("cna") == "'mlflow run . -P loss=cna'"
