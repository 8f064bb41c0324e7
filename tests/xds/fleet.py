"""Clients that answer by themselves: good ones, which reject what no Envoy takes, and rogues."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc

from controlplane.xds.resource import ROUTE
from tests.trust import Identity
from tests.xds.client import EOF, Stream
from tests.xds.world import World

Policy = Callable[[str], str | None]
"""content -> the text of a rejection, "" to accept it, None to say nothing."""


def good(content: str) -> str | None:
    """As an Envoy."""
    return "no such filter" if content.startswith("bad") else ""


def rejects(content: str) -> str | None:
    """It takes its first configuration and rejects all that follows."""
    return "" if content == "1" else "I do not like it"


def accepts(_content: str) -> str | None:
    """Whatever it is."""
    return ""


def silent(content: str) -> str | None:
    return "" if content == "1" else None


class Auto:
    """A client of the route `a`, whose replies it answers as `policy` says."""

    def __init__(
        self, world: World, node: str, policy: Policy, *, delta: bool, of: Identity | None = None
    ) -> None:
        self.node = node
        self.stream: Stream = world.connect(node, delta=delta, of=of)
        self.policy = policy
        self.have = ""
        self.seen: set[str] = set()
        """Contents that it was sent, whatever it said to them."""
        self.changed = asyncio.Event()
        self._writing = asyncio.Lock()
        self._asked = 0
        self._unanswered: list[tuple[Any, str]] = []
        self._task: asyncio.Task[None] | None = None

    @staticmethod
    def read(body: bytes) -> str:
        """What stands in a resource."""
        return body.decode().split("|")[1]

    async def start(self) -> Auto:
        await self.stream.subscribe(ROUTE, ["a"])
        self._task = asyncio.create_task(self._run())
        await self.has("1")
        return self

    async def has(self, content: str, seconds: float = 10.0) -> None:
        """Wait until it has accepted this content. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while self.have != content:
                self.changed.clear()
                await self.changed.wait()

    async def saw(self, content: str, seconds: float = 10.0) -> None:
        """Wait until it was sent this content. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while content not in self.seen:
                self.changed.clear()
                await self.changed.wait()

    async def ask_again(self) -> None:
        """Subscribe once more, which has to be answered."""
        self._asked += 1
        async with self._writing:
            await self.stream.subscribe(ROUTE, ["a"] if self.stream.delta else ["a", f"other-{self._asked}"])

    async def answer_the_rest(self) -> None:
        """Accept what it has left without an answer."""
        for reply, content in self._unanswered:
            async with self._writing:
                await self.stream.ack(reply)
            self.have = content
        self._unanswered.clear()

    async def leave(self) -> None:
        self.stream.call.cancel()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while (reply := await self.stream.call.read()) is not EOF:
                await self._take(reply)

    async def _take(self, reply: Any) -> None:
        self.stream._last[reply.type_url] = reply  # pyright: ignore[reportPrivateUsage]
        bodies = [part.resource.value if self.stream.delta else part.value for part in reply.resources]
        for body in bodies:
            content = self.read(body)
            self.seen.add(content)
            self.changed.set()
            text = self.policy(content)
            if text is None:
                self._unanswered.append((reply, content))
                return
            async with self._writing:
                await self.stream.ack(reply, text)
            if not text:
                self.have = content
                self.changed.set()
