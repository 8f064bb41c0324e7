"""Three clients of one world, two of which get changes first."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.xds.client import Stream, resource
from tests.xds.world import World

NEVER = 60.0


class Trio:
    """Three clients of one world that have version 1 of everything; the first two get changes first."""

    def __init__(self, world: World, delta: bool) -> None:
        self.world = world
        self.delta = delta
        self.one = world.connect("one", delta=delta)
        self.two = world.connect("two", delta=delta)
        self.three = world.connect("three", delta=delta)
        self.all = (self.one, self.two, self.three)

    async def start(self) -> None:
        for type_url, name in ((CLUSTER, "old"), (ENDPOINT, "old"), (LISTENER, "a"), (ROUTE, "a")):
            self.world[type_url].put(resource(name))
        for stream in self.all:
            await self.subscribe(stream)

    async def subscribe(self, stream: Stream) -> None:
        for type_url, name in ((CLUSTER, "old"), (ENDPOINT, "old"), (LISTENER, "a"), (ROUTE, "a")):
            await stream.subscribe(type_url, [] if type_url in (CLUSTER, LISTENER) else [name])
            await stream.expect(type_url, [name])
        await stream.quiet()

    async def late(self, type_url: str, name: str = "late") -> Stream:
        """A client that has asked for `a` of this type alone."""
        stream = self.world.connect(name, delta=self.delta)
        await stream.subscribe(type_url, [] if type_url == LISTENER else ["a"])
        return stream

    async def change_beside_late(self, type_url: str) -> Stream:
        """A fourth client that has `a`, as it was before it is changed to version 2."""
        late = await self.late(type_url)
        await late.expect(type_url, ["a"])
        await late.quiet()
        self.world[type_url].put(resource("a", "2"))
        return late

    async def asked(self) -> tuple[Any, Any]:
        """What the first two are sent, and nobody else."""
        replies = (await self.one.reply(), await self.two.reply())
        await self.three.quiet()
        return replies

    async def reject(self, type_url: str, content: str = "bad") -> None:
        """Change `a` so that the first two reject it."""
        self.world[type_url].put(resource("a", content))
        first, second = await self.asked()
        await self.one.ack(first, error="no such filter")
        await self.one.quiet()
        await self.two.ack(second, error="not here either")
        await self.two.quiet()
        await self.one.quiet()
        await self.three.quiet()

    def content(self, reply: object) -> list[bytes]:
        parts = reply.resources  # pyright: ignore[reportAttributeAccessIssue]
        return [part.resource.value if self.delta else part.value for part in parts]


tried = pytest.mark.parametrize("type_url", [LISTENER, ROUTE], ids=["listener", "route"])
