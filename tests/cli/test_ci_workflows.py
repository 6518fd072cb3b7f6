"""The workflows, run as GitHub runs them as near as that goes without it: each event, from its words to production."""

from __future__ import annotations

import json
import os
import re
import shutil
from xml.etree import ElementTree

import pytest
from ci_programs import CI, HOSTILE, made, pct_program
from github_expressions import evaluate, fill
from github_runner import GitHub, read
from tiny_store import POLICIES

from pct_mlops.registry import history

REPOSITORY = "me/shoes"
SECRETS = {"PCT_TRACKING_URI": "the registry", "PCT_JUDGE_USERNAME": "judge", "PCT_JUDGE_PASSWORD": "secret"}
PRODUCTION = {f"MLFLOW_TRACKING_{key}": f"of production: {key}" for key in ("URI", "USERNAME", "PASSWORD")}
STEPS = ("actions/checkout", "actions/setup-python", "Install pct", "Judge", "Publish JUnit, JSON and Markdown")


def recording(folder, *more):
    """A script that keeps its arguments in `folder`, and what it sees of the registry."""
    told = 'printf "%s|%s" "$MLFLOW_TRACKING_URI" "$MLFLOW_TRACKING_USERNAME" > ' + f"'{folder}/asked'"
    return "\n".join(
        ["#!/bin/bash", f"mkdir -p '{folder}'", f"printf '%s\\0' \"$@\" > '{folder}/words'", told, *more, ""]
    )


@pytest.fixture
def github(tmp_path):
    """A repository with both workflows, gate.sh and a policy; programs stand in for python, gh and pct."""
    committed, programs, scratch = (tmp_path / name for name in ("committed", "programs", "scratch"))
    workflows, policies = committed / ".github" / "workflows", committed / "projects" / "fashion_mnist"
    for folder in (workflows, policies, programs, scratch):
        folder.mkdir(parents=True)
    shutil.copy(CI / "gate.yml", workflows)
    (policies / "policy.yaml").write_text(json.dumps(POLICIES["strict"]))
    (committed / "projects" / "ci").mkdir()
    shutil.copy(CI / "gate.sh", committed / "projects" / "ci")
    shutil.copy(CI / "example-caller.yml", workflows / "model.yml")
    made(programs / "python", recording(tmp_path / "python"))
    made(programs / "gh", recording(tmp_path / "gh", f"cp gate.md '{tmp_path}/gh'"))
    written = [f"echo {end} > test-results/gate.{end}" for end in ("json", "xml", "md")]
    made(programs / "pct", recording(tmp_path / "pct", *written, f"exit $(cat '{tmp_path}/code')"))
    (tmp_path / "code").write_text("0")
    return GitHub(committed, scratch, f"{programs}:{os.environ['PATH']}", SECRETS, {"production": PRODUCTION})


def words(folder, program):
    return (folder / program / "words").read_text().split("\0")[:-1]


def happening(name, **more):
    ref = "refs/pull/7/merge" if name == "pull_request" else "refs/heads/main"
    given = {"event_name": name, "ref": ref, "sha": "f00d", "repository": REPOSITORY, "token": "t", "event": {}}
    return {**given, **more}


def pull_request(head=REPOSITORY):
    return happening("pull_request", event={"pull_request": {"number": 7, "head": {"repo": {"full_name": head}}}})


def heading(job):
    """Verdict and versions of each judgement in the summary; Markdown's own signs are marked with a backslash there."""
    return re.findall(r"^## . (\w+): (.*)$", job.summary.replace("\\-", "-"), re.MULTILINE)


def ended(jobs):
    return {name: job.conclusion for name, job in jobs.items()}


@pytest.mark.slow
def test_a_pull_request_is_judged_and_main_promotes(github, store, tmp_path):
    client, shoes = store.registry.client, github.committed / ".github" / "workflows" / "model.yml"
    for version, name, alias in ((1, "shoes", "production"), (2, "shoes-candidates", "candidate")):
        client.copy_model_version(f"models:/digits/{version}", name)
        client.set_registered_model_alias(name, alias, "1")
    github.secrets = {**SECRETS, "PCT_TRACKING_URI": store.uri}
    github.environments = {"production": {**PRODUCTION, "MLFLOW_TRACKING_URI": store.uri}}
    pct_program(tmp_path / "programs")
    shoes.write_text(
        shoes.read_text().replace("into: shoes", "into: shoes\n      explorer_url: https://explorer.example")
    )

    jobs = github.event("model.yml", pull_request())
    assert ended(jobs) == {"judge": "failure", "promote": "skipped", "comment": "success"}, jobs["judge"].log
    assert jobs["judge"].steps == dict(zip(STEPS, ("success", "success", "success", "failure", "success"), strict=True))
    reports = github.artifacts["promotion-gate"]
    assert json.loads(reports["gate.json"])["verdict"] == "FAIL"
    assert ElementTree.fromstring(reports["gate.xml"]).tag == "testsuites"
    assert (tmp_path / "gh" / "gate.md").read_bytes() == reports["gate.md"], "what the comment says"
    assert jobs["judge"].summary == reports["gate.md"].decode() + "\n"
    assert heading(jobs["judge"]) == [("FAIL", "shoes-candidates/1 against shoes/1")]
    assert store.registry.aliases("shoes") == {"production": 1}
    assert len(store.registry.versions("shoes")) == 1, "and nothing was copied"

    (github.committed / "projects" / "fashion_mnist" / "policy.yaml").write_text(json.dumps(POLICIES["lenient"]))
    jobs = github.event("model.yml", happening("push", sha="f00d; $(touch y)"))
    assert ended(jobs) == {"judge": "skipped", "promote": "success", "comment": "skipped"}, jobs["promote"].log
    assert heading(jobs["promote"]) == [("PASS", "shoes-candidates/1 against shoes/1")]
    assert "https://explorer.example/?model=shoes&old=1&new=1&new_model=shoes-candidates" in jobs["promote"].summary
    assert store.registry.aliases("shoes") == {"production": 2, "previous": 1}
    (move,) = history(store.registry, "shoes")
    assert (move.from_version, move.to_version, move.verdict, move.reason) == (1, 2, "PASS", "commit f00d; $(touch y)")
    report = json.loads(github.artifacts["promotion-gate"]["gate.json"])
    assert report["promotion"]["reason"] == move.reason


JUDGING, COMMENTED = {"judge": "success", "promote": "skipped"}, {"comment": "success"}
SILENT, PROMOTING = {"comment": "skipped"}, {"judge": "skipped", "promote": "success", "comment": "skipped"}


@pytest.mark.parametrize(
    ("event", "inputs", "conclusions", "candidate"),
    [
        (pull_request(), {}, JUDGING | COMMENTED, "shoes-candidates@candidate"),
        (pull_request("a/fork"), {}, JUDGING | SILENT, "shoes-candidates@candidate"),
        (happening("workflow_dispatch"), {"candidate": "shoes-candidates/4"}, JUDGING | SILENT, "shoes-candidates/4"),
        (
            happening("repository_dispatch", event={"client_payload": {"candidate": "shoes-candidates/7; touch y"}}),
            {},
            JUDGING | SILENT,
            "shoes-candidates/7; touch y",
        ),
        (happening("push"), {}, PROMOTING, "shoes-candidates@candidate"),
    ],
)
def test_each_event_judges_and_main_alone_promotes(github, tmp_path, event, inputs, conclusions, candidate):
    is_fork, promotes = "a/fork" in str(event), event["event_name"] == "push"
    github.secrets = {} if is_fork else SECRETS
    jobs = github.event("model.yml", event, inputs)
    assert ended(jobs) == conclusions
    job = jobs["promote" if promotes else "judge"]
    assert job.steps == dict.fromkeys(STEPS, "success")
    assert words(tmp_path, "python") == ["-m", "pip", "install", "--quiet", "--", "."]
    outputs = ("--json=test-results/gate.json", "--junit=test-results/gate.xml", "--markdown=test-results/gate.md")
    given = ["gate", "--policy=projects/fashion_mnist/policy.yaml", *outputs]
    moved = ["--reason=commit f00d", "--into=shoes", "--promote"] if promotes else ["--into=shoes"]
    assert words(tmp_path, "pct") == [*given, *moved, "--", candidate]
    asked = "of production: URI|of production: USERNAME" if promotes else "|" if is_fork else "the registry|judge"
    assert (tmp_path / "pct" / "asked").read_text() == asked
    group = "pct-gate-promote-shoes" if promotes else f"pct-gate-{event['ref']}-{candidate}-shoes"
    assert job.group == group
    assert job.summary == "md\n\n"
    if conclusions["comment"] == "success":
        given = ["pr", "comment", "7", "--body-file", "gate.md", "--edit-last", "--create-if-none"]
        assert words(tmp_path, "gh") == given
        assert (tmp_path / "gh" / "asked").read_text() == "|", "what may write comments has no key to the registry"


def test_other_branches_and_events_start_nothing(github):
    assert github.event("model.yml", happening("push", ref="refs/heads/other")) == {}
    assert github.event("model.yml", happening("release")) == {}
    assert github.event("gate.yml", happening("push")) == {}, "it is only ever called"


@pytest.mark.parametrize("code", [1, 2, 3, 137])
def test_whatever_is_no_yes_is_red_and_its_reports_are_kept(github, tmp_path, code):
    (tmp_path / "code").write_text(str(code))
    jobs = github.event("model.yml", pull_request())
    assert ended(jobs) == {"judge": "failure", "promote": "skipped", "comment": "success"}
    assert set(github.artifacts["promotion-gate"]) == {"gate.json", "gate.xml", "gate.md"}
    made(tmp_path / "programs" / "python", "#!/bin/sh\nexit 1\n")
    judge = github.event("model.yml", pull_request())["judge"]
    assert (judge.conclusion, judge.steps["Judge"], judge.steps[STEPS[-1]]) == ("failure", "skipped", "success")
    assert github.artifacts == {}


def calling(**given):
    return {"uses": "./.github/workflows/gate.yml", "with": {"candidate": "shoes/2", **given}, "secrets": "inherit"}


def test_hostile_inputs_stay_single_words(github, tmp_path):
    kept = ("candidate", "policy", "reason", "into", "install")
    called = calling(**dict.fromkeys(kept, HOSTILE), explorer_url=HOSTILE, artifact=HOSTILE)
    assert github.call(called, {"github": happening("push"), "inputs": {}}).conclusion == "success"
    assert words(tmp_path, "python") == ["-m", "pip", "install", "--quiet", "--", HOSTILE]
    assert [word for word in words(tmp_path, "pct") if HOSTILE in word] == [
        *(f"--{name}={HOSTILE}" for name in ("policy", "reason", "into")),
        HOSTILE,
    ]
    assert list(github.artifacts) == [HOSTILE]
    called = calling(script="projects/ci/gate.sh; touch y")
    ended = github.call(called, {"github": happening("push"), "inputs": {}})
    assert ended.steps["Judge"] == "failure"
    assert "gate.sh; touch y: No such file" in ended.log
    assert list(tmp_path.rglob("y")) == [], "nothing of it was run"


@pytest.mark.parametrize(
    ("called", "says"),
    [
        (calling(candidates="shoes/2"), "not declared: {'candidates'}"),
        ({**calling(), "with": {"policy": "policy.yaml"}}, "required: candidate"),
        (calling(promote="true"), "of another type: promote"),
        ({**calling(), "secrets": {"MLFLOW_TOKEN": "x"}}, "not declared: {'MLFLOW_TOKEN'}"),
    ],
)
def test_a_call_that_does_not_fit_is_noticed(github, called, says):
    with pytest.raises(AssertionError, match=says):
        github.call(called, {"github": happening("push"), "inputs": {}})


EMPTY = {"github": {"event_name": "push", "event": {"number": 7}}, "inputs": {"promote": True, "into": ""}}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("inputs.promote && 'promote' || format('{0}-{1}', github.ref, 1)", "promote"),
        ("inputs.into && 'promote' || format('{{{0}}}-{1}', github.nothing.at.all, 1)", "{}-1"),
        ("inputs.into || 0 || null", None),
        ("github.event && 'there'", "there"),
        ("github.event.NUMBER == '7'", True),
        ("github.event_name == 'PUSH' && !(github.event_name != 'push')", True),
        ("!inputs.into == true", True),
        ("null == 0 && '' == 0 && true == 1 && '1' == true", True),
        ("'a' == 0 || 'true' == true || github.event == github.event.number", False),
        ("'It''s' == 'it''S'", True),
    ],
)
def test_expressions_mean_what_they_mean_on_github(expression, value):
    found = evaluate(expression, EMPTY)
    assert found == value
    assert type(found) is type(value)


def test_what_github_would_not_take_is_not_taken(github):
    assert fill("${{ inputs.promote }}, ${{ inputs.into }}.", EMPTY) == "true, ."
    assert fill({"a": "${{ inputs.promote }}"}, EMPTY) == {"a": True}
    for wrong in ("${{ secrets.A }}", "${{ inputs.promote", "${{ inputs. }}", "${{ 1 == 1 == 1 }}", "${{ toJSON(1) }}"):
        with pytest.raises((AssertionError, NameError, SyntaxError)):
            fill(wrong, EMPTY)
    file = github.committed / "twice.yml"
    file.write_text("on: push\nenv: {a: yes, b: 1}\nenv: {a: no}\n")
    with pytest.raises(AssertionError, match="there twice"):
        read(file)
    file.write_text("on: push\nenv: {a: yes, b: 1.10, c: true, d: ~}\n")
    assert read(file) == {"on": "push", "env": {"a": "yes", "b": 1.1, "c": True, "d": None}}


@pytest.mark.parametrize("file", ["gate.yml", "example-caller.yml"])
def test_workflows_may_read_only_and_take_actions_by_commit(file):
    workflow = read(CI / file)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        for step in job.get("steps", ()):
            assert "${{" not in step.get("run", ""), "pasted into a shell"
            assert "uses" not in step or re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]), (
                "a tag may be moved"
            )


def test_all_that_is_declared_is_used():
    text, called = (CI / "gate.yml").read_text(), read(CI / "gate.yml")
    interface = called["on"]["workflow_call"]
    assert set(re.findall(r"\binputs\.(\w+)", text)) == set(interface["inputs"])
    assert set(re.findall(r"\bsecrets\.(\w+)", text)) == set(interface["secrets"])
    (judge,) = [step for step in called["jobs"]["gate"]["steps"] if step.get("name") == "Judge"]
    read_by_script = set(re.findall(r"\$\{(PCT_\w+)", (CI / "gate.sh").read_text())) | {"PCT_EXPLORER_URL"}
    assert {name for name in judge["env"] if name.startswith("PCT_")} == read_by_script - {"PCT_PROGRAM"}
