"""A small Nacos of the test's own: what it is asked is kept, and it says what a real server would not.

It speaks the protocol of 2.x clients: a login, the server's state, its namespaces and the date by HTTP;
connection, list, query and subscription of services, and queries of configuration items by gRPC.
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
    """`services` are lists of instances by name, in the group DEFAULT_GROUP. `clock_skew` is in seconds.

    `asked` are the requests by gRPC, `targets` the paths and queries of those by HTTP. `logins` has the forms
    of logins that are accepted, at `login_path`; `namespaces` are ids that exist, none where they are not
    told. `refuses` is the code and message of the answer to everything but a connection; with `hangs` there
    is none, and `hanging` is set when a request came.
    """

    def __init__(self, services: dict[str, list[dict[str, Any]]] | None = None) -> None:
        self.services = services or {}
        self.clock_skew = 0.0
        self.logins: set[str] = set()
        self.login_path = "/nacos/v1/auth/users/login"
        self.namespaces: list[str] = []
        self.refuses: tuple[int, str] | None = None
        self.hangs = False
        self.hanging = asyncio.Event()
        self._ended = asyncio.Event()
        self.asked: list[Payload] = []
        self.targets: list[str] = []
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

    def end_streams(self) -> None:
        """End in good order the streams over which changes are pushed; requests go on."""
        self._ended.set()

    async def _hold(self, requests: AsyncIterator[Payload], _: Any) -> AsyncIterator[Payload]:
        await self._ended.wait()
        return
        yield

    async def _answer(self, asked: Payload, _: Any) -> Payload:
        self.asked.append(asked)
        kind = asked.metadata.type
        body = json.loads(asked.body.value)
        more: dict[str, Any] = {}
        is_of_connection = kind in ("ServerCheckRequest", "HealthCheckRequest")
        if self.hangs and not is_of_connection:
            self.hanging.set()
            await asyncio.Event().wait()
        if self.refuses is not None and not is_of_connection:
            code, message = self.refuses
            return _payload(
                _ANSWERS[kind],
                {"resultCode": 500, "errorCode": code, "message": message, "success": False},
            )
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
        elif kind == "ConfigQueryRequest":
            more = {"resultCode": 500, "errorCode": 300, "message": "config data not exist"}
        return _payload(_ANSWERS[kind], {"resultCode": 200, "errorCode": 0, **more})

    async def _answer_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readline()).decode().split(" ")[1]
        self.targets.append(target)
        path, _, query = target.partition("?")
        length = 0
        while line := (await reader.readline()).strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        status, told = self._of_http(path, (await reader.readexactly(length)).decode() or query)
        date = email.utils.formatdate(time.time() + self.clock_skew, usegmt=True)
        body = json.dumps(told)
        writer.write(
            f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: application/json\r\nConnection: close\r\n\r\n{body}".encode()
        )
        writer.close()
        await writer.wait_closed()

    def _of_http(self, path: str, form: str) -> tuple[str, Any]:
        if path == self.login_path:
            if form in self.logins:
                return "200 OK", {"accessToken": TOKEN, "tokenTtl": 3600}
            return "403 Forbidden", "unknown user!"
        if path.endswith("/namespace/list") and self.namespaces:
            return "200 OK", {"code": 0, "data": [{"namespace": one} for one in self.namespaces]}
        if path.endswith("/state"):
            return "200 OK", {"version": "2.9.9"}
        return "404 Not Found", {}


TOKEN = "token-of-a-test"


def _payload(kind: str, told: dict[str, Any]) -> Payload:
    payload = Payload()
    payload.metadata.type = kind
    payload.body.value = json.dumps(told).encode()
    return payload


_ANSWERS = {
    "ServerCheckRequest": "ServerCheckResponse",
    "HealthCheckRequest": "HealthCheckResponse",
    "ServiceListRequest": "ServiceListResponse",
    "SubscribeServiceRequest": "SubscribeServiceResponse",
    "ServiceQueryRequest": "QueryServiceResponse",
    "ConfigQueryRequest": "ConfigQueryResponse",
}
