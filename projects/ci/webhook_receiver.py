"""Judges every new version: MLflow's webhook on model_version.created starts gate.sh.

It needs only the standard library. It is configured by the environment:

    PCT_WEBHOOK_SECRET   the secret that is registered with the webhook
    PCT_WEBHOOK_MODELS   models to judge, separated by commas, where `a=b` judges versions of a for production of b
    PCT_WEBHOOK_LISTEN   where to listen (default 127.0.0.1:8710, behind a proxy that speaks TLS)

The variables of gate.sh apply too. Reports go to PCT_REPORTS/NAME/VERSION.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import queue
import re
import subprocess
import threading
import time
from contextlib import suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GATE = Path(__file__).with_name("gate.sh")
MAX_BODY, MAX_WAITING, TOLERANCE, GATE_LIMIT = 65536, 200, 300, 3600  # bytes, versions, seconds, seconds
# Stricter than MLflow, because a name becomes a folder and an argument.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
VERSION = re.compile(r"[1-9][0-9]{0,9}")
log = logging.getLogger("pct-webhook")


def allowed_models(text: str) -> dict[str, str]:
    """Parse `a=b,c` into {"a": "b", "c": ""}.

    A key is the model whose versions are judged. Its value is the model whose production they are judged for.
    """
    models = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, into = item.partition("=")
        if not NAME.fullmatch(name) or (into and not NAME.fullmatch(into)):
            raise SystemExit(f"Error: PCT_WEBHOOK_MODELS names '{item}': use letters, digits, '.', '_' and '-'.")
        models[name] = into
    return models


def address(text: str) -> tuple[str, int]:
    """Parse `host:port`, or `port` alone, which means loopback."""
    match = re.fullmatch(r"(?:([^:]+):)?([0-9]{1,5})", text)
    if match is None or int(match[2]) > 65535:
        raise SystemExit(f"Error: PCT_WEBHOOK_LISTEN is '{text}': write it as 127.0.0.1:8710.")
    return match[1] or "127.0.0.1", int(match[2])


class Inbox:
    """A queue of versions for the gate. It decides which deliveries to take."""

    def __init__(self, secret: str, models: dict[str, str]) -> None:
        self.secret, self.models = secret.encode(), models
        self.waiting: queue.Queue[tuple[str, str]] = queue.Queue(MAX_WAITING)
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def receive(self, headers: Message, body: bytes, now: float) -> tuple[int, str]:
        """Return the HTTP status for a delivery, and the reason."""
        delivery, stamp = headers.get("X-MLflow-Delivery-Id") or "", headers.get("X-MLflow-Timestamp") or ""
        signed = hmac.new(self.secret, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
        given, expected = headers.get("X-MLflow-Signature") or "", b"v1," + base64.b64encode(signed)
        if not delivery or not hmac.compare_digest(given.encode(), expected):
            return 401, "the signature does not fit"
        if not re.fullmatch(r"[0-9]{1,12}", stamp) or abs(now - int(stamp)) > TOLERANCE:
            return 401, "too old, or from the future"
        try:
            return self._sort(json.loads(body), delivery, now)
        except (ValueError, KeyError, TypeError, RecursionError):
            return 400, "no event of MLflow"

    def _sort(self, event: dict[str, Any], delivery: str, now: float) -> tuple[int, str]:
        if (event["entity"], event["action"]) != ("model_version", "created"):
            return 200, "another event"
        name, version = str(event["data"]["name"]), str(event["data"]["version"])
        if name not in self.models:
            return 200, "another model"
        return self._take(delivery, name, version, now) if VERSION.fullmatch(version) else (400, "no version")

    def _take(self, delivery: str, name: str, version: str, now: float) -> tuple[int, str]:
        with self._lock:
            # Take a delivery only once. Remember it for as long as its timestamp is accepted.
            self._seen = {key: at for key, at in self._seen.items() if now - at <= 2 * TOLERANCE}
            if delivery in self._seen:
                return 200, "taken before"
            if self.waiting.full():
                return 503, "too many are waiting"
            self.waiting.put_nowait((name, version))
            self._seen[delivery] = now
        return 202, f"{name}/{version} waits for the gate"


def judge(inbox: Inbox, name: str, version: str) -> int:
    """Run gate.sh for one version and return its exit code."""
    reports = Path(os.environ.get("PCT_REPORTS") or "test-results") / name / version
    settings = {key: value for key, value in os.environ.items() if not key.startswith("PCT_WEBHOOK_")}
    settings |= {"PCT_CANDIDATE": f"{name}/{version}", "PCT_REPORTS": str(reports), "PCT_INTO": inbox.models[name]}
    # coreutils' timeout ends the whole group. `pct verify --repair` completes or undoes a promotion that it interrupts.
    command = ["timeout", "--kill-after=30", str(GATE_LIMIT), "bash", str(GATE)]
    code = subprocess.run(command, env=settings, stdin=subprocess.DEVNULL, check=False).returncode
    log.info("%s/%s: the gate ended with code %d", name, version, code)
    return code


def _judge_all(inbox: Inbox) -> None:
    while True:  # one gate after another
        try:
            judge(inbox, *inbox.waiting.get())
        except OSError as error:
            log.error("the gate did not start: %s", error)


def handler(inbox: Inbox) -> type[BaseHTTPRequestHandler]:
    """Return the HTTP handler, which reads one bounded body and replies before the gate starts."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds to wait for a sender that stalls

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length") or ""
            if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > MAX_BODY:
                return self._answer(413, "the body is too long, or does not say how long it is")
            return self._answer(*inbox.receive(self.headers, self.rfile.read(int(length)), time.time()))

        def _answer(self, status: int, why: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(why)))
            self.end_headers()
            self.wfile.write(why.encode())
            log.info("answered %d: %s", status, why)

        def log_message(self, *_: object) -> None:
            """Log nothing that a stranger sends."""

    return Handler


def main() -> None:
    """Serve until interrupted. Versions that still wait then must be judged by hand."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    secret, models = os.environ.get("PCT_WEBHOOK_SECRET", ""), allowed_models(os.environ.get("PCT_WEBHOOK_MODELS", ""))
    if len(secret) < 16 or not models:
        raise SystemExit("Error: set PCT_WEBHOOK_SECRET (16 characters or more) and PCT_WEBHOOK_MODELS.")
    inbox, listen = Inbox(secret, models), address(os.environ.get("PCT_WEBHOOK_LISTEN", "8710"))
    with suppress(KeyboardInterrupt), ThreadingHTTPServer(listen, handler(inbox)) as server:
        threading.Thread(target=_judge_all, args=(inbox,), daemon=True).start()
        log.info("listening on %s:%d for %s", listen[0], server.server_port, ", ".join(models))
        server.serve_forever()


if __name__ == "__main__":
    main()
