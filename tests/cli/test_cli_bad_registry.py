"""A registry that answers 500, nonsense or nothing, has lost a table or is gone in mid-move: a sentence and code 2."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow.exceptions import MlflowException
from tiny_store import NAME

from pct_mlops.cli import main
from pct_mlops.registry import history, verify


class Answer(BaseHTTPRequestHandler):
    """The server's `status`, `body` and `more` headers for everything; no answer at all while `silent` is set."""

    def do_GET(self):
        if self.server.silent:
            self.server.enough.wait(20)
            return
        body = self.server.body
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.server.more.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_):
        pass


@contextmanager
def answering(status=200, body=b"{}", silent=False, more=()):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    server.status, server.body, server.silent, server.enough = status, body, silent, threading.Event()
    server.more = dict(more)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.enough.set()
        server.shutdown()
        server.server_close()


CASES = {
    "500": {"status": 500, "body": b'{"error_code": "INTERNAL_ERROR", "message": "disk full"}'},
    "500 in HTML": {"status": 500, "body": b"<html>oops</html>"},
    "403": {"status": 403, "body": b'{"error_code": "PERMISSION_DENIED", "message": "no"}'},
    "404 in HTML": {"status": 404, "body": b"<html>\x1b[31mnot here</html>" + b"x" * 100_000},
    "no JSON": {"body": b"<html>a login page</html>"},
    "other JSON": {"body": b'{"status": "ok"}'},
    "busy for an hour": {"status": 503, "body": b"busy", "more": {"Retry-After": "3600"}},
}
SILENCE = {"silent": True}
REASON = ("--reason", "why")
VERBS = {
    "gate": ("gate", f"{NAME}@candidate", "--policy", "lenient.yaml", "--promote"),
    "review": ("review", f"{NAME}/2", "--accept", *REASON),
    "list of reviews": ("review", f"{NAME}/2"),
    "verify": ("verify", NAME),
    "repair": ("verify", NAME, "--repair"),
    "adopt": ("verify", NAME, "--adopt", *REASON),
    "rollback": ("rollback", NAME, *REASON),
    "history": ("history", NAME),
    "compare": ("compare", f"{NAME}/1", f"{NAME}/2"),
}


def says_one_sentence(capsys, words, case):
    start = time.monotonic()
    with answering(**case) as uri:
        one_sentence(capsys, [*words, "--tracking-uri", uri])
    assert time.monotonic() - start < 10


def one_sentence(capsys, words):
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("Error: ")
    assert "unexpected" not in line
    assert "Traceback" not in line
    assert line.isprintable(), "what a server says repaints no terminal"
    assert len(line) < 1000
    return line


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("case", CASES)
def test_a_server_that_does_not_do_its_work(empty, capsys, impatient, monkeypatch, verb, case):
    if "more" in CASES[case]:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    says_one_sentence(capsys, VERBS[verb], CASES[case])


def test_a_server_that_does_not_answer(empty, capsys, impatient):
    says_one_sentence(capsys, VERBS["gate"], SILENCE)


@pytest.mark.thorough
@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_does_not_answer_any_verb(empty, capsys, impatient, verb):
    says_one_sentence(capsys, VERBS[verb], SILENCE)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://anna:pass%40word@127.0.0.1:1", "127.0.0.1:1 does not respond"),
        ("mysql+nosuchdriver://anna:password@127.0.0.1/db", "MLFLOW_TRACKING_URI"),
        (
            "mysql+asyncmy://anna:password@127.0.0.1/db",
            "needs a Python package that is not installed (asyncmy): install asyncmy",
        ),
        ("sqlite:///{folder}/text.db", "is no database: set MLFLOW_TRACKING_URI"),
        ("sqlite:///{folder}/empty.db", "There is no registry at"),
    ],
)
def test_what_is_no_registry_is_said_without_anybodys_password(tmp_path, capsys, impatient, address, said):
    (tmp_path / "text.db").write_text("no database at all, " * 100)
    (tmp_path / "empty.db").touch()
    line = one_sentence(capsys, ["history", NAME, "--tracking-uri", address.format(folder=tmp_path)])
    assert said in line
    assert "anna" not in line
    assert "pass" not in line
    assert (tmp_path / "empty.db").stat().st_size == 0


def test_a_table_that_the_registry_lost(store, capsys):
    registry = store.registry
    registry.predictions(registry.resolve("digits/2")).unlink()
    before = store.state()
    assert store.pct("gate", "digits/2", "--policy", store.policy("lenient"), "--promote") == 2
    said = " ".join("".join(capsys.readouterr()).split())
    assert "digits/2 carries no predictions on test: make them with 'pct score digits/2 --split test'" in said
    assert store.state() == before


def test_a_disk_that_is_full_or_not_ours(store, capsys, monkeypatch):
    """Below mlflow, which lets such errors through."""

    def full(*_, **__):
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr("mlflow.MlflowClient.log_dict", full)
    before = store.state()
    assert store.pct("gate", "digits/2", "--policy", store.policy("lenient"), "--promote") == 2
    said = " ".join("".join(capsys.readouterr()).split())
    assert "nothing was promoted: Recording the decision on models:/digits/2 failed" in said
    assert "No space left on device" in said
    assert store.state() == before


class Dying:
    """A client whose registry is gone from one call on: a method, and how one of its arguments begins.

    With `arrives` that call still has its effect, and only the answer is lost.
    """

    def __init__(self, client, at, arrives):
        self._client, self._at, self._arrives, self._gone = client, at, arrives, False

    def __getattr__(self, name):
        call = getattr(self._client, name)

        def asked(*arguments, **more):
            method, part = self._at
            last = name == method and any(item.startswith(part) for item in arguments if isinstance(item, str))
            if last and self._arrives and not self._gone:
                call(*arguments, **more)
            self._gone = self._gone or last
            if self._gone:
                raise MlflowException("API request failed: Max retries exceeded with url: /api")
            return call(*arguments, **more)

        return asked


def unwrapped(text):
    """Without white space: the console breaks lines wherever it must."""
    return "".join(text.split())


# The last columns: what production is then, and whether the command knows.
@pytest.mark.parametrize(
    ("method", "part", "arrives", "production", "knows"),
    [
        ("set_model_version_tag", "gate.verdict", False, 1, True),
        ("create_registered_model", "digits.promotion-lock", True, 1, False),
        ("set_registered_model_tag", "pct.move", True, 1, False),
        ("set_registered_model_alias", "production", False, 1, False),
        ("set_registered_model_alias", "production", True, 2, False),
        ("set_registered_model_tag", "pct.history.", True, 2, False),
    ],
)
def test_a_registry_that_is_gone_in_mid_move(store, capsys, monkeypatch, method, part, arrives, production, knows):
    from pct_mlops.registry import registry

    open_store = registry.open_store
    monkeypatch.setattr(registry, "open_store", lambda *given: Dying(open_store(*given), (method, part), arrives))
    words = ("--policy", store.policy("lenient"), "--promote", "--json", store.folder / "r.json")
    assert store.pct("gate", "digits/2", *words) == 2
    printed = unwrapped(capsys.readouterr().out)
    report = json.loads((store.folder / "r.json").read_text())
    assert printed.startswith(unwrapped(f"! ERROR {report['sentence']}"))
    assert report["promotion"]["done"] is (False if knows else None)
    assert (unwrapped("Not promoted") in printed) is knows
    assert ("'pct verify digits'" in report["sentence"]) is not knows
    monkeypatch.undo()
    assert store.registry.aliases(NAME)["production"] == production
    # The lock lies there until its lease is over.
    monkeypatch.setattr("pct_mlops.registry.lock._lease_of", lambda held, otherwise: 0.0)
    assert store.pct("verify", NAME, "--repair") == 0
    assert verify(store.registry, NAME).is_right
    assert [move.to_version for move in history(store.registry, NAME)] == ([1, 2] if production == 2 else [1])
