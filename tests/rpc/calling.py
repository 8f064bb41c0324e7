"""Calls of the tests that run over every transport, by the client of gRPC."""

from __future__ import annotations

import asyncio

import grpc

from tests.rpc.wire import PATIENCE, Echo, Service

Status = grpc.StatusCode


GONE = (None, Status.OK)  # see Handler.half_closed


def connected(service: Service) -> grpc.aio.Channel:
    """A channel with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    return grpc.aio.insecure_channel(f"127.0.0.1:{service.port}", options=options)


async def ended(echo: Echo) -> grpc.StatusCode | None:
    """How a call ended, which is told once."""
    await asyncio.wait_for(echo.over.wait(), PATIENCE)
    (end,) = echo.ends
    return end and end.code


async def opened(channel: grpc.aio.Channel, service: Service) -> tuple[grpc.aio.StreamStreamCall, Echo]:
    """A call that has been answered once."""
    stream = channel.stream_stream("/test/Echo")()
    await stream.write(b"hello")
    assert await stream.read() == b"hello"
    return stream, service.calls[-1]
