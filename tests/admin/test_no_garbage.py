"""What a connection held is free when it ends, not when the collector runs: hundreds of MiB later."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket

import pytest
from prometheus_client import CollectorRegistry

from controlplane.admin.app import AdminSettings, create_app
from controlplane.admin.port import AdminServer
from controlplane.auth.tokens import Tokens
from tests.admin.conftest import SmallControl

TOKEN = "secret-of-ann"
HEAD = b"POST /v1/apply HTTP/1.1\r\nHost: localhost\r\n"
RIGHT = b"Authorization: Bearer " + TOKEN.encode() + b"\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b" " * 50_000
ATTACKS = {
    "half headers": HEAD + b"x: " + b"a" * 10_000,
    "endless headers": HEAD + b"x: " + b"a" * 50_000,
    "no token": HEAD + CHUNKED + b"c350\r\n" + BODY,
    "half a body": HEAD + RIGHT + b"Content-Length: 100000\r\n\r\n" + BODY,
    "no JSON": HEAD + RIGHT + b"Content-Length: 50000\r\n\r\n" + BODY,
    "bad chunk": HEAD + RIGHT + CHUNKED + b"c350\r\n" + BODY + b"\r\n\r\nzz\r\n",
    "small chunks": HEAD + RIGHT + CHUNKED + b"1\r\n \r\n" * 5000,
    "no media type": HEAD + RIGHT.replace(b"json", b"xml") + CHUNKED + b"c350\r\n" + BODY,
    "garbage": b"\0" * 50_000,
}
EACH = 40
HOLDERS = {"Connection", "_Reader", "RequestResponseCycle", "Request", "frame"}


def attack(port: int, data: bytes) -> None:
    for _ in range(EACH):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as one:
            one.sendall(data)
            one.settimeout(0.02)
            one.recv(4096)


@pytest.mark.parametrize("data", ATTACKS.values(), ids=ATTACKS)
async def test_nothing_of_a_connection_waits_for_the_collector(control: SmallControl, data: bytes) -> None:
    known = Tokens.of({"ann": TOKEN})
    app = create_app(control, AdminSettings(known, CollectorRegistry()))
    server = AdminServer(app, "127.0.0.1", 0)
    await server.start()
    try:
        await asyncio.to_thread(attack, server.port, data)  # what is made once
        gc.collect()
        gc.disable()
        await asyncio.to_thread(attack, server.port, data)
        async with asyncio.timeout(10):
            while server.connections.open:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert {type(one).__name__ for one in gc.garbage} & HOLDERS == set()
        assert len(gc.garbage) < 30 * EACH
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        await server.stop()
