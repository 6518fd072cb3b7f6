"""Compresses the scripts and styles of Streamlit's page, which Streamlit sends as they are.

Streamlit leaves that to a proxy. Most explorers have none, and the scripts are most of the first load. Each file is
compressed once and then kept, because its name changes with its content.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Server = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MOST_KEPT = 400  # files; Streamlit has about 320
_LEVEL = 6
_TYPES = (b"javascript", b"text/css")


class CompressedScripts:
    """An ASGI server that sends the scripts and styles of another one compressed, to browsers that accept it."""

    def __init__(self, app: Server) -> None:
        self._app = app
        self._kept: dict[str, Message] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Respond to a request: compressed if it is for a script or a style, else as the other server does."""
        if not _may_compress(scope):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path not in self._kept:
            response = _Response(send)
            await self._app(scope, receive, response.take)
            if response.start is None or not _is_whole(response.start):
                return
            made = await asyncio.to_thread(gzip.compress, bytes(response.body), _LEVEL, mtime=0)
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[path] = {"start": _compressed(response.start, len(made)), "body": made}
        kept = self._kept[path]
        await send(kept["start"])
        await send({"type": "http.response.body", "body": kept["body"]})


class _Response:
    """A response of the other server. What is compressed is held back, and everything else is passed on as it comes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.start: Message | None = None
        self.body = bytearray()

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        if self.start is not None and _is_whole(self.start):
            self.body += message.get("body", b"")
        else:
            await self._send(message)


def _may_compress(scope: MutableMapping[str, Any]) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET" or "/static/" not in scope["path"]:
        return False
    asked = dict(scope["headers"])
    # A request that names a state or a part of the file gets the response of the other server.
    return b"gzip" in asked.get(b"accept-encoding", b"") and not {b"range", b"if-none-match"} & asked.keys()


def _is_whole(start: Message) -> bool:
    """Tell whether a response is a whole script or style that is not compressed yet."""
    headers = dict(start["headers"])
    kind = headers.get(b"content-type", b"")
    return start["status"] == 200 and b"content-encoding" not in headers and any(name in kind for name in _TYPES)


def _compressed(start: Message, size: int) -> Message:
    """Return the start of a response with the headers of its compressed body."""
    changed = (b"content-length", b"etag", b"accept-ranges")
    headers = [(name, value) for name, value in start["headers"] if name.lower() not in changed]
    headers += [(b"content-encoding", b"gzip"), (b"content-length", str(size).encode()), (b"vary", b"Accept-Encoding")]
    return {**start, "headers": headers}
