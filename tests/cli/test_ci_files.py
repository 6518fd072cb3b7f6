"""What CI runs: the shell form, whatever its settings are, and what the descriptions say of it."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from ci_programs import CI, HOSTILE, made, pct_program
from tiny_store import NAME

from pct_mlops.cli import main
from pct_mlops.cli.gate import gate as gate_command
from pct_mlops.cli.main import pct


def run_gate(folder, program, **settings):
    """gate.sh with these settings only."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment = {**kept, "OMP_NUM_THREADS": "1", "PCT_PROGRAM": str(program), **settings}
    command = ["bash", str(CI / "gate.sh")]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def on_one_store(store, **settings):
    return {"MLFLOW_TRACKING_URI": store.uri, "PCT_CANDIDATE": f"{NAME}/2", "PCT_REPORTS": "reports", **settings}


RECORDER = """#!/bin/sh
printf '%s\\0' "$@" > words
exit "${RECORDED_CODE:-0}"
"""


@pytest.fixture
def recorder(tmp_path):
    """A program in pct's place that keeps its arguments."""
    return made(tmp_path / "recorder", RECORDER)


@pytest.mark.parametrize("candidate", ["x; touch y", HOSTILE, "--promote", "-h"])
def test_hostile_settings_stay_single_words(recorder, tmp_path, candidate):
    settings = {"PCT_CANDIDATE": candidate, "PCT_REASON": HOSTILE, "PCT_INTO": "--override", "PCT_POLICY": "a b;c"}
    assert run_gate(tmp_path, recorder, **settings).returncode == 0
    words = (tmp_path / "words").read_text().split("\0")[:-1]
    outputs = [f"--{kind}=test-results/gate.{end}" for kind, end in (("json", "json"), ("junit", "xml"))]
    assert words == [
        *("gate", "--policy=a b;c", *outputs, "--markdown=test-results/gate.md"),
        *(f"--reason={HOSTILE}", "--into=--override", "--", candidate),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recorder", "test-results", "words"]


@pytest.mark.slow
def test_a_hostile_candidate_is_an_error_that_moves_nothing(store, tmp_path):
    before = sorted(store.folder.iterdir())
    settings = on_one_store(store, PCT_CANDIDATE="x; touch y", PCT_POLICY=store.policy("lenient"), PCT_PROMOTE="true")
    done = run_gate(store.folder, pct_program(tmp_path), **settings)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert sorted(store.folder.iterdir()) == sorted([*before, store.folder / "reports"])
    assert store.registry.aliases(NAME)["production"] == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"PCT_CANDIDATE": ""}, "PCT_CANDIDATE is empty"),
        ({"PCT_PROMOTE": "yes"}, "set it to true or false"),
        ({"PCT_PROGRAM": "no-such-program"}, "install pct-mlops"),
        ({"PCT_REPORTS": "recorder/below"}, "cannot be written"),
        ({"RECORDED_CODE": "137"}, "ended with code 137"),
    ],
)
def test_what_cannot_start_is_an_error_and_never_a_no(recorder, tmp_path, settings, said):
    stale = tmp_path / "test-results" / "gate.xml"
    stale.parent.mkdir()
    stale.write_text("PASS of last week")
    done = run_gate(tmp_path, recorder, **{"PCT_CANDIDATE": "shoes/2", **settings})
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert stale.exists() == ("PCT_REPORTS" in settings)


def test_a_summary_that_cannot_be_written_changes_no_verdict(recorder, tmp_path):
    recorder.write_text("#!/bin/sh\ntouch test-results/gate.md\nexit 1\n")
    done = run_gate(tmp_path, recorder, PCT_CANDIDATE="shoes/2", GITHUB_STEP_SUMMARY=str(tmp_path))
    assert done.returncode == 1
    assert "summary" in done.stderr


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_the_exit_code_is_that_of_the_gate(recorder, tmp_path, code):
    assert run_gate(tmp_path, recorder, PCT_CANDIDATE="shoes/2", RECORDED_CODE=str(code)).returncode == code


def test_every_flag_exists():
    known = {option for parameter in gate_command.params for option in parameter.opts}
    script = (CI / "gate.sh").read_text()
    used = set(re.findall(r"[( ](--[a-z-]+)[=)]", script))
    assert used == {"--policy", "--json", "--junit", "--markdown", "--reason", "--into", "--promote"}
    assert used <= known
    commands = [
        (verb, rest)
        for file in ("README.md", "SEPARATION.md")
        for verb, rest in re.findall(r"\bpct ([a-z]+)([^`\n]*)", (CI / file).read_text())
        if verb in pct.commands
    ]
    assert {verb for verb, _ in commands} == {"gate", "review", "rollback", "score", "train", "verify"}
    for verb, rest in commands:
        known = {option for parameter in pct.commands[verb].params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known, (verb, rest)


def test_the_readme_says_what_the_gate_says(capsys):
    assert main(["gate", "--help"]) == 0
    assert "3: inconclusive" in " ".join(capsys.readouterr().out.split())
    text = (CI / "README.md").read_text()
    linked = re.findall(r"\]\(([\w.-]+)\)", text)
    files = {path.name for path in CI.iterdir() if path.is_file()}
    assert set(linked) == files - {"README.md"}, "all of them, and none that is not there"
    for name in re.findall(r"`(PCT_[A-Z_]+)`", text):
        assert name in (CI / "gate.sh").read_text() + (CI / "webhook_receiver.py").read_text()
