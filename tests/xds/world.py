"""A server whose nodes all see one view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import grpc

from controlplane.rpc.choice import TransportName, transport
from controlplane.rpc.transport import Limits
from controlplane.xds.bounds import Bounds
from controlplane.xds.node import Node
from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE, RUNTIME
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.server import XdsServer
from controlplane.xds.subscription import LEGACY_WILDCARD
from controlplane.xds.view import View
from tests.trust import Identity
from tests.xds.client import PROBES, Stream, resource

_LIMITS = {field.name for field in fields(Limits)}
_BOUNDS = {field.name for field in fields(Bounds)}


class World:
    """A server whose nodes all see one view with a collection of each type.

    settings: those of XdsServer, by the names of Bounds what it allows, and by those of Limits what its
    transport does.
    """

    def __init__(
        self,
        transport_name: TransportName,
        classify: Callable[[Node], View] | None = None,
        *,
        ready: bool = True,
        **settings: Any,
    ) -> None:
        self.clock = Clock()
        self.collections = {type_url: Collection(self.clock, type_url) for type_url in PUSH_ORDER}
        for name in PROBES:
            self.collections[RUNTIME].put(resource(name))
        self.view = View(self.clock, {type_url: [part] for type_url, part in self.collections.items()})
        limits = Limits(**{name: settings.pop(name) for name in _LIMITS & settings.keys()})
        bounds = Bounds(**{name: settings.pop(name) for name in _BOUNDS & settings.keys()})
        made = transport(transport_name, limits, settings.pop("tls", None))
        self.server = XdsServer(
            classify or (lambda _node: self.view), self.clock, transport=made, bounds=bounds, **settings
        )
        self.ready = ready
        self.port = 0
        self._channels: list[grpc.aio.Channel] = []

    def __getitem__(self, type_url: str) -> Collection:
        return self.collections[type_url]

    async def start(self) -> World:
        self.port = await self.server.start("127.0.0.1:0")
        if self.ready:
            self.server.set_ready()
        return self

    def channel(self, client: Identity | None = None) -> grpc.aio.Channel:
        """A channel with a connection of its own. client: who it is, over TLS."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        if client is None:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options)
        else:
            where = f"localhost:{self.port}"
            channel = grpc.aio.secure_channel(where, client.credentials(), options=options)
        self._channels.append(channel)
        return channel

    def connect(
        self, node: str = "node", *, delta: bool, method: str | None = None, of: Identity | None = None
    ) -> Stream:
        """A stream. of: of a sidecar with this certificate of an application."""
        application = of.path.removeprefix("application/") if of is not None else ""
        channel = self.channel(of)
        return Stream(channel, node, delta=delta, method=method, application=application)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        await self.server.stop(0.1)


Worlds = Callable[..., World]


async def subscribe_all(stream: Stream, world: World, names: list[str]) -> None:
    """Bring a stream to where an Envoy is after its start, with the same names in all four types."""
    for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
        for name in names:
            world[type_url].put(resource(name))
    for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
        await stream.subscribe(type_url, [] if type_url in LEGACY_WILDCARD else names)
        await stream.expect(type_url, names)
