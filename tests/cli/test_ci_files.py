"""What CI runs: the shell form for real, the workflows as far as they can be read, the webhook from end to end."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from tiny_store import NAME

from pct_mlops.cli import main
from pct_mlops.cli.judge import gate as gate_command
from pct_mlops.cli.main import pct

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "registry"))

from servers import free_port, mlflow_server  # noqa: E402

CI = ROOT / "projects" / "ci"
SECRET = "only for this test, not a real one"


@pytest.fixture
def program(tmp_path):
    """The pct of this source tree, as a program."""
    path = tmp_path / "pct"
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m pct_mlops "$@"\n')
    path.chmod(0o755)
    return path


def run_gate(folder, program, **settings):
    """gate.sh with these settings only."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment = {**kept, "OMP_NUM_THREADS": "1", "PCT_PROGRAM": str(program), **settings}
    command = ["bash", str(CI / "gate.sh")]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def on_one_store(store, **settings):
    return {"MLFLOW_TRACKING_URI": store.uri, "PCT_CANDIDATE": f"{NAME}/2", "PCT_REPORTS": "reports", **settings}


@pytest.mark.slow
def test_a_fail_moves_nothing_and_a_pass_promotes(store, program, tmp_path):
    summary, reports = tmp_path / "summary.md", store.folder / "reports"
    settings = on_one_store(store, GITHUB_STEP_SUMMARY=str(summary), PCT_PROMOTE="true", PCT_REASON="weekly; $(id)")
    explorer = {"PCT_EXPLORER_URL": "https://explorer.example/"}
    for policy, code, verdict, production in (("strict", 1, "FAIL", 1), ("lenient", 0, "PASS", 2)):
        done = run_gate(store.folder, program, **settings, **explorer, PCT_POLICY=store.policy(policy))
        assert done.returncode == code, done.stderr
        assert json.loads((reports / "gate.json").read_text())["verdict"] == verdict
        assert ElementTree.parse(reports / "gate.xml").getroot().tag == "testsuites"
        assert store.registry.aliases(NAME)["production"] == production
    told = summary.read_text()
    assert re.findall(r"^## . (\w+): digits/2 against digits/1$", told, re.MULTILINE) == ["FAIL", "PASS"]
    assert (reports / "gate.md").read_text() in told
    assert "https://explorer.example/?model=digits&old=1&new=2" in told
    report = json.loads((reports / "gate.json").read_text())
    assert report["promotion"]["reason"] == "weekly; $(id)"


RECORDER = """#!/bin/sh
printf '%s\\0' "$@" > words
exit "${RECORDED_CODE:-0}"
"""
HOSTILE = "x; touch y $(touch y) `touch y`\n-rf --promote"


@pytest.fixture
def recorder(tmp_path):
    """A program in pct's place that keeps its arguments."""
    path = tmp_path / "recorder"
    path.write_text(RECORDER)
    path.chmod(0o755)
    return path


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
def test_a_hostile_candidate_is_an_error_that_moves_nothing(store, program):
    before = sorted(store.folder.iterdir())
    settings = on_one_store(store, PCT_CANDIDATE="x; touch y", PCT_POLICY=store.policy("lenient"), PCT_PROMOTE="true")
    done = run_gate(store.folder, program, **settings)
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


WORKFLOWS = ("gate.yml", "example-caller.yml")


def steps_of(workflow):
    return [step for job in workflow["jobs"].values() for step in job.get("steps", ())]


@pytest.mark.parametrize("file", WORKFLOWS)
def test_workflows_paste_nothing_into_a_shell(file):
    workflow = yaml.safe_load((CI / file).read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for step in steps_of(workflow):
        assert "${{" not in step.get("run", "")
        assert "uses" not in step or re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]), "a tag may be moved"


def test_the_caller_and_the_workflow_fit():
    """`on` reads as the boolean True in YAML 1.1."""
    called = yaml.safe_load((CI / "gate.yml").read_text())
    inputs, secrets = called[True]["workflow_call"]["inputs"], called[True]["workflow_call"]["secrets"]
    caller = yaml.safe_load((CI / "example-caller.yml").read_text())
    assert set(caller[True]) == {"pull_request", "push", "workflow_dispatch", "repository_dispatch"}
    calls = {name: job for name, job in caller["jobs"].items() if "uses" in job}
    assert {name: job["with"].get("promote", False) for name, job in calls.items()} == {"judge": False, "promote": True}
    for job in calls.values():
        assert set(job["with"]) <= set(inputs)
        assert {name for name, item in inputs.items() if item.get("required")} <= set(job["with"])
        assert job["secrets"] == "inherit" or set(job["secrets"]) == set(secrets)
    text = (CI / "gate.yml").read_text()
    assert set(re.findall(r"\binputs\.(\w+)", text)) == set(inputs)
    assert set(re.findall(r"\bsecrets\.(\w+)", text)) == set(secrets)
    (judge,) = [step for step in steps_of(called) if step.get("name") == "Judge"]
    read = set(re.findall(r"\$\{(PCT_\w+)", (CI / "gate.sh").read_text())) | {"PCT_EXPLORER_URL"}
    assert {name for name in judge["env"] if name.startswith("PCT_")} == read - {"PCT_PROGRAM"}


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


@pytest.fixture(scope="module")
def receiver():
    spec = importlib.util.spec_from_file_location("webhook_receiver", CI / "webhook_receiver.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def delivery(version="7", *, name="shoes", at=1000, secret=SECRET, key="d1", event=("model_version", "created")):
    """Headers and body as MLflow makes them."""
    from mlflow.webhooks.delivery import _generate_hmac_signature

    body = json.dumps({"entity": event[0], "action": event[1], "data": {"name": name, "version": version}})
    signature = _generate_hmac_signature(secret, key, str(at), body)
    headers = {"X-MLflow-Signature": signature, "X-MLflow-Timestamp": str(at), "X-MLflow-Delivery-Id": key}
    return headers, body.encode()


def test_only_fresh_signed_deliveries_of_listed_models_are_taken(receiver):
    inbox = receiver.Inbox(SECRET, {"shoes": ""})
    headers, body = delivery()
    refused = [
        ({}, body, 1000),
        ({**headers, "X-MLflow-Signature": "v1,é"}, body, 1000),
        (headers, body + b" ", 1000),
        ({**headers, "X-MLflow-Timestamp": "1001"}, body, 1000),
        ({**headers, "X-MLflow-Delivery-Id": "d2"}, body, 1000),
        (*delivery(secret="another secret"), 1000),
        (headers, body, 1301),
        (headers, body, 699),
        (*delivery(at="１０００"), 1000),
    ]
    assert [inbox.receive(*item)[0] for item in refused] == [401] * len(refused)
    ignored = [delivery(event=("model_version", "deleted")), delivery(name="boots"), delivery(name="shoes; touch y")]
    assert [inbox.receive(*item, 1000)[0] for item in ignored] == [200] * 3
    bad = [delivery("1; touch y"), delivery("0"), delivery("../7"), delivery("٧"), delivery(event=([], {}))]
    assert [inbox.receive(*item, 1000)[0] for item in bad] == [400, 400, 400, 400, 200]
    assert inbox.waiting.empty()
    assert inbox.receive(headers, body, 1300)[0] == 202
    assert inbox.receive(headers, body, 1300) == (200, "taken before")
    assert inbox.waiting.get_nowait() == ("shoes", "7")
    assert inbox.waiting.empty()


def test_signed_nonsense_is_refused(receiver):
    from mlflow.webhooks.delivery import _generate_hmac_signature

    inbox = receiver.Inbox(SECRET, {"shoes": ""})
    for body in ("", "[]", "7", "{}", '{"entity": "model_version", "action": "created", "data": 3}', "[" * 50_000):
        signature = _generate_hmac_signature(SECRET, "d", "1000", body)
        headers = {"X-MLflow-Signature": signature, "X-MLflow-Timestamp": "1000", "X-MLflow-Delivery-Id": "d"}
        assert inbox.receive(headers, body.encode(), 1000)[0] == 400
    assert inbox.waiting.empty()


def test_a_full_line_asks_to_come_again(receiver):
    inbox = receiver.Inbox(SECRET, {"shoes": ""})
    for index in range(receiver.MAX_WAITING):
        assert inbox.receive(*delivery(str(index + 1), key=f"d{index}"), 1000)[0] == 202
    assert inbox.receive(*delivery("999", key="late"), 1000)[0] == 503
    inbox.waiting.get_nowait()
    assert inbox.receive(*delivery("999", key="late"), 1000)[0] == 202, "MLflow's retry is no replay"


@pytest.mark.parametrize("text", ["a b", "a=b;c", "../a", "a=b=c", "-a"])
def test_a_list_of_models_is_checked(receiver, text):
    assert receiver.allowed_models("shoes-candidates=shoes, boots") == {"shoes-candidates": "shoes", "boots": ""}
    with pytest.raises(SystemExit, match="PCT_WEBHOOK_MODELS"):
        receiver.allowed_models(text)


def test_it_listens_on_loopback_unless_told_otherwise(receiver):
    assert receiver.address("8710") == ("127.0.0.1", 8710)
    assert receiver.address("0.0.0.0:80") == ("0.0.0.0", 80)
    for text in ("", "localhost", "localhost:", ":8710", "localhost:99999", "::1:80"):
        with pytest.raises(SystemExit, match="PCT_WEBHOOK_LISTEN"):
            receiver.address(text)


def test_bodies_are_bounded(receiver):
    server = ThreadingHTTPServer(("127.0.0.1", 0), receiver.handler(receiver.Inbox(SECRET, {"shoes": ""})))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        statuses = []
        for length in (str(receiver.MAX_BODY + 1), "-1", "many", "2"):
            connection = HTTPConnection("127.0.0.1", server.server_port, timeout=5)
            connection.putrequest("POST", "/")
            connection.putheader("Content-Length", length)
            connection.endheaders(b"{}")
            statuses.append(connection.getresponse().status)
            connection.close()
        assert statuses == [413, 413, 413, 401]
        headers, body = delivery(at=int(time.time()))
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=5)
        connection.request("POST", "/", body, {name.lower(): value for name, value in headers.items()})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (202, b"shoes/7 waits for the gate"), "proxies change letters' case"
        connection.close()
    finally:
        server.shutdown()
        server.server_close()


def test_the_gate_gets_the_version_and_no_secret(receiver, tmp_path, monkeypatch):
    script = tmp_path / "gate.sh"
    script.write_text('env > "$HOME/seen"\nexit 3\n')
    monkeypatch.setattr(receiver, "GATE", script)
    for name, value in {"HOME": tmp_path, "PCT_WEBHOOK_SECRET": SECRET, "PCT_REPORTS": "", "PCT_INTO": "x"}.items():
        monkeypatch.setenv(name, str(value))
    models = receiver.allowed_models("shoes-candidates=shoes,boots")
    for name, into in (("shoes-candidates", "shoes"), ("boots", "")):
        assert receiver.judge(receiver.Inbox(SECRET, models), name, "7") == 3
        seen = (tmp_path / "seen").read_text().splitlines()
        assert f"PCT_CANDIDATE={name}/7" in seen
        assert f"PCT_INTO={into}" in seen
        assert f"PCT_REPORTS=test-results/{name}/7" in seen
        assert not [line for line in seen if SECRET in line]


@pytest.mark.thorough
def test_a_new_version_is_judged_through_the_webhook(empty, program, tmp_path):
    """A real server, its webhook, the receiver as a process, and the gate, which here promotes too."""
    from cryptography.fernet import Fernet
    from mlflow import MlflowClient

    from pct_mlops.config import Recipe
    from pct_mlops.pipeline.train import train

    listen = f"127.0.0.1:{free_port()}"
    allowed = {
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    }
    with mlflow_server(empty.folder, **allowed) as address:
        settings = {
            **os.environ,
            **{"PCT_WEBHOOK_SECRET": SECRET, "PCT_WEBHOOK_MODELS": "digits", "PCT_WEBHOOK_LISTEN": listen},
            **{"PCT_PROGRAM": str(program), "PCT_POLICY": empty.policy("lenient"), "PCT_REPORTS": "reports"},
            **{"MLFLOW_TRACKING_URI": address, "PCT_PROMOTE": "true", "OMP_NUM_THREADS": "1"},
        }
        command = [sys.executable, str(CI / "webhook_receiver.py")]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, env=settings, cwd=empty.folder, stderr=log)
        try:
            client = MlflowClient(address, address)
            hook = client.create_webhook("judge", f"http://{listen}/", ["model_version.created"], secret=SECRET)
            tried = client.test_webhook(hook.webhook_id)
            assert (tried.success, tried.response_status, tried.response_body) == (True, 200, "another model")
            for version, verdict in (("1", "BOOTSTRAP"), ("2", "PASS")):
                recipe = Recipe.read(empty.recipe, ["optim.epochs=1", f"seed.model={version}"])
                train(recipe, tracking_uri=address)
                ended = f"digits/{version}: the gate ended with code 0"
                wait_until(lambda: ended in (tmp_path / "log").read_text() or process.poll() is not None)  # noqa: B023
                assert ended in (tmp_path / "log").read_text()
                report = json.loads((empty.folder / "reports" / "digits" / version / "gate.json").read_text())
                assert report["verdict"] == verdict
                assert client.get_model_version_by_alias(NAME, "production").version == version
        finally:
            process.terminate()
            process.wait(10)


def wait_until(holds):
    deadline = time.monotonic() + 60
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert holds()


def test_the_readme_says_what_the_gate_says(capsys):
    assert main(["gate", "--help"]) == 0
    assert "3: inconclusive" in " ".join(capsys.readouterr().out.split())
    text = (CI / "README.md").read_text()
    linked = re.findall(r"\]\(([\w.-]+)\)", text)
    files = {path.name for path in CI.iterdir() if path.is_file()}
    assert set(linked) == files - {"README.md"}, "all of them, and none that is not there"
    for name in re.findall(r"`(PCT_[A-Z_]+)`", text):
        assert name in (CI / "gate.sh").read_text() + (CI / "webhook_receiver.py").read_text()
