"""What clients may do to a port over TLS: handshakes that never end, many connections, renegotiation."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from controlplane.net.tls import Tls
from controlplane.rpc import frames
from controlplane.rpc.choice import TransportName
from tests import require
from tests.attacks.handshakes import hello
from tests.rpc.pair import HELLO
from tests.rpc.wire import PATIENCE, Raw, call, message, raw, requests_that_are_not_read, serving
from tests.trust import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> Tls:
    return Tls(authority.server())


async def connected(port: int, context: ssl.SSLContext | None) -> Raw:
    where: dict[str, Any] = {} if context is None else {"ssl": context, "server_hostname": "localhost"}
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port, **where), PATIENCE)
    return Raw(reader, writer)


@pytest.mark.parametrize("sent", ["nothing", "half a hello"])
async def test_a_handshake_that_is_not_finished_ends(name: TransportName, tls: Tls, sent: str) -> None:
    async with serving(name, tls, hello=0.2, keepalive=0.6) as service:
        client = await connected(service.port, None)
        if sent != "nothing":
            client.write(bytes.fromhex("16030100ff010000fb0303"))
        with suppress(EOFError):
            await client.frame()
        if name == "laneway":
            assert service.transport.ended["hello"] == 1
        client.writer.close()


async def test_half_open_handshakes_make_room(tls: Tls, authority: Authority) -> None:
    """Also beyond the number for their address: they have nothing in work."""
    context = authority.client("gateway/edge").context()
    async with serving("laneway", tls, connections=20, connections_per_address=10) as service:
        half_open = [await connected(service.port, None) for _ in range(30)]
        client = await connected(service.port, context)
        client.write(HELLO, call(1), message(1, b"hello"))
        assert (await client.next(frames.DATA)).payload[5:] == b"hello"
        assert service.transport.open <= 10
        assert service.transport.ended["displaced"] > 20
        more = [await connected(service.port, None) for _ in range(30)]
        client.write(message(1, b"again"))
        assert (await client.next(frames.DATA)).payload[5:] == b"again"
        for one in (*half_open, *more, client):
            one.writer.transport.abort()


async def test_others_do_not_wait_for_handshakes(tls: Tls, authority: Authority) -> None:
    """The connections that say hello wait for each other: those of one address behind each other."""
    context = authority.client("gateway/edge").context()
    async with serving("laneway", tls, handshake_cpu=0.01) as service:
        client = await connected(service.port, context)
        client.write(HELLO, call(1), message(1, b"hello"))
        assert (await client.next(frames.DATA)).payload[5:] == b"hello"
        said, flood = hello(), list[socket.socket]()
        for _ in range(150):
            flood.append(socket.create_connection(("127.0.0.1", service.port), 10, ("127.0.0.2", 0)))
            flood[-1].sendall(said)
        client.write(message(1, b"again"))
        assert (await client.next(frames.DATA)).payload[5:] == b"again"
        other = await connected(service.port, context)
        other.write(HELLO, call(1), message(1, b"other"))
        assert (await other.next(frames.DATA)).payload[5:] == b"other"
        assert service.transport.handshakes.waiting > 25
        for one in flood:
            one.close()
        client.writer.transport.abort()
        other.writer.transport.abort()


async def test_garbage_instead_of_a_handshake(tls: Tls) -> None:
    async with serving("laneway", tls) as service:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(2_000), b"\x16\x03\x01\xff\xff" + bytes(60_000)):
            client = await connected(service.port, None)
            client.write(garbage)
            with suppress(EOFError, ConnectionError):
                await client.frame()
            client.writer.transport.abort()
        assert service.transport.ended["tls"] == 3


async def test_requests_of_one_who_reads_no_answers_are_not_read(tls: Tls, authority: Authority) -> None:
    """Records pass through a buffer of their own; what waits there counts as not taken by the socket."""
    context = authority.client("gateway/edge").context()
    hello = HELLO + frames.window_update(0, 1 << 24)
    async with (
        serving("laneway", tls) as service,
        raw(service.port, hello, receives=4_096, tls=context) as client,
    ):
        await requests_that_are_not_read(service, client)


async def test_goodbye_is_said(name: TransportName, tls: Tls, authority: Authority) -> None:
    """So that a client tells the end of a connection from one that was cut."""
    context = authority.client("gateway/edge").context()
    async with serving(name, tls, max_connection_age=0.1, max_connection_age_grace=0.1) as service:
        client = await connected(service.port, context)
        client.write(HELLO)
        found = await client.closed()  # a connection that is cut raises
        assert frames.GOAWAY in {one.kind for one in found}
        client.writer.close()


async def test_renegotiation_is_refused(tls: Tls, authority: Authority) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        require.lacking("openssl", "no openssl here")
    client = authority.client("gateway/edge")
    async with serving("laneway", tls) as service, AsyncExitStack() as stack:
        asking = await asyncio.create_subprocess_exec(
            openssl, "s_client", "-connect", f"127.0.0.1:{service.port}", "-tls1_2", "-alpn", "h2",
            "-cert", str(client.certificate), "-key", str(client.key), "-CAfile", str(client.ca),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        stack.callback(lambda: asking.returncode is None and asking.kill())
        assert asking.stdin is not None
        assert asking.stdout is not None
        said = b""
        while b"Verify return code" not in said:
            said += await asyncio.wait_for(asking.stdout.read(4096), PATIENCE)
        asking.stdin.write(b"R\n")
        rest, _ = await asyncio.wait_for(asking.communicate(), PATIENCE)
        assert b"RENEGOTIATING" in rest
        assert b"no renegotiation" in rest.lower()
