"""Reduces an exception, and those that it was made from, to signs that a table of causes can be searched for.

A sign is a short text such as `errno ECONNREFUSED`, `tls 18`, `http 401` or `botocore.NoCredentialsError`. It stands
for a type or a code. The libraries below MLflow are never imported here: their exceptions are recognised by name.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from pct_mlops.errors import PctError

_USER = re.compile(r"(?<=://)[^/\s]*@")
# Names of parameters that carry a secret in a connection string or in an address that an object store signed.
_SECRET = re.compile(r"(?i)([?&;][\w.-]*(?:pass|pwd|token|secret|sig|key|credential|auth)[\w.-]*=)[^&\s'\")]+")
_MOST = 40  # exceptions that are looked at
_LONGEST = 300  # characters of what a server said, which may be a whole page
# Codes that MLflow gives a reply which carries none of its own.
_UNCLASSIFIED = ("INTERNAL_ERROR", "ENDPOINT_NOT_FOUND")


def without_secrets(text: str) -> str:
    """Return the text without names, passwords and keys in its addresses: errors end in the logs of CI."""
    return _SECRET.sub(r"\1***", _USER.sub("", text))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text without secrets, shortened to 300 characters."""
    line = without_secrets((str(error).strip().splitlines() or [type(error).__name__])[0])
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


@dataclass(frozen=True)
class Failure:
    """An error with everything that it was made from, the error itself first."""

    links: tuple[BaseException, ...]

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Follow causes, contexts and wrapped exceptions from `error` down."""
        found, pending = list[BaseException](), [error]
        for link in pending:
            if link in found or isinstance(link, PctError) or len(found) >= _MOST:
                continue
            found.append(link)
            pending += _below(link)
        return cls(tuple(found))

    @cached_property
    def signs(self) -> frozenset[str]:
        """Types and codes of all links."""
        return frozenset(sign for link in self.links for sign in _signs(link))

    @cached_property
    def text(self) -> str:
        """Messages of all links, a line or more each."""
        return "\n".join(map(str, self.links))

    @property
    def detail(self) -> str:
        """First line of the link that lies deepest: what the system or the server itself said."""
        spoken = [link for link in self.links if str(link).strip()]
        return first_line(spoken[-1] if spoken else self.links[0])

    @property
    def path(self) -> str:
        """File that an operating system's error is about, empty where none is named."""
        # Of a copy, the second file is the one that is written.
        errors = [link for link in self.links if isinstance(link, OSError)]
        names = [link.filename2 or link.filename for link in errors if link.filename]
        return str(names[-1]) if names else ""

    @property
    def package(self) -> str:
        """Name of the module that could not be imported, empty where that is not what failed."""
        missing = [link for link in self.links if isinstance(link, ImportError)]
        return (missing[-1].name or first_line(missing[-1])) if missing else ""

    @property
    def peer(self) -> str:
        """Address that a failed request went to, as scheme://host:port, empty where none is known."""
        for link in self.links:
            url = getattr(getattr(link, "request", None), "url", None)
            if isinstance(url, str):
                parts = urlsplit(url)
                return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return ""

    def passes_through(self, modules: Sequence[str]) -> bool:
        """Tell whether a frame of these modules lies on the way to one of the links."""
        return any(
            str(frame.f_globals.get("__name__", "")).startswith(tuple(modules))
            for link in self.links
            for frame in _frames(link)
        )


def _below(link: BaseException) -> Iterator[BaseException]:
    """Yield what an exception was made from. Libraries keep it in several places."""
    context = None if link.__suppress_context__ else link.__context__
    for item in (link.__cause__, context, getattr(link, "reason", None), getattr(link, "orig", None), *link.args):
        if isinstance(item, BaseException):
            yield item


def _signs(link: BaseException) -> Iterator[str]:
    for kind in type(link).__mro__:
        if kind.__module__ != "builtins":
            yield f"{kind.__module__.split('.')[0]}.{kind.__name__}"
    if isinstance(link, ImportError) and link.name:
        yield f"module {link.name.split('.')[0]}"
    yield from _system_signs(link)
    yield from _database_signs(link)
    code = getattr(link, "error_code", None)
    if isinstance(code, str) and type(link).__module__.startswith("mlflow"):
        yield f"mlflow {code}"
    # A reply that carries a code of MLflow's has said more than its status does.
    carries = type(link).__name__ == "RestException" and code not in _UNCLASSIFIED
    status = None if carries else _status(link)
    if status is not None:
        # Files are asked for outside of MLflow's own requests, and one that is gone is no fault of the server.
        is_file = status == 404 and type(link).__module__.startswith("requests")
        yield f"{'file' if is_file else 'http'} {status}"


def _system_signs(link: BaseException) -> Iterator[str]:
    if isinstance(link, ssl.SSLError):
        # Its errno is OpenSSL's, and means something else than the system's.
        if isinstance(link, ssl.SSLCertVerificationError):
            yield f"tls {link.verify_code}"
        yield f"tls {link.reason}"
    elif isinstance(link, OSError) and not isinstance(link, socket.gaierror) and link.errno:
        yield f"errno {errno.errorcode.get(link.errno, link.errno)}"


def _database_signs(link: Any) -> Iterator[str]:
    root = type(link).__module__.split(".")[0]
    if root == "sqlite3" and isinstance(getattr(link, "sqlite_errorcode", None), int):
        yield f"sqlite {link.sqlite_errorcode & 0xFF}"  # the primary code; Python 3.10 gives none
    elif root.startswith("psycopg"):
        yield f"sql {getattr(link, 'sqlstate', None) or getattr(link, 'pgcode', None)}"
    elif root in ("pymysql", "MySQLdb") and link.args and isinstance(link.args[0], int):
        yield f"mysql {link.args[0]}"
    elif root == "botocore":
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            yield f"s3 {response.get('Error', {}).get('Code')}"


def _status(link: BaseException) -> int | None:
    """Return the HTTP status of a reply that was refused, None where there was no reply.

    MLflow keeps the status of a reply that it does not understand only in the frame that raised.
    """
    response = getattr(link, "response", None)
    if response is None and type(link).__module__ == "mlflow.exceptions":
        frames = [frame for frame in _frames(link) if frame.f_code.co_name == "verify_rest_response"]
        response = frames[-1].f_locals.get("response") if frames else None
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def _frames(link: BaseException) -> Iterator[Any]:
    trace = link.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def set_variables(names: Sequence[str]) -> list[str]:
    """Return those of the environment variables that are set to something."""
    return [name for name in names if os.environ.get(name)]
