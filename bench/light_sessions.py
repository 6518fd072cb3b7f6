"""Simulates reviewers without a browser: sessions over the explorer's websocket, which cost only the server.

Each session opens an address of its own and goes on to others, as links and the browser's history do. A step lasts
until the server says that the page is complete.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

# View and address of each step. Each reviewer begins at another step. The classes are those of the bench's tables.
WALK: tuple[tuple[str, dict[str, str]], ...] = (
    ("overview", {}),
    ("classes", {}),
    ("classes", {"order": "pfr"}),
    ("examples", {"target": "class 0003"}),
    ("examples", {"kind": "positive"}),
    ("examples", {"kind": "positive", "page": "3"}),
    ("examples", {"page": "2", "sort": "sample_id"}),
    ("slices", {"by": "camera"}),
    ("gate", {}),
    ("gate", {"limit1": "5"}),
)
PATIENCE = 120.0  # seconds


@dataclass(frozen=True)
class Step:
    """The cost of one address: seconds until it was drawn, and the messages that were sent for it."""

    view: str
    seconds: float
    num_bytes: int
    num_messages: int


class Process:
    """Figures of the system about the server: `cpu` seconds so far, `memory` in MB now, and `peak` in MB."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)

    @property
    def cpu(self) -> float:
        fields = (self._folder / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> float:
        return self._status("VmRSS")

    @property
    def peak(self) -> float:
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        (self._folder / "clear_refs").write_text("5")

    def _status(self, key: str) -> float:
        return int((self._folder / "status").read_text().split(f"{key}:")[1].split()[0]) / 1024


class Session:
    """One reviewer: `async with Session(address) as session: await session.open(view, query)`."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._pages: dict[str, str] = {}
        self._socket: ClientConnection

    async def __aenter__(self) -> Session:
        address = self._address.replace("http", "ws", 1) + "/_stcore/stream"
        self._socket = await connect(address, subprotocols=["streamlit"], max_size=None, ping_interval=None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()

    async def open(self, view: str, query: dict[str, str]) -> Step:
        """Ask for a view and wait until its script has ended. Raise RuntimeError for an exception on the page."""
        name = "" if view == "overview" else view
        asked = BackMsg()
        state = asked.rerun_script
        state.query_string = urlencode(query)
        state.page_name = name
        state.page_script_hash = self._pages.get(name, "")
        state.context_info.color_scheme = "light"
        began = time.perf_counter()
        await self._socket.send(asked.SerializeToString())
        num_bytes = num_messages = 0
        while True:
            data = await asyncio.wait_for(self._socket.recv(decode=False), PATIENCE)
            num_bytes, num_messages = num_bytes + len(data), num_messages + 1
            said = ForwardMsg.FromString(data)
            self._learn(said)
            if said.WhichOneof("type") == "script_finished":
                if said.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
                    continue  # the message is about an earlier run, which this one replaced
                return Step(view, time.perf_counter() - began, num_bytes, num_messages)

    def _learn(self, said: ForwardMsg) -> None:
        for page in said.navigation.app_pages:
            self._pages["" if page.is_default else page.url_pathname] = page.page_script_hash
        element = said.delta.new_element
        if element.WhichOneof("type") == "exception":
            raise RuntimeError(f"{element.exception.type}: {element.exception.message}")


async def _walk(session: Session, first: int) -> list[Step]:
    places = [(first + number) % len(WALK) for number in range(len(WALK))]
    return [await session.open(*WALK[place]) for place in places]


async def together(address: str, num_reviewers: int) -> list[list[Step]]:
    """Return the steps of each of `num_reviewers` reviewers who work at once without a pause."""
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(Session(address)) for _ in range(num_reviewers)]
        return list(await asyncio.gather(*(_walk(session, first) for first, session in enumerate(sessions))))


async def measure(address: str, process: Process, reviewers: int) -> None:
    """Print the cost to the server of one reviewer, and of `reviewers` at once."""
    await together(address, 1)
    before = process.memory
    process.forget_peak()
    for number in (1, reviewers):
        spent, began = process.cpu, time.perf_counter()
        steps = await together(address, number)
        wall, spent = time.perf_counter() - began, process.cpu - spent
        views = number * len(WALK)
        print(f"{number} session{'' if number == 1 else 's at once'} without a browser, {len(WALK)} views each")
        _line("first view", [found[0].seconds for found in steps])
        _line("each view after it", [step.seconds for found in steps for step in found[1:]])
        print(f"  server: {1000 * spent / views:.0f} ms of processor time a view, {views / wall:.1f} views a second")
        if number == 1:
            for step in steps[0]:
                print(f"    {step.view:<10} {step.seconds:.3f} s {step.num_bytes / 1000:6.0f} kB")
    print(f"  memory of the server: {before:,.0f} MB before, {process.peak:,.0f} MB at most with all of them")


def _line(title: str, seconds: list[float]) -> None:
    print(f"  {title:<22} median {statistics.median(seconds):5.2f} s   slowest {max(seconds):5.2f} s")
