"""The receiver of the registry's webhook: what it takes, what it refuses, and what it starts."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer

import pytest
from ci_programs import CI, ROOT, pct_program
from tiny_store import NAME

sys.path.insert(0, str(ROOT / "tests" / "registry"))

from servers import free_port, mlflow_server

SECRET = "only for this test, not a real one"


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
def test_a_new_version_is_judged_through_the_webhook(empty, tmp_path):
    """A real server, its webhook, the receiver as a process, and the gate, which here promotes too."""
    from cryptography.fernet import Fernet
    from mlflow import MlflowClient

    from pct_mlops.config import Recipe
    from pct_mlops.workflows.training.train import train

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
            **{
                "PCT_PROGRAM": str(pct_program(tmp_path)),
                "PCT_POLICY": empty.policy("lenient"),
                "PCT_REPORTS": "reports",
            },
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
