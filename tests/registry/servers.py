"""Real servers on loopback for the time of a test: MLflow's, and PostgreSQL's below it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import fresh_databases
import pytest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def mlflow_server(folder, backend=None, *, workers=1, options=(), **environment):
    """The address of a server whose files lie in `folder`; `backend` is SQLite there unless it is given."""
    port, log = free_port(), folder / "server.log"
    if backend is None and not (folder / "server.db").exists():
        (folder / "server.db").write_bytes(fresh_databases.template())
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(workers), "--backend-store-uri", backend or f"sqlite:///{folder / 'server.db'}"),
        *("--artifacts-destination", str(folder / "artifacts"), *options),
    ]
    # The processes for jobs, which nothing here has, would each import mlflow anew.
    quick = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {**os.environ, **quick, **environment}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_answers(process, f"{address}/health", log)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def wait_until_answers(process, address, log, seconds=90):
    """Return once something answers at `address`; fail with the end of `log` when the process ends or time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"nothing answered at {address} within {seconds} s:\n{log.read_text()[-2000:]}")


def postgresql_programs():
    """The folder of initdb and postgres, None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgresql():
    """The address of an empty database; root hands it to the user postgres, for it refuses to run as root."""
    programs = postgresql_programs()
    if programs is None:
        pytest.fail(
            "PostgreSQL is not installed: 'make thorough' installs Debian's package, elsewhere install it by hand"
        )
    folder = Path(tempfile.mkdtemp(prefix="pct-postgresql-"))
    user = []
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    port, data = free_port(), folder / "data"
    made = [programs / "initdb", "-D", data, "-U", "pct", "--auth=trust", "--no-sync", "--encoding=UTF8"]
    subprocess.run([*user, *map(str, made)], check=True, stdout=subprocess.DEVNULL, cwd="/")
    settings = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F"]
    with (folder / "log").open("w") as log:
        served = [*user, str(programs / "postgres"), "-D", str(data), *settings]
        process = subprocess.Popen(served, stdout=log, stderr=log, cwd="/")
        try:
            _wait_for_port(port, process, folder / "log")
            yield f"postgresql+psycopg2://pct@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for_port(port, process, log):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"PostgreSQL did not start: {log.read_text()[-2000:]}")
