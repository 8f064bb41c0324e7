"""Reading and writing items by Nacos's gRPC protocol: one short connection for what belongs together.

Every version from 2.0 on has this protocol for its own clients. Over HTTP, Nacos 2.1 takes a comparison and
does not make it, and reading many items takes several times as long. A connection is used for less time than
goes by between checks of its liveness, so none of these has to be answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc

from controlplane.nacos import tls
from controlplane.nacos.connection import NacosConnection, split_address
from controlplane.nacos.generated.nacos_pb2 import Payload
from controlplane.store.interface import StoreUnavailable

GRPC_PORT_OFFSET = 1000
NOT_FOUND, UNREGISTERED, BEING_WRITTEN, FORBIDDEN, FAILED = 300, 301, 400, 403, 500
"""Nacos's codes: no such item; a request that came before the stream that registers its connection, which has
no answer of its own; an item whose copy in the server's cache is being replaced; not let in; a comparison
that failed, or an error in the server.
"""

FAILURES = 5
"""How often one is asked again after an error: Nacos 2.1 has dead locks in its embedded database."""

PAUSE = 0.01


class NotSent(StoreUnavailable):
    """No server took the request: it had no effect."""


class Forbidden(NotSent):
    """The server does not let in who asks."""


Identity = Callable[[bool], Awaitable[Mapping[str, str]]]
"""Gives the headers that let requests in; called with True if the last ones did not."""


class Session:
    """Items of one group at one server. Methods raise StoreUnavailable; a write may have been done then."""

    def __init__(
        self,
        ask: grpc.aio.UnaryUnaryMultiCallable[Payload, Payload],
        place: Mapping[str, str],
        identity: Identity,
        timeout: float,
    ) -> None:
        self._ask = ask
        self._place = place
        self._identity = identity
        self._timeout = timeout

    async def get(self, item: str) -> str | None:
        """The content of an item, None if there is none. It may be older than the last write: servers answer
        out of a cache that follows their database within a second or so.
        """
        told = await self._request("ConfigQueryRequest", {"dataId": item})
        if told.get("errorCode") == NOT_FOUND:
            return None
        _expect(told)
        return str(told["content"])

    async def publish(self, item: str, content: str, kind: str, cas: str | None = None) -> bool:
        """Write an item; with `cas` only if its MD5 is that, or if there is none.

        False if the server refuses the comparison. True does not mean that it held: Nacos 2.1 says so always.
        """
        body: dict[str, Any] = {"dataId": item, "content": content, "additionMap": {"type": kind}}
        told = await self._request("ConfigPublishRequest", body if cas is None else {**body, "casMd5": cas})
        if cas is not None and _is_refusal(told):
            return False
        _expect(told)
        return True

    async def delete(self, item: str) -> None:
        """Remove an item; one that is not there is no error."""
        _expect(await self._request("ConfigRemoveRequest", {"dataId": item}))

    async def _request(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the server says, as it is."""
        whole = {**self._place, **body, "module": "config"}
        try:
            async with asyncio.timeout(self._timeout):
                told = await self._registered(_payload(kind, whole, await self._identity(False)))
                if told.get("errorCode") == FORBIDDEN:
                    told = await self._registered(_payload(kind, whole, await self._identity(True)))
                return told
        except TimeoutError:
            raise StoreUnavailable("Nacos does not answer") from None
        except grpc.aio.AioRpcError as error:
            raise StoreUnavailable(f"the connection to Nacos failed: {error.details()}") from error
        except (ValueError, AttributeError) as error:
            raise StoreUnavailable(f"Nacos does not answer as expected: {error}") from error

    async def _registered(self, payload: Payload) -> dict[str, Any]:
        """The answer, asking again while it means: a moment later. Raises StoreUnavailable."""
        failures = 0
        while True:
            answer = await self._ask(payload)
            told = json.loads(answer.body.value)
            code = told.get("errorCode")
            pause = PAUSE
            if code == FAILED and not _is_refusal(told) and failures < FAILURES:
                failures += 1
                pause = FAILURES * PAUSE * random.random()
            elif code == BEING_WRITTEN and answer.metadata.type == "ConfigQueryResponse":
                pass
            elif answer.metadata.type != "ErrorResponse":
                return told
            elif code != UNREGISTERED:
                # Not of the request's own kind, so the code is another's: 300 is a server that is starting.
                raise StoreUnavailable(f"Nacos says: {told.get('message')}")
            await asyncio.sleep(pause)


@contextlib.asynccontextmanager
async def connected(
    connection: NacosConnection, group: str, address: str, identity: Identity
) -> AsyncIterator[Session]:
    """A session with the server at `address`. Raises NotSent where none can be had."""
    namespace = connection.tenant
    async with _channel(connection, address) as channel:
        codec = {
            "request_serializer": Payload.SerializeToString,
            "response_deserializer": Payload.FromString,
        }
        ask = channel.unary_unary("/Request/request", **codec)
        register = channel.stream_stream("/BiRequestStream/requestBiStream", **codec)
        setup = {
            "clientVersion": "Laneway",
            "tenant": namespace,
            "labels": {"source": "sdk", "module": "config", "AppName": "laneway"},
            "module": "internal",
        }
        stream = register()
        try:
            async with asyncio.timeout(connection.request_timeout):
                await ask(_payload("ServerCheckRequest", {"module": "internal"}))
                await stream.write(_payload("ConnectionSetupRequest", setup))
        except TimeoutError:
            raise NotSent(f"{address}: does not answer by gRPC") from None
        except grpc.aio.AioRpcError as error:
            raise NotSent(f"{address}: the gRPC port cannot be used: {error.details()}") from None
        place = {"group": group, "tenant": namespace}
        try:
            yield Session(ask, place, identity, connection.request_timeout)
        finally:
            stream.cancel()


def _channel(connection: NacosConnection, address: str) -> grpc.aio.Channel:
    host, port = split_address(address)
    target = f"{host}:{port + GRPC_PORT_OFFSET}"
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    if not connection.tls:
        return grpc.aio.insecure_channel(target, options)
    trusted = grpc.ssl_channel_credentials(tls.roots(connection.ca_file))
    return grpc.aio.secure_channel(target, trusted, options)


def _payload(kind: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Payload:
    payload = Payload()
    payload.metadata.type = kind
    payload.metadata.headers.update(headers or {})
    payload.body.value = json.dumps(body).encode()
    return payload


def _is_refusal(told: Mapping[str, Any]) -> bool:
    return "Cas publish fail" in str(told.get("message"))


def _expect(told: Mapping[str, Any]) -> None:
    """Raises StoreUnavailable, Forbidden, if the answer is no success."""
    if told.get("success"):
        return
    reason = f"{told.get('errorCode')} {told.get('message')}"
    if told.get("errorCode") == FORBIDDEN:
        raise Forbidden(f"Nacos refuses access: {reason}")
    raise StoreUnavailable(f"Nacos says: {reason}")
