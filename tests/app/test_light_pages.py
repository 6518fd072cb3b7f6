"""What keeps pages light: scripts are sent compressed, and what is imported is not collected after every page."""

from __future__ import annotations

import asyncio
import gc
import gzip

import pytest

from pct_mlops.explorer import compressed, garbage
from pct_mlops.explorer.queries import pairs

SCRIPT = b"export const answer = 42;\n" * 200
HEADERS = [(b"content-type", b"text/javascript"), (b"content-length", b"5200"), (b"etag", b'"x"')]


class Server:
    """A server of one answer, which counts how often it is asked."""

    def __init__(self, status=200, headers=HEADERS):
        self.asked, self.status, self.headers = 0, status, headers

    async def __call__(self, scope, receive, send):
        self.asked += 1
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        for part in (SCRIPT[:3000], SCRIPT[3000:]):
            await send({"type": "http.response.body", "body": part, "more_body": part is not SCRIPT[3000:]})


def ask(app, path="/static/js/index.abc.js", method="GET", **headers):
    """The answer as (status, headers, body)."""
    sent = []

    async def send(message):
        sent.append(message)

    given = {"accept-encoding": "gzip, br", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {"type": "http", "method": method, "path": path}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in given.items() if value]
    asyncio.run(app(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


def test_a_script_is_compressed_once_and_says_so():
    server = Server()
    app = compressed.CompressedScripts(server)

    for _ in range(2):
        status, headers, body = ask(app)
        assert status == 200
        assert gzip.decompress(body) == SCRIPT
        assert headers[b"content-encoding"] == b"gzip"
        assert headers[b"content-length"] == str(len(body)).encode()
        assert headers[b"vary"] == b"Accept-Encoding"
        assert b"etag" not in headers
    assert server.asked == 1
    assert len(body) < len(SCRIPT) / 10


@pytest.mark.parametrize(
    ("server", "request_"),
    [
        (Server(), {"accept_encoding": ""}),
        (Server(), {"path": "/media/a.js"}),
        (Server(), {"method": "HEAD"}),
        (Server(), {"range": "bytes=0-9"}),
        (Server(), {"if_none_match": '"x"'}),
        (Server(status=404), {}),
        (Server(headers=[(b"content-type", b"font/woff2")]), {"path": "/static/media/a.woff2"}),
        (Server(headers=[*HEADERS, (b"content-encoding", b"br")]), {}),
    ],
)
def test_any_other_answer_is_passed_on_as_it_is(server, request_):
    app = compressed.CompressedScripts(server)

    for asked in (1, 2):
        status, headers, body = ask(app, **request_)
        assert (status, headers, body) == (server.status, dict(server.headers), SCRIPT)
        assert server.asked == asked


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(compressed, "MOST_KEPT", 3)
    server = Server()
    app = compressed.CompressedScripts(server)

    for number in range(10):
        assert gzip.decompress(ask(app, f"/static/js/{number}.js")[2]) == SCRIPT
    assert server.asked == 10
    assert len(app._kept) <= 3


def test_what_a_view_imported_is_frozen_once():
    garbage.keep_modules.clear()
    before = gc.get_freeze_count()
    try:
        garbage.keep_modules("a view")
        frozen = gc.get_freeze_count()
        assert frozen > before
        kept = [[] for _ in range(1000)]
        garbage.keep_modules("a view")
        assert gc.get_freeze_count() <= frozen + 100 < frozen + len(kept)
    finally:
        gc.unfreeze()


def test_keys_of_tables_are_text_that_tells_them_apart():
    one = pairs.VersionTable(None, "shoes", 1)
    keys = [one, pairs.VersionTable(None, "shoes", 2), pairs.VersionTable("x", "shoes", 1), pairs.FileTable("a", 1)]
    keys += [pairs.Pair(one, keys[1], "a", "b"), pairs.Pair(one, keys[1], "a", "b", images="i")]

    assert len({pairs.key_text(key) for key in keys}) == len(keys)
    assert pairs.key_text(pairs.VersionTable(None, "shoes", 1)) == pairs.key_text(one)
