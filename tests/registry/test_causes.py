"""The table of causes: each row is met by an error such as the libraries raise, and says what settles it."""

from __future__ import annotations

import errno
import http.client
import socket
import sqlite3
import ssl
from types import SimpleNamespace

import pytest
import requests
import sqlalchemy
import urllib3
from mlflow.exceptions import InvalidUrlException, MlflowException, RestException

from pct_mlops.errors import (
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)
from pct_mlops.registry.artifacts import ModelFiles
from pct_mlops.registry.causes import CAUSES, Failure, StoreAddress, find_cause, plain_error, without_secrets
from pct_mlops.registry.connection import said_plainly
from pct_mlops.registry.probe import bare_address

SERVER = StoreAddress("https://ada:secret@mlflow.example:5000")
FILE = StoreAddress("sqlite:////data/mlflow.db")
RUN = "0123456789abcdef0123456789abcdef"


def foreign(name, *parents, text="", **more):
    """An error of a library that is not installed here, known by its module and name."""
    module, _, kind = name.rpartition(".")
    bases = parents or (Exception,)
    made = type(kind, bases, {"__module__": module})(*more.pop("args", (text,)))
    made.__dict__.update(more)
    return made


def client_error(code):
    text = f"An error occurred ({code}) when calling the ListObjectsV2 operation: no"
    return foreign("botocore.exceptions.ClientError", text=text, response={"Error": {"Code": code}})


def below(inner, text="API request failed"):
    """What mlflow makes of an error: it is told by the context alone."""
    try:
        try:
            raise inner
        except Exception:
            raise MlflowException(text)  # noqa: B904
    except MlflowException as error:
        return error


def tls(reason, verify_code=None):
    made = (ssl.SSLCertVerificationError if verify_code else ssl.SSLError)(1, f"[SSL: {reason}] no")
    made.reason = reason
    if verify_code:
        made.verify_code = verify_code
    return below(requests.exceptions.SSLError(urllib3.exceptions.MaxRetryError(None, "/api", made)))


def status(code, **more):
    """A reply as mlflow refuses it; it keeps the status in the frame that raised."""
    from mlflow.utils.rest_utils import verify_rest_response

    response = requests.Response()
    response.status_code = code
    response._content = more.get("body", b"<html>no</html>")
    try:
        verify_rest_response(response, "/api/2.0/mlflow/runs/get")
    except MlflowException as error:
        return error
    raise AssertionError("it was accepted")


def file_status(code):
    response = requests.Response()
    response.status_code = code
    return requests.HTTPError(f"{code} Client Error", response=response)


def retried(code):
    return below(requests.exceptions.RetryError(f"Max retries exceeded: too many {code} error responses"))


def sqlite(code, text="no"):
    made = sqlite3.OperationalError(text)
    made.sqlite_errorcode = code
    return below(sqlalchemy.exc.OperationalError("SELECT 1", {}, made))


def postgres(text="", **more):
    return sqlalchemy.exc.OperationalError("", {}, foreign("psycopg2.OperationalError", text=text, **more))


def refused():
    return below(requests.ConnectionError(OSError(errno.ECONNREFUSED, "Connection refused")))


def no_module(name):
    return ModuleNotFoundError(f"No module named '{name}'", name=name)


# Name of the row -> errors that it is for, each with words that its sentence must have.
ROWS = {
    "certificate of the object store": [(foreign("botocore.exceptions.SSLError"), "AWS_CA_BUNDLE")],
    "no credentials for the object store": [
        (foreign("botocore.exceptions.NoCredentialsError", text="Unable to locate credentials"), "AWS_ACCESS_KEY_ID"),
        (below(foreign("botocore.exceptions.PartialCredentialsError")), "MLFLOW_S3_ENDPOINT_URL"),
        (MlflowException("The following failures occurred: NoCredentialsError()"), "AWS_SECRET_ACCESS_KEY"),
    ],
    "wrong credentials for the object store": [
        (client_error("InvalidAccessKeyId"), "AWS_ACCESS_KEY_ID"),
        (client_error("ExpiredToken"), "AWS_SESSION_TOKEN"),
    ],
    "no permission at the object store": [(client_error("AccessDenied"), "s3:GetObject")],
    "bucket gone": [(client_error("NoSuchBucket"), "create it again")],
    "file gone from the object store": [(client_error("NoSuchKey"), "restore it from a backup")],
    "object store down": [
        (foreign("botocore.exceptions.ConnectionError"), "MLFLOW_S3_ENDPOINT_URL"),
        (foreign("botocore.exceptions.HTTPClientError"), "MLFLOW_S3_ENDPOINT_URL"),
    ],
    "no credentials for Google Cloud Storage": [
        (foreign("google.auth.exceptions.DefaultCredentialsError"), "GOOGLE_APPLICATION_CREDENTIALS")
    ],
    "no credentials for Azure": [
        (foreign("azure.core.exceptions.ClientAuthenticationError"), "AZURE_STORAGE_CONNECTION_STRING")
    ],
    "bucket of Google or Azure gone": [(foreign("google.api_core.exceptions.NotFound"), "create it again")],
    "Google or Azure does not respond": [(foreign("azure.core.exceptions.ServiceRequestError"), "check the network")],
    "certificate expired": [(tls("CERTIFICATE_VERIFY_FAILED", 10), "has expired")],
    "certificate of another host": [(tls("CERTIFICATE_VERIFY_FAILED", 62), "for another host name")],
    "certificate of an unknown authority": [
        (tls("CERTIFICATE_VERIFY_FAILED", 18), "MLFLOW_TRACKING_SERVER_CERT_PATH or REQUESTS_CA_BUNDLE"),
        (tls("CERTIFICATE_VERIFY_FAILED", 20), "REQUESTS_CA_BUNDLE"),
    ],
    "certificate file missing": [
        (below(OSError("Could not find a suitable TLS CA certificate bundle, invalid path: /x")), "REQUESTS_CA_BUNDLE")
    ],
    "https to a server without TLS": [(tls("WRONG_VERSION_NUMBER"), "write http:// instead of https://")],
    "client certificate wanted": [
        (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "MLFLOW_TRACKING_CLIENT_CERT_PATH"),
    ],
    "TLS failed": [(tls("NO_CIPHERS_AVAILABLE"), "openssl s_client")],
    "http to a server with TLS": [
        (status(400, body=b"The plain HTTP request was sent to HTTPS port"), "write https:// instead of http://")
    ],
    "proxy does not respond": [
        (below(requests.exceptions.ProxyError("no")), "add mlflow.example to NO_PROXY"),
        (status(407), "HTTPS_PROXY"),
    ],
    "not logged in (401)": [
        (status(401), "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (status(401, body=b'{"detail": "Not authenticated"}'), "MLFLOW_TRACKING_TOKEN"),
        (RestException({"error_code": "UNAUTHENTICATED", "message": "no"}), "401"),
    ],
    "not allowed (403)": [
        (status(403), "ask for the permission"),
        (RestException({"error_code": "PERMISSION_DENIED", "message": "no"}), "403"),
    ],
    "a web page instead of JSON": [(status(200), "a login page")],
    "no MLflow server, or an old one (404)": [(status(404), "update the server to MLflow 3")],
    "file not on the server (404)": [(file_status(404), "--serve-artifacts")],
    "file too large (413)": [(status(413), "client_max_body_size"), (file_status(413), "413")],
    "too many requests (429)": [(retried(429), "try again later"), (status(429), "429")],
    "gateway without a server (502 to 504)": [(retried(502), "start the server"), (status(503), "gateway")],
    "server failed (500)": [(retried(500), "read its log"), (file_status(500), "artifact store")],
    "unknown host": [
        (
            below(requests.ConnectionError(socket.gaierror(-2, "Name or service not known"))),
            "mlflow.example is not known",
        ),
        (postgres("could not translate host name"), "is not known"),
    ],
    "server down": [(refused(), "start it"), (postgres("Connection refused"), "start it")],
    "server slow": [
        (below(requests.exceptions.ReadTimeout("no")), "MLFLOW_HTTP_REQUEST_TIMEOUT"),
        (below(requests.exceptions.ConnectTimeout("no")), "MLFLOW_HTTP_REQUEST_TIMEOUT"),
    ],
    "connection closed": [
        (below(requests.ConnectionError(http.client.RemoteDisconnected("no"))), "closed the connection"),
        (below(ConnectionResetError(errno.ECONNRESET, "no")), "write https://"),
    ],
    "no MLflow address": [(InvalidUrlException("no"), "postgresql://"), (ValueError("Invalid IPv6 URL"), "sqlite:")],
    "SQLite locked": [
        (sqlite(sqlite3.SQLITE_BUSY if hasattr(sqlite3, "SQLITE_BUSY") else 5), "locked by another program"),
        (below(sqlite3.OperationalError("database is locked")), "MLflow server"),
    ],
    "no SQLite database": [(sqlite(26), "is no database: set MLFLOW_TRACKING_URI")],
    "SQLite damaged": [(sqlite(11), "restore it from a backup")],
    "SQLite read-only": [(sqlite(8), "cannot be written"), (sqlite(8 | 4 << 8), "cannot be written")],
    "SQLite cannot be opened": [(sqlite(14), "its folder exists")],
    "SQLite on a disk that fails": [(sqlite(10), "a local disk")],
    "other schema": [
        (MlflowException("Detected out-of-date database schema (found version ffff, but"), "a newer MLflow made it"),
        (MlflowException("Detected out-of-date database schema (found version 451aebb31d03, but"), "mlflow db upgrade"),
    ],
    "tables missing": [(sqlite(1, "no such table: runs"), "restore it from a backup")],
    "database refuses the user": [
        (postgres(pgcode="28P01"), "refuses the user or the password"),
        (postgres('FATAL:  password authentication failed for user "ada"'), "correct MLFLOW_TRACKING_URI"),
        (below(foreign("pymysql.err.OperationalError", args=(1045, "Access denied"))), "refuses the user"),
    ],
    "database missing on its server": [
        (postgres('FATAL:  database "mlflow" does not exist'), "create it"),
        (foreign("MySQLdb.OperationalError", args=(1049, "Unknown database")), "create it"),
    ],
    "unknown driver": [(sqlalchemy.exc.NoSuchModuleError("Can't load plugin"), "postgresql+psycopg2://")],
    "package missing": [
        (no_module("psycopg2"), "install psycopg2-binary with pip"),
        (no_module("pymysql"), "install pymysql with pip"),
        (no_module("boto3"), "install boto3 with pip"),
        (no_module("google.cloud"), "install google-cloud-storage with pip"),
    ],
    "MLFLOW_RUN_ID names no run": [],  # narrowed by what was done: has a test of its own
    "run deleted": [
        (MlflowException(f"The run {RUN} must be in the 'active' state."), f"mlflow runs restore --run-id {RUN}")
    ],
    "run gone": [(MlflowException(f"Run with id={RUN} not found"), "restore it from a backup")],
    "experiment deleted": [
        (MlflowException("Cannot set a deleted experiment 'shoes' as the active"), "mlflow experiments restore"),
        (MlflowException("The experiment 3 must be in the 'active' state."), "MLFLOW_EXPERIMENT_NAME"),
    ],
    "disk full": [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "/data/x): free some space"),
        (sqlite(13), "free some space"),
    ],
    "not writable": [
        (PermissionError(errno.EACCES, "Permission denied", "/data/runs"), "may not use /data/runs"),
        (OSError(errno.EROFS, "Read-only file system", "/data/runs"), "correct its permissions"),
    ],
    "no home folder": [(below(RuntimeError("Could not determine home directory.")), "set HOME")],
}
CASES = [(name, error, words) for name, cases in ROWS.items() for error, words in cases]


@pytest.mark.parametrize(("name", "error", "words"), CASES, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)])
def test_an_error_of_each_kind_is_said(monkeypatch, name, error, words):
    for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    cause = find_cause(Failure.of(error))
    assert cause is not None
    assert cause.name == name
    for place in (SERVER, FILE):
        made = plain_error(error, "reading the model pets", place)
        said = str(made)
        assert type(made) is cause.kind
        assert words in said or place is FILE
        assert "{" not in said
        assert "secret" not in said
        assert said[0].isupper() or said.startswith("/")
        assert said.endswith(".")
        if "start it" in said:
            assert "SQLite file" not in said, "a file cannot be started"


def test_every_row_has_its_errors_here():
    assert set(ROWS) == {cause.name for cause in CAUSES}
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)


def test_credentials_that_are_set_are_to_be_corrected(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN", raising=False)
    said = str(plain_error(status(401), "reading", SERVER))
    assert said.endswith("correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.")


def test_a_run_that_the_environment_names_is_to_be_unset():
    gone = MlflowException(f"Run '{RUN}' not found", error_code=404)
    said = str(plain_error(gone, f"starting the run {RUN} that MLFLOW_RUN_ID names", FILE))
    assert said.startswith(f"MLFLOW_RUN_ID names the run {RUN}, which the SQLite file /data/mlflow.db does not have")
    assert said.endswith("unset MLFLOW_RUN_ID.")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "x"}), RegistryNotFoundError, "refused"),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "x"}), RegistryUnavailableError, "refused"),
        (RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "x"}), RegistryError, "refused"),
        (requests.exceptions.ContentDecodingError("odd"), RegistryUnavailableError, "see what 'pct doctor' says"),
        (ImportError("no", name="torchaudio"), RegistryError, "(torchaudio): install it"),
        (OSError(errno.EIO, "Input/output error"), RegistryError, "Input/output error"),
    ],
)
def test_what_the_table_does_not_know_is_said_as_it_came(error, kind, words):
    made = plain_error(error, "reading the model pets", SERVER)
    assert type(made) is kind
    assert words in str(made)


def test_a_mistake_of_our_own_is_no_failure_of_the_registry():
    with pytest.raises(ZeroDivisionError), said_plainly("counting"):
        _ = 1 / 0


def test_an_error_that_went_before_is_not_taken_for_the_cause():
    def fails():
        try:
            raise PermissionError(errno.EACCES, "Permission denied", "/data")
        except OSError:
            raise MlflowException("no", error_code=2) from None

    with pytest.raises(MlflowException) as caught:
        fails()
    assert find_cause(Failure.of(caught.value)) is None


def test_an_error_of_ours_that_went_before_hides_its_causes():
    ours = RegistryError("no")
    ours.__cause__ = PermissionError(errno.EACCES, "Permission denied", "/data")
    later = MlflowException("no", error_code=2)
    later.__context__ = ours
    assert Failure.of(later).links == (later,)


def test_a_code_of_mlflow_says_more_than_the_status_of_its_reply():
    error = status(404, body=b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "x"}')
    made = plain_error(error, "reading the model pets", SERVER)
    assert type(made) is RegistryNotFoundError
    assert "refused reading the model pets" in str(made)


def test_another_server_that_failed_is_named_without_secrets():
    error = requests.ConnectionError(OSError(errno.ECONNREFUSED, "Connection refused"))
    error.request = requests.Request("GET", "https://ada:secret@store.example:9000/bucket/file").prepare()
    for place in (SERVER, FILE):
        assert str(plain_error(error, "reading", place)).startswith("The server https://store.example:9000 does not")
    error.request = requests.Request("GET", "https://mlflow.example:5000/api").prepare()
    assert str(plain_error(error, "reading", SERVER)).startswith("The tracking server https://mlflow.example:5000")


def test_a_server_that_lists_a_folder_in_itself_is_not_walked_for_ever(monkeypatch):
    listed = [SimpleNamespace(path="a", is_dir=True), SimpleNamespace(path="a/MLmodel", is_dir=False)]
    monkeypatch.setattr(ModelFiles, "_list", lambda self, folder: listed)
    assert ModelFiles("pets", "s3://bucket/pets", "sqlite://").paths() == ["a/MLmodel", "a/MLmodel"]


def test_doctor_prints_an_address_without_its_query():
    address = "postgresql://ada:secret@db.example/mlflow?options=-c%20role%3Dada#x"
    assert bare_address(address) == "postgresql://db.example/mlflow"


def test_an_error_that_is_its_own_cause_ends():
    one, two = MlflowException("one"), MlflowException("two")
    one.__cause__, two.__cause__ = two, one
    assert len(Failure.of(one).links) == 2


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:hunter2@db.example/mlflow",
        "postgresql://db.example/mlflow?user=ada&password=hunter2&sslmode=require",
        "https://store.example/b/f?X-Amz-Credential=hunter2&X-Amz-Signature=hunter2&X-Amz-Security-Token=hunter2",
        "https://a.blob.core.windows.net/c?sv=1&sig=hunter2",
        "no connection to https://token:hunter2@mlflow.example (again https://hunter2@mlflow.example)",
    ],
)
def test_secrets_are_not_printed(text):
    said = without_secrets(text)
    assert "hunter2" not in said
    assert "example" in said or "windows.net" in said
