"""A small Nacos of the test's own: what it is asked is kept, and it says what a real server would not.

It speaks the protocol of 2.x clients: a login, the server's state and the date by HTTP; connection, list,
query and subscription by gRPC.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from controlplane.nacos.generated.nacos_pb2 import Payload
from tests.nacos_server import free_port


class FakeNacos(grpc.GenericRpcHandler):
    """`services` are lists of instances by name, in the group DEFAULT_GROUP. `clock_skew` is in seconds."""

    def __init__(self, services: dict[str, list[dict[str, Any]]] | None = None) -> None:
        self.services = services or {}
        self.clock_skew = 0.0
        self.asked: list[Payload] = []
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> FakeNacos:
        self._http = await asyncio.start_server(self._answer_http, "127.0.0.1", self.port)
        self._grpc = grpc.aio.server()
        self._grpc.add_generic_rpc_handlers((self,))
        assert self._grpc.add_insecure_port(f"127.0.0.1:{self.port + 1000}")
        await self._grpc.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._grpc.stop(None)
        self._http.close()
        await self._http.wait_closed()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        codec = {
            "request_deserializer": Payload.FromString,
            "response_serializer": Payload.SerializeToString,
        }
        if handler_call_details.method == "/Request/request":
            return grpc.unary_unary_rpc_method_handler(self._answer, **codec)
        return grpc.stream_stream_rpc_method_handler(self._hold, **codec)

    async def _hold(self, requests: AsyncIterator[Payload], _: Any) -> AsyncIterator[Payload]:
        async for _payload in requests:
            pass
        return
        yield

    async def _answer(self, asked: Payload, _: Any) -> Payload:
        self.asked.append(asked)
        kind = asked.metadata.type
        body = json.loads(asked.body.value)
        more: dict[str, Any] = {}
        if kind == "ServerCheckRequest":
            more = {"connectionId": "1"}
        elif kind == "ServiceListRequest":
            found = sorted(self.services) if body["groupName"] == "DEFAULT_GROUP" else []
            more = {"count": len(found), "serviceNames": found}
        elif kind in ("SubscribeServiceRequest", "ServiceQueryRequest"):
            name = body["serviceName"]
            hosts = self.services.get(name, [])
            info = {"name": name, "groupName": body["groupName"], "hosts": hosts, "lastRefTime": 1}
            more = {"serviceInfo": info}
        answer = Payload()
        answer.metadata.type = _ANSWERS[kind]
        answer.body.value = json.dumps({"resultCode": 200, "errorCode": 0, **more}).encode()
        return answer

    async def _answer_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        while (await reader.readline()).strip():
            pass
        status, body = ("200 OK", '{"version": "2.9.9"}') if b"/state" in line else ("404 Not Found", "{}")
        date = email.utils.formatdate(time.time() + self.clock_skew, usegmt=True)
        writer.write(
            f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: application/json\r\nConnection: close\r\n\r\n{body}".encode()
        )
        writer.close()
        await writer.wait_closed()


_ANSWERS = {
    "ServerCheckRequest": "ServerCheckResponse",
    "HealthCheckRequest": "HealthCheckResponse",
    "ServiceListRequest": "ServiceListResponse",
    "SubscribeServiceRequest": "SubscribeServiceResponse",
    "ServiceQueryRequest": "QueryServiceResponse",
}
