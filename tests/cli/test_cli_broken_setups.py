"""Set-ups that do not work: each command says the cause in one sentence, and `pct doctor` finds it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path

import pytest
from broken_setups import certificate, database, free_port, server, silent
from tiny_store import NAME

from pct_mlops.cli import main

PAGE = b"<html>please log in</html>"


@contextmanager
def with_certificate(folder, monkeypatch, *, trusted, **kind):
    file = certificate(folder, **kind)
    if trusted:
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(file))
    with server(certificate=file) as uri:
        yield uri


@contextmanager
def behind_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://ada:secret@127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    yield "http://mlflow.example:5000"


@contextmanager
def with_setting(monkeypatch, uri, **settings):
    for key, value in settings.items():
        monkeypatch.setenv(key, str(value))
    with uri as address:
        yield address


def text_file(folder):
    (folder / "text.db").write_text("no database at all, " * 100)
    return f"sqlite:///{folder}/text.db"


def sub_folder(folder):
    (folder / "folder.db").mkdir()
    return f"sqlite:///{folder}/folder.db"


# Name -> the set-up (folder, monkeypatch), and what is said of it.
SETUPS = {
    "certificate that nobody signed": (
        lambda f, m: with_certificate(f, m, trusted=False),
        "set MLFLOW_TRACKING_SERVER_CERT_PATH or REQUESTS_CA_BUNDLE",
    ),
    "certificate that expired": (lambda f, m: with_certificate(f, m, trusted=True, expired=True), "has expired"),
    "certificate of another host": (
        lambda f, m: with_certificate(f, m, trusted=True, address="10.9.8.7"),
        "is for another host name",
    ),
    "certificate file missing": (
        lambda f, m: with_setting(m, server(scheme="https"), MLFLOW_TRACKING_SERVER_CERT_PATH=f / "no.pem"),
        "correct REQUESTS_CA_BUNDLE, MLFLOW_TRACKING_SERVER_CERT_PATH",
    ),
    "https without TLS": (lambda f, m: server(scheme="https"), "write http:// instead of https://"),
    "http with TLS": (lambda f, m: server(certificate=certificate(f), scheme="http"), "write https:// into"),
    "401": (lambda f, m: server(401, b"You are not authenticated.", "text/plain"), "set MLFLOW_TRACKING_USERNAME and"),
    "401 in JSON": (lambda f, m: server(401, b'{"detail": "no"}'), "or MLFLOW_TRACKING_TOKEN"),
    "401 with a token": (
        lambda f, m: with_setting(m, server(401, b"no"), MLFLOW_TRACKING_TOKEN="secret"),
        "correct MLFLOW_TRACKING_TOKEN.",
    ),
    "403": (lambda f, m: server(403, PAGE, "text/html"), "ask for the permission"),
    "login page": (lambda f, m: server(200, PAGE, "text/html"), "sent a web page instead of MLflow's JSON"),
    "another server": (lambda f, m: server(404, PAGE, "text/html"), "does not know this request of MLflow"),
    "500": (lambda f, m: server(500, b'{"error_code": "INTERNAL_ERROR", "message": "x"}'), "read its log"),
    "502": (lambda f, m: server(502, PAGE, "text/html"), "start the server, or try again later"),
    "slow": (lambda f, m: silent(), "raise MLFLOW_HTTP_REQUEST_TIMEOUT"),
    "hangs up": (lambda f, m: silent(closes=True), "closed the connection"),
    "down": (lambda f, m: nullcontext(f"http://127.0.0.1:{free_port()}"), "does not respond (reading"),
    "unknown host": (lambda f, m: nullcontext("http://mlflow.invalid:5000"), "The host mlflow.invalid is not known"),
    "proxy down": (lambda f, m: behind_proxy(m), "add mlflow.example to NO_PROXY"),
    "no address": (lambda f, m: nullcontext("htp://mlflow"), "is no address that MLflow knows"),
    "half an address": (lambda f, m: nullcontext("http://[::1"), "is no address (Invalid IPv6 URL)"),
    "PostgreSQL down": (
        lambda f, m: nullcontext(f"postgresql+psycopg2://ada:secret@127.0.0.1:{free_port()}/mlflow"),
        "start it",
    ),
    "driver missing": (
        lambda f, m: nullcontext("mysql+asyncmy://ada:secret@127.0.0.1/mlflow"),
        "install asyncmy with pip",
    ),
    "driver misspelt": (lambda f, m: nullcontext("postgresql+no://127.0.0.1/mlflow"), "write for example postgresql+"),
    "text as a database": (lambda f, m: nullcontext(text_file(f)), "is no database: set MLFLOW_TRACKING_URI"),
    "folder as a database": (lambda f, m: nullcontext(sub_folder(f)), "cannot be opened"),
    "newer schema": (
        lambda f, m: nullcontext(database(f, "UPDATE alembic_version SET version_num = 'ffffffffffff'")),
        "a newer MLflow made it",
    ),
    "older schema": (
        lambda f, m: nullcontext(database(f, "UPDATE alembic_version SET version_num = '451aebb31d03'")),
        "run 'mlflow db upgrade sqlite:///",
    ),
    "tables missing": (lambda f, m: nullcontext(database(f, "DROP TABLE registered_models")), "lacks tables of MLflow"),
}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    for name in ("HTTP_PROXY", "http_proxy", "REQUESTS_CA_BUNDLE", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)


def findings(capsys, *words, code):
    """Findings of `pct doctor` by name, and what it printed."""
    capsys.readouterr()
    assert main(["doctor", "--json", "doctor.json", *map(str, words)]) == code
    said = capsys.readouterr()
    assert said.err == ""
    written = json.loads(Path("doctor.json").read_text())
    assert written["ok"] is (code == 0)
    assert len(said.out.splitlines()) == len(written["findings"])
    return {item["name"]: item for item in written["findings"]}, said.out


@pytest.mark.parametrize("setup", SETUPS)
def test_a_set_up_that_does_not_work_is_said(empty, capsys, impatient, monkeypatch, setup):
    make, words = SETUPS[setup]
    with ExitStack() as stack:
        uri = stack.enter_context(make(empty.folder, monkeypatch))
        assert main(["history", NAME, "--tracking-uri", uri]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert words in line
        found, printed = findings(capsys, "--tracking-uri", uri, code=2)
    (problem,) = [item["text"] for item in found.values() if item["level"] == "problem"]
    assert words.replace(" (reading", "") in problem
    assert "secret" not in line + printed
    assert "start it" not in line or "SQLite" not in line


def test_a_registry_in_order(store, capsys):
    before = store.state()
    found, printed = findings(capsys, "--tracking-uri", store.uri, code=0)
    for name in ("torch", "mlflow", "reading", "writing", "artifact store", "processors", "temporary folder"):
        assert found[name]["level"] == "ok", found[name]
    assert found["tracking store"]["text"] == f"{store.uri} (from --tracking-uri)"
    assert printed.splitlines()[0].split() == ["ok", "pct_mlops", found["pct_mlops"]["text"]]
    assert store.state() == before


def test_looking_makes_no_database(empty, capsys):
    Path("mlflow.db").unlink(missing_ok=True)
    found, _ = findings(capsys, code=0)
    assert found["reading"]["level"] == "warning"
    assert "'pct train' makes it" in found["reading"]["text"]
    assert not Path("mlflow.db").exists()
    assert not Path("mlruns").exists()


def test_a_file_that_is_locked(store, capsys):
    with closing(sqlite3.connect(store.folder / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found, _ = findings(capsys, code=2)
        assert found["reading"]["level"] == "ok"
        assert "is locked by another program" in found["writing"]["text"]
        found, _ = findings(capsys, "--read-only", code=0)
        assert "writing" not in found


def forbid(monkeypatch, *parts):
    """As for a user who may not write to paths that end so; root may do everything."""
    real = os.access

    def access(path, mode, **more):
        return not (mode & os.W_OK and str(path).endswith(parts)) and real(path, mode, **more)

    monkeypatch.setattr(os, "access", access)


def test_folders_that_may_not_be_written(store, capsys, monkeypatch):
    client = store.registry.client
    kept = store.folder / "kept"
    kept.mkdir()
    client.create_experiment("kept", artifact_location=kept.as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "kept")
    forbid(monkeypatch, "mlflow.db", "kept")
    found, _ = findings(capsys, code=2)
    assert "mlflow.db: correct its permissions" in found["writing"]["text"]
    assert f"{kept} cannot be written" in found["artifact store"]["text"]


def test_a_registry_that_may_not_be_made(empty, capsys, monkeypatch):
    forbid(monkeypatch, empty.folder.name)
    found, _ = findings(capsys, "--tracking-uri", f"sqlite:///{empty.folder}/new/mlflow.db", code=2)
    assert "this user may not make one" in found["reading"]["text"]
    assert found["current folder"]["level"] == "warning"


@pytest.mark.parametrize("case", ["unset", "not writable"])
def test_a_user_without_a_home(empty, capsys, monkeypatch, case):
    if case == "unset":

        def fails():
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", fails)
    else:
        (empty.folder / "my-home").mkdir()
        monkeypatch.setenv("HOME", str(empty.folder / "my-home"))
        forbid(monkeypatch, "my-home")
    found, _ = findings(capsys, code=2 if case == "unset" else 0)
    assert found["home folder"]["level"] == ("problem" if case == "unset" else "warning")
    assert "set HOME" in found["home folder"]["text"]


HOMELESS = """
import sys
from pathlib import Path

def fails():
    raise RuntimeError("Could not determine home directory.")

Path.home = fails
from pct_mlops.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("verb", [("history", NAME), ("doctor",)])
def test_a_process_in_which_mlflow_cannot_be_imported(tmp_path, verb):
    """As for a user id that the container has no entry for: MLflow looks for the home folder when it is imported."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", HOMELESS, *verb]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    said = done.stderr if verb == ("history", NAME) else done.stdout
    assert "This user has no home folder, which MLflow asks for (importing mlflow): set HOME to a folder" in said
    assert "Traceback" not in done.stdout + done.stderr


class ObjectStore:
    """What mlflow makes for s3://..., with a client that fails or keeps names."""

    def __init__(self, error=None):
        self.error, self.names, self.deleted = error, [], []

    def list_artifacts(self, path=None):
        if self.error:
            raise self.error
        return []

    def log_artifact(self, file, folder):
        self.names.append(folder)

    def delete_artifacts(self, folder):
        self.deleted.append(folder)


def botocore_error(name, **more):
    made = type(name, (Exception,), {"__module__": "botocore.exceptions"})("Unable to do it")
    made.__dict__.update(more)
    return made


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (botocore_error("NoCredentialsError"), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (botocore_error("ConnectionError"), "correct MLFLOW_S3_ENDPOINT_URL"),
        (botocore_error("ClientError", response={"Error": {"Code": "NoSuchBucket"}}), "create it again"),
        (ModuleNotFoundError("No module named 'boto3'", name="boto3"), "install boto3 with pip"),
    ],
)
def test_an_object_store_that_does_not_work(store, capsys, monkeypatch, error, words):
    store.registry.client.create_experiment("remote", artifact_location="s3://bucket/1")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "remote")
    place = "mlflow.store.artifact.artifact_repository_registry.get_artifact_repository"
    monkeypatch.setattr(place, lambda location: ObjectStore(error))
    found, _ = findings(capsys, code=2)
    assert words in found["artifact store"]["text"]
    assert "SQLite" not in found["artifact store"]["text"]


@pytest.mark.parametrize("write", [True, False])
def test_an_object_store_that_works_is_left_as_it_was(store, capsys, monkeypatch, write):
    store.registry.client.create_experiment("remote", artifact_location="s3://bucket/1")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "remote")
    kept = ObjectStore()
    monkeypatch.setattr(
        "mlflow.store.artifact.artifact_repository_registry.get_artifact_repository", lambda location: kept
    )
    found, _ = findings(capsys, *([] if write else ["--read-only"]), code=0)
    assert found["artifact store"]["text"] == f"s3://bucket/1 can be {'read and written' if write else 'read'}"
    assert kept.names == kept.deleted
    assert len(kept.names) == write


def test_files_that_the_object_store_lost(store, capsys, monkeypatch):
    """As of a version whose files lie there, and are asked for by any verb."""
    gone = botocore_error("ClientError", response={"Error": {"Code": "NoSuchBucket"}})

    def fails(*_, **__):
        raise gone

    monkeypatch.setattr("pct_mlops.registry.artifacts.local_folder", lambda location: None)
    monkeypatch.setattr("pct_mlops.registry.artifacts.ModelFiles._list", fails)
    assert store.pct("compare", f"{NAME}/1", f"{NAME}/2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "The bucket that holds the artifacts is gone" in line


def test_a_run_that_the_environment_still_names(store, capsys, monkeypatch):
    run = "0" * 32
    monkeypatch.setenv("MLFLOW_RUN_ID", run)
    found, _ = findings(capsys, code=2)
    assert "unset MLFLOW_RUN_ID" in found["run"]["text"]
    assert store.pct("train", store.recipe) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"MLFLOW_RUN_ID names the run {run}" in line
    assert "unset MLFLOW_RUN_ID" in line


def test_a_run_and_an_experiment_that_were_deleted(store, capsys, monkeypatch):
    client = store.registry.client
    run = client.get_run(store.registry.get(NAME, 1).run_id).info
    name = client.get_experiment(run.experiment_id).name
    client.delete_experiment(run.experiment_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    found, _ = findings(capsys, code=2)
    assert "was deleted: unset MLFLOW_RUN_ID" in found["run"]["text"]
    assert f"mlflow experiments restore --experiment-id {run.experiment_id}" in found["experiment"]["text"]
    monkeypatch.delenv("MLFLOW_RUN_ID")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    assert store.pct("train", store.recipe) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "mlflow experiments restore" in line
