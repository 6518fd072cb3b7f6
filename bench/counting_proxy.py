"""Stands between a browser and a server, and counts the bytes that the server sends: files and messages alike."""

from __future__ import annotations

import asyncio
from types import TracebackType
from urllib.parse import urlsplit


class CountingProxy:
    """A proxy to one server, as in `async with CountingProxy(address) as proxy`.

    Open `proxy.address`, and read `proxy.num_bytes`. The bytes are those on the wire, compressed or not.
    """

    def __init__(self, address: str) -> None:
        found = urlsplit(address)
        self._target = (found.hostname, found.port)
        self._tasks: set[asyncio.Task[None]] = set()
        self.num_bytes = 0
        self.address = ""

    async def __aenter__(self) -> CountingProxy:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, from_browser: asyncio.StreamReader, to_browser: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._target)
        for pair in ((from_browser, to_server, False), (from_server, to_browser, True)):
            task = asyncio.create_task(self._pass_on(*pair))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, counts: bool) -> None:
        try:
            while data := await source.read(65536):
                self.num_bytes += len(data) if counts else 0
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # the other side closed first
        finally:
            sink.close()
