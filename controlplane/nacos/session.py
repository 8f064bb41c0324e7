"""Nacos's gRPC protocol: one short connection, over which requests are sent and answered.

Every server from 2.0 on has this protocol for its own clients: a message with a type, and JSON in it
(`protos/nacos.proto`). A connection is registered by a stream that stays open; a request that comes before
the server has registered it is answered with the code 301. What servers push over that stream is not read
here: a session lasts less than the time between their checks of a connection, so none has to be answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from controlplane.nacos import tls
from controlplane.nacos.access import NacosConnection, grpc_address
from controlplane.nacos.errors import (
    ConnectionLost,
    NacosError,
    NoAnswer,
    RequestFailed,
    UnexpectedAnswer,
    no_grpc,
)
from controlplane.nacos.generated.nacos_pb2 import Payload
from controlplane.nacos.reach import probe

UNREGISTERED = 301
"""Nacos's code for a request that came before the stream that registers its connection."""

UNREGISTERED_PAUSE = 0.01
"""Seconds until such a request is sent again."""

_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


@dataclass(frozen=True)
class Answer:
    """What a server answered: the type of the message, and its JSON object."""

    kind: str
    told: dict[str, Any]

    @property
    def code(self) -> int:
        """Nacos's error code, 0 if there is none."""
        return int(self.told.get("errorCode") or 0)

    @property
    def message(self) -> str:
        """What the server says of an error."""
        return str(self.told.get("message") or "")

    @property
    def is_error(self) -> bool:
        """Whether it is no answer of the request's own kind: then the code is of the connection."""
        return self.kind == "ErrorResponse"


class Session:
    """A connection to the gRPC port `address`, which is registered or about to be."""

    def __init__(self, address: str, ask: grpc.aio.UnaryUnaryMultiCallable[Payload, Payload]) -> None:
        self.address = address
        self._ask = ask

    async def request(self, kind: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        """Send a request of type `kind`; returns the answer, which may be an error. The caller sets a time
        limit.

        Raises ConnectionLost, RequestFailed, UnexpectedAnswer.
        """
        payload = _payload(kind, body, headers)
        while True:
            try:
                answered = await self._ask(payload)
                answer = Answer(answered.metadata.type, dict(json.loads(answered.body.value)))
            except grpc.aio.AioRpcError as error:
                raise failed(error, self.address) from error
            except (ValueError, TypeError) as error:
                raise UnexpectedAnswer(
                    f"the answer to {kind} cannot be read: {error}", self.address
                ) from error
            if not (answer.is_error and answer.code == UNREGISTERED):
                return answer
            await asyncio.sleep(UNREGISTERED_PAUSE)


@contextlib.asynccontextmanager
async def connected(connection: NacosConnection, address: str) -> AsyncIterator[Session]:
    """A session with the configuration service of the server at `address`.

    Raises ServerUnreachable, TlsFailed, NoAnswer.
    """
    async with channel(grpc_address(address), connection.tls, connection.ca_file) as open_channel:
        codec = {
            "request_serializer": Payload.SerializeToString,
            "response_deserializer": Payload.FromString,
        }
        ask = open_channel.unary_unary("/Request/request", **codec)
        stream = open_channel.stream_stream("/BiRequestStream/requestBiStream", **codec)()
        setup = {
            "clientVersion": "Laneway",
            "tenant": connection.tenant,
            "labels": {"source": "sdk", "module": "config", "AppName": "laneway"},
            "module": "internal",
        }
        try:
            async with asyncio.timeout(connection.request_timeout):
                await ask(_payload("ServerCheckRequest", {"module": "internal"}))
                await stream.write(_payload("ConnectionSetupRequest", setup))
        except (TimeoutError, grpc.aio.AioRpcError) as error:
            raise await _why_not(connection, address, error) from None
        try:
            yield Session(grpc_address(address), ask)
        finally:
            stream.cancel()


def channel(
    target: str, by_tls: bool, ca_file: Path | None, options: Sequence[tuple[str, Any]] = ()
) -> grpc.aio.Channel:
    """A gRPC channel to `target` (host:port) that uses no proxy and no connection of another channel.

    `options` are added to these. Raises TlsFailed where the CA file cannot be used.
    """
    if not by_tls:
        return grpc.aio.insecure_channel(target, [*_OPTIONS, *options])
    trusted = grpc.ssl_channel_credentials(tls.roots(ca_file))
    return grpc.aio.secure_channel(target, trusted, [*_OPTIONS, *options])


def failed(error: grpc.aio.AioRpcError, address: str) -> NacosError:
    """The error for a call over an open connection to which no answer came."""
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return ConnectionLost(f"the connection was lost ({error.details()})", address)
    return RequestFailed(f"gRPC answers {error.code().name}: {error.details()}", address)


async def _why_not(
    connection: NacosConnection, address: str, error: TimeoutError | grpc.aio.AioRpcError
) -> NacosError:
    """The error for a connection that could not be made, in the system's words where there are any."""
    try:
        await probe(connection, address)
    except NacosError as found:
        return found
    target = grpc_address(address)
    if isinstance(error, TimeoutError):
        return NoAnswer(connection.request_timeout, target)
    return no_grpc(connection, target, error.details() or "")


def _payload(kind: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Payload:
    payload = Payload()
    payload.metadata.type = kind
    payload.metadata.headers.update(headers or {})
    payload.body.value = json.dumps(body).encode()
    return payload
