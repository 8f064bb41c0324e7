"""gRPC servers in the test's own process, which answer what they got, and calls whose outcome is all that
a client sees.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from tests.mesh.client import Address

SAY, STREAM = "/test.G/Say", "/test.G/Stream"
OWN = {"user-agent", "x-request-id", "date", "x-envoy-upstream-service-time"}
"""Metadata that differ from call to call."""
Metadata = Sequence[tuple[str, str]]


class Echo(grpc.GenericRpcHandler):
    """`x-status: NAME=CODE` has the server of this name fail so, before its first message or, in a stream,
    after the second.
    """

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self.server = grpc.server(ThreadPoolExecutor(4), handlers=(self,))
        assert self.server.add_insecure_port(f"{address[0]}:{address[1]}")
        self.server.start()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method == STREAM:
            return grpc.stream_stream_rpc_method_handler(self.stream)
        return grpc.unary_unary_rpc_method_handler(self.say)

    def say(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._fail(context)
        context.set_trailing_metadata((("x-server", self.name),))
        seen = [[k, v] for k, v in context.invocation_metadata() if k not in OWN]
        return json.dumps([self.name, len(request), sorted(seen)]).encode()

    def stream(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for number, request in enumerate(requests):
            if number == 2:
                self._fail(context)
            yield f"{self.name} {len(request)}".encode()

    def _fail(self, context: grpc.ServicerContext) -> None:
        for key, value in context.invocation_metadata():
            name, _, code = str(value).partition("=")
            if key == "x-status" and name == self.name:
                context.abort(grpc.StatusCode[code], "as asked")

    def stop(self) -> None:
        self.server.stop(None).wait()


def called(channel: grpc.Channel, method: str, sizes: Sequence[int], metadata: Metadata) -> Any:
    """Messages, status and metadata of one call; `sizes` are those of its messages."""
    messages = [b"x" * size for size in sizes]
    got: list[bytes] = []
    if method == STREAM:
        call = channel.stream_stream(STREAM)(iter(messages), timeout=20, metadata=metadata)
    else:
        call = channel.unary_stream(SAY)(messages[0], timeout=20, metadata=metadata)
    with contextlib.suppress(grpc.RpcError):  # its status is part of the outcome
        got += call
    first, last = ([[k, v] for k, v in found or () if k not in OWN] for found in _metadata(call))
    return call.code().name, call.details(), got, sorted(first), sorted(last)


def _metadata(call: Any) -> tuple[Any, Any]:
    return call.initial_metadata(), call.trailing_metadata()
