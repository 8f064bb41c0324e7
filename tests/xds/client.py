"""A bare xDS client for tests: one stream over a real channel, requests as they are written, replies in
order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import grpc

from controlplane.xds import messages
from controlplane.xds.discovery import METHODS
from controlplane.xds.resource import RUNTIME, Resource

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
DELTA = f"/{ADS}/DeltaAggregatedResources"
SOTW = f"/{ADS}/StreamAggregatedResources"
PROBES = ("probe-a", "probe-b")  # of type RUNTIME, in every world: see Stream.quiet
SEPARATE = {
    (only, variant.__name__.startswith("Delta")): f"/{service}/{method}"
    for service, method, variant, only in METHODS
    if only
}


EOF: Any = cast("Any", grpc.aio).EOF


class Stream:
    """One open stream. `expect` waits for a reply; `quiet` shows that none is under way by a round trip."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        node: str,
        *,
        delta: bool,
        method: str | None = None,
        application: str = "",
    ) -> None:
        """application: says that it is a sidecar of it."""
        self._application = application
        self.delta = delta
        self.node = node
        self._request = messages.DeltaRequest if delta else messages.SotwRequest
        response = messages.DeltaResponse if delta else messages.SotwResponse
        self.call: Any = channel.stream_stream(
            method or (DELTA if delta else SOTW),
            request_serializer=lambda request: (
                request if isinstance(request, bytes) else request.SerializeToString()
            ),
            response_deserializer=response.FromString,
        )()
        self._first = True
        self._probes = 0
        self._last: dict[str, Any] = {}
        self._names: dict[str, list[str]] = {}

    def request(self, type_url: str) -> Any:
        """A request to fill in by hand, without a node."""
        return self._request(type_url=type_url)

    async def write(self, request: Any) -> None:
        await self.call.write(request)

    async def send(self, type_url: str, **fields: Any) -> None:
        """A request with the node in the first only. SotW: resource_names, version_info, response_nonce."""
        request = self._request(type_url=type_url, **fields)
        if self._first:
            request.node.id = self.node
            if self._application:
                request.node.cluster = self._application
                request.node.metadata["role"] = "sidecar"
            self._first = False
        if not self.delta and "resource_names" in fields:
            self._names[type_url] = list(fields["resource_names"])
        await self.call.write(request)

    async def subscribe(
        self,
        type_url: str,
        names: Sequence[str] = (),
        *,
        unsubscribe: Sequence[str] = (),
        initial: Mapping[str, str] | None = None,
        version: str = "",
    ) -> None:
        """Ask for names, in the way of the variant. In SotW `names` is the whole new set."""
        if self.delta:
            await self.send(
                type_url,
                resource_names_subscribe=names,
                resource_names_unsubscribe=unsubscribe,
                initial_resource_versions=dict(initial or {}),
            )
        else:
            last = self._last.get(type_url)
            await self.send(
                type_url,
                resource_names=names,
                version_info=last.version_info if last else version,
                response_nonce=last.nonce if last else "",
            )

    async def reply(self, timeout: float = 5.0) -> Any:  # noqa: ASYNC109
        reply = await asyncio.wait_for(self.call.read(), timeout)
        assert reply is not EOF, "the stream ended"
        self._last[reply.type_url] = reply
        return reply

    async def ack(self, reply: Any, error: str = "") -> None:
        fields: dict[str, Any] = {"response_nonce": reply.nonce}
        if not self.delta:
            fields |= {"resource_names": self._names.get(reply.type_url, [])}
            fields |= {"version_info": "" if error else reply.version_info}
        request = self._request(type_url=reply.type_url, **fields)
        if error:
            request.error_detail.code = 13
            request.error_detail.message = error
        await self.call.write(request)

    async def expect(self, type_url: str, names: Sequence[str], removed: Sequence[str] = ()) -> Any:
        """The next reply, which must be of that type with those resources, acknowledged."""
        reply = await self.reply()
        assert reply.type_url == type_url, reply
        assert sorted(self.names_of(reply)) == sorted(names), reply
        if self.delta:
            assert sorted(reply.removed_resources) == sorted(removed), reply
        await self.ack(reply)
        return reply

    def names_of(self, reply: Any) -> list[str]:
        if self.delta:
            return [resource.name for resource in reply.resources]
        return [name_of(resource) for resource in reply.resources]

    async def quiet(self) -> None:
        """Nothing is under way: a request that must be answered is answered by the very next reply."""
        self._probes += 1
        name = PROBES[self._probes % 2]
        await self.subscribe(RUNTIME, [name])
        reply = await self.reply()
        assert reply.type_url == RUNTIME, f"unexpected: {reply}"
        await self.ack(reply)

    async def status(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ended; what it still had to say is read first, the status comes behind it."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await self.call.read() is not EOF:
                pass
        return await self.call.code(), await self.call.details()


def _serialise(request: Any) -> bytes:
    """Bytes go as they are, so that a test can send garbage."""
    return request if isinstance(request, bytes) else request.SerializeToString()


def name_of(resource: Any) -> str:
    """Bodies of the tests are `name=...` as bytes, no Envoy message: the server must not care."""
    return resource.value.split(b"|")[0].decode()


def resource(name: str, content: str = "1", aliases: tuple[str, ...] = ()) -> Resource:
    return Resource.of(name, f"{name}|{content}".encode(), aliases)
