"""A registry that answers 500, nonsense or nothing, or has lost a table: one sentence, soon, and exit code 2."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pct_mlops.cli import main


class Answer(BaseHTTPRequestHandler):
    """The server's `status` and `body` for everything; no answer at all while `silent` is set."""

    def do_GET(self):
        if self.server.silent:
            self.server.enough.wait(20)
            return
        body = self.server.body
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_):
        pass


@contextmanager
def answering(status=200, body=b"{}", silent=False):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    server.status, server.body, server.silent, server.enough = status, body, silent, threading.Event()
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
    "no JSON": {"body": b"<html>a login page</html>"},
    "silence": {"silent": True},
}


@pytest.mark.parametrize("case", CASES)
def test_a_server_that_does_not_do_its_work(empty, capsys, monkeypatch, case):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    start = time.monotonic()
    with answering(**CASES[case]) as uri:
        code = main(["gate", "digits@candidate", "--policy", "lenient.yaml", "--promote", "--tracking-uri", uri])
    said = capsys.readouterr()
    assert time.monotonic() - start < 10
    assert code == 2
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("Error: ")
    assert "unexpected" not in line
    assert "Traceback" not in line


def test_a_table_that_the_registry_lost(store, capsys):
    registry = store.registry
    registry.predictions(registry.resolve("digits/2")).unlink()
    before = store.state()
    assert store.pct("gate", "digits/2", "--policy", store.policy("lenient"), "--promote") == 2
    said = " ".join("".join(capsys.readouterr()).split())
    assert "digits/2 carries no predictions on test: make them with 'pct score digits/2 --split test'" in said
    assert store.state() == before
