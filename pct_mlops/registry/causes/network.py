"""Causes that lie between this machine and a server: certificates, proxies, logins, the server itself."""

from __future__ import annotations

from pct_mlops.errors import RegistryError, RegistryForbiddenError, RegistryNotFoundError
from pct_mlops.registry.causes.cause import Cause

TLS: tuple[Cause, ...] = (
    Cause(
        "certificate expired",
        "The certificate of {peer} has expired, or this machine's clock is wrong: renew it, or set the clock.",
        signs=("tls 9", "tls 10"),
    ),
    Cause(
        "certificate of another host",
        "The certificate of {peer} is for another host name: write the name that it carries into {variable}.",
        signs=("tls 62", "tls 64"),
    ),
    Cause(
        "certificate of an unknown authority",
        "The certificate of {peer} is signed by an authority that this machine does not know: set "
        "MLFLOW_TRACKING_SERVER_CERT_PATH or REQUESTS_CA_BUNDLE to the file with that authority's certificate.",
        signs=("tls CERTIFICATE_VERIFY_FAILED",),
    ),
    Cause(
        "certificate file missing",
        "A certificate file cannot be found ({detail}): correct REQUESTS_CA_BUNDLE, MLFLOW_TRACKING_SERVER_CERT_PATH "
        "or MLFLOW_TRACKING_CLIENT_CERT_PATH.",
        words="Could not find (a suitable TLS CA certificate bundle|the TLS (certificate|key) file)",
    ),
    Cause(
        "https to a server without TLS",
        "{Peer} does not speak TLS: write http:// instead of https:// into {variable}.",
        signs=("tls WRONG_VERSION_NUMBER", "tls RECORD_LAYER_FAILURE", "tls HTTP_REQUEST"),
    ),
    Cause(
        "client certificate wanted",
        "{Peer} wants a certificate of the client: set MLFLOW_TRACKING_CLIENT_CERT_PATH.",
        signs=("tls TLSV13_ALERT_CERTIFICATE_REQUIRED", "tls SSLV3_ALERT_HANDSHAKE_FAILURE"),
        kind=RegistryForbiddenError,
    ),
    Cause(
        "TLS failed",
        "No TLS connection with {peer} could be made ({detail}): check its certificate with 'openssl s_client'.",
        signs=("ssl.SSLError", "requests.SSLError"),
    ),
    Cause(
        "http to a server with TLS",
        "{Peer} expects TLS: write https:// instead of http:// into {variable}.",
        words="plain HTTP request was sent to HTTPS port",
    ),
)

SERVER: tuple[Cause, ...] = (
    Cause(
        "proxy does not respond",
        "The proxy that stands before {peer} refuses or does not respond: correct HTTP_PROXY or HTTPS_PROXY, or add "
        "{host} to NO_PROXY.",
        signs=("requests.ProxyError", "urllib3.ProxyError", "http 407"),
    ),
    Cause(
        "not logged in (401)",
        "{Peer} does not know who asks (401, {doing}): {credentials}.",
        signs=("http 401", "mlflow UNAUTHENTICATED", "mlflow CUSTOMER_UNAUTHORIZED"),
        kind=RegistryForbiddenError,
    ),
    Cause(
        "not allowed (403)",
        "{Peer} does not allow this (403, {doing}): ask for the permission, or {credentials}.",
        signs=("http 403", "mlflow PERMISSION_DENIED"),
        kind=RegistryForbiddenError,
    ),
    Cause(
        "a web page instead of JSON",
        "{Peer} sent a web page instead of MLflow's JSON ({doing}): a proxy or a login page stands before it, so "
        "correct {variable}, or set MLFLOW_TRACKING_TOKEN.",
        signs=("http 200", "http 302", "http 303"),
        words="response body was not in a valid JSON format",
    ),
    Cause(
        "no MLflow server, or an old one (404)",
        "{Peer} does not know this request of MLflow ({doing}, 404): correct {variable}, or update the server to "
        "MLflow 3.",
        signs=("mlflow ENDPOINT_NOT_FOUND", "http 404", "http 405"),
        kind=RegistryError,
    ),
    Cause(
        "file not on the server (404)",
        "{Peer} does not have the file ({doing}, 404): restore it from a backup, or start the server with "
        "--serve-artifacts.",
        signs=("file 404",),
        kind=RegistryNotFoundError,
    ),
    Cause(
        "file too large (413)",
        "{Peer} refuses a file of this size (413, {doing}): raise the limit of the server or of the proxy before it, "
        "for nginx client_max_body_size.",
        signs=("http 413",),
        kind=RegistryError,
    ),
    Cause(
        "too many requests (429)",
        "{Peer} receives too many requests (429, {doing}): try again later.",
        signs=("http 429", "mlflow REQUEST_LIMIT_EXCEEDED"),
        words="too many 429 error responses",
    ),
    Cause(
        "gateway without a server (502 to 504)",
        "A gateway says that {peer} is not there behind it (502 to 504, {doing}): start the server, or try again "
        "later.",
        signs=("http 502", "http 503", "http 504"),
        words="too many 50[234] error responses",
    ),
    Cause(
        "server failed (500)",
        "{Peer} failed itself (500, {doing}): read its log, and check that its database and its artifact store work.",
        signs=("http 500",),
        words="too many 500 error responses",
    ),
    Cause(
        "unknown host",
        "The host {host} is not known ({doing}): correct {variable}, or check the network.",
        signs=("socket.gaierror", "urllib3.NameResolutionError", "mysql 2005"),
        words="could not translate host name|Name or service not known",
    ),
    Cause(
        "server down",
        "{Peer} does not respond ({doing}): start it, or set {variable} to the one that runs.",
        signs=("errno ECONNREFUSED", "errno EHOSTUNREACH", "errno ENETUNREACH", "mysql 2002", "mysql 2003"),
        words="Connection refused|could not connect to server|connection timeout expired",
    ),
    Cause(
        "server slow",
        "{Peer} does not respond in time ({doing}): try again, or raise MLFLOW_HTTP_REQUEST_TIMEOUT (seconds).",
        signs=("requests.Timeout", "urllib3.TimeoutError", "errno ETIMEDOUT"),
    ),
    Cause(
        "connection closed",
        "{Peer} closed the connection ({doing}): write https:// into {variable} if it expects TLS, or read its log.",
        signs=("errno ECONNRESET", "http.RemoteDisconnected", "urllib3.ProtocolError", "urllib3.IncompleteRead"),
    ),
    Cause(
        "no MLflow address",
        "{variable} is no address that MLflow knows ({doing}): write https://HOST, postgresql://USER@HOST/NAME or "
        "sqlite:////FOLDER/mlflow.db.",
        signs=(
            "mlflow.UnsupportedModelRegistryStoreURIException",
            "mlflow.InvalidUrlException",
            "requests.InvalidURL",
            "sqlalchemy.ArgumentError",
        ),
        words="got unsupported URI|Invalid IPv6 URL",
        kind=RegistryError,
    ),
)
