"""Set-ups that do not work, each as a context that gives the tracking URI: servers, certificates, files."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import sqlite3
import ssl
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fresh_databases
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

OLD = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


class Reply(BaseHTTPRequestHandler):
    """Sends the server's `reply` (status, content type, body) to whatever is asked."""

    def do_GET(self):
        status, kind, body = self.server.reply
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """Says nothing of clients that leave a handshake."""

    daemon_threads = True

    def handle_error(self, *_):
        pass


@contextmanager
def server(status=200, body=b"{}", kind="application/json", *, certificate=None, scheme=None):
    made = Server(("127.0.0.1", 0), Reply)
    made.reply = status, kind, body
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"{scheme or ('https' if certificate else 'http')}://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()


def certificate(folder, *, address="127.0.0.1", expired=False):
    """A file with a key and a certificate that nobody else signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pct test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    start, end = (
        (OLD, OLD + datetime.timedelta(1)) if expired else (now - datetime.timedelta(1), now + datetime.timedelta(1))
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@contextmanager
def silent(*, closes=False):
    """A port that takes connections and says nothing, or hangs up."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        over = threading.Event()

        def hang_up():
            listener.settimeout(0.05)
            while not over.is_set():
                try:
                    listener.accept()[0].close()
                except OSError:
                    continue

        if closes:
            threading.Thread(target=hang_up, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return listener.getsockname()[1]


def database(folder, *statements):
    """A SQLite store of MLflow's, changed by SQL."""
    file = folder / "changed.db"
    file.write_bytes(fresh_databases.template())
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return f"sqlite:///{file}"
