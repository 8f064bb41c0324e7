"""Half requests end, streams and slow clients do not, and an edge that is full keeps its control plane."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import grpc
import pytest

from controlplane.cli.envoy_config import EdgeLimits
from tests.mesh.client import Address, fetch, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh
from tests.mesh.http2 import Http2
from tests.mesh.pods import Pod

HEADERS_END = 10.0
BODY_ENDS = 30.0
SILENT = BODY_ENDS + 5
EACH = 25
"""Half requests of each of the nine kinds: 225 in all."""
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    made.pod("A", "sc-A", "app")
    made.pod("B", "sc-B", "other", sidecar=False)
    made.start(
        route("a", "sc-A"),
        route("own", "sc-B", idle_timeout="2s"),
        route("streams", "sc-S"),
        route("grpc", "sc-G", {"prefix": "/test.Echo"}),
        group("g", "app"),
        lane("gray", "g", fallback="none"),
    )
    until(lambda: made.edge.get("/a").status == 200, 10, "the routes")
    return made


def h1(text: str, body: bytes = b"") -> bytes:
    return text.replace("\n", "\r\n").encode() + body


HALF_HEADERS = h1("GET /a HTTP/1.1\nhost: x\nx-a: ")
HALF_LENGTH = h1("POST /a HTTP/1.1\nhost: x\ncontent-length: 10\n\n", b"12345")
HALF_CHUNKS = h1("PUT /a HTTP/1.1\nhost: x\ntransfer-encoding: chunked\n\n5\n12345\n")
GET_CHUNKS = h1("GET /a HTTP/1.1\nhost: x\ntransfer-encoding: chunked\n\n5\n12345\n")
NO_BODY_YET = h1("POST /a HTTP/1.1\nhost: x\ncontent-length: 200000000\n\n")
HALF_FRAME = b"\0\0\x40\x01\x04\0\0\0\x01\x82\x86"  # HEADERS of 64 bytes on stream 1, two of them there
NO_END_HEADERS = b"\0\0\x02\x01\x00\0\0\0\x01\x82\x86"  # CONTINUATION is missing


async def half_h1(address: Address, raw: bytes) -> float:
    """Seconds until a connection with these bytes ends."""
    reader, writer = await asyncio.open_connection(*address)
    began = time.monotonic()
    writer.write(raw)
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        pass
    writer.close()
    return time.monotonic() - began


async def half_h2_frames(address: Address, raw: bytes) -> float:
    client = await Http2.open(address)
    began = time.monotonic()
    client.raw(raw)
    await client.answer(1)
    client.close()
    return time.monotonic() - began


async def half_h2_body(address: Address, method: str) -> float:
    client = await Http2.open(address)
    began = time.monotonic()
    stream = client.send(method, "/a", end=False)
    if method == "POST":
        client.data(stream, b"12345")
    await client.answer(stream)
    client.close()
    return time.monotonic() - began


class Streams:
    """An instance that echoes upgraded connections, counts bodies and sends as much as asked for."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                _, *lines = head.strip().split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines)
                if headers.get("upgrade") == "websocket":
                    writer.write(
                        h1("HTTP/1.1 101 Switching Protocols\nupgrade: websocket\nconnection: upgrade\n\n")
                    )
                    while data := await reader.read(65536):
                        writer.write(data)
                    return
                got = await self.count(reader, headers)
                size = int(headers.get("x-size", "0")) or len(str(got))
                writer.write(h1(f"HTTP/1.1 200 OK\ncontent-length: {size}\n\n"))
                for _ in range(int(headers.get("x-size", "0")) // MIB):
                    writer.write(bytes(MIB))
                    await writer.drain()
                if "x-size" not in headers:
                    writer.write(str(got).encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def count(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> int:
        if "chunked" in headers.get("transfer-encoding", ""):
            total = 0
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
                total += size
            await reader.readline()
            return total
        left = wanted = int(headers.get("content-length", "0"))
        while left:
            data = await reader.read(min(left, MIB))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
        return wanted


async def echo(requests: Any, context: Any) -> Any:
    async for request in requests:
        yield request


def added(mesh: Mesh, name: str, service: str, protocol: str) -> Pod:
    """An instance that the test itself serves."""
    pod = mesh.pod(name, service, name.lower(), sidecar=False, protocol=protocol)
    mesh.write_services()
    return pod


async def request(address: Address, raw: bytes, *later: tuple[float, bytes]) -> tuple[int, bytes]:
    """Status and body of one HTTP/1.1 request, whose later parts are sent after so many seconds each."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(raw)
    for seconds, part in later:
        await asyncio.sleep(seconds)  # the pace of the client is what is tested
        writer.write(part)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:"))
    body = await reader.readexactly(length)
    writer.close()
    return int(head.split()[1]), body


async def late_answer(address: Address) -> None:
    """The body is there at once, and the answer is late."""
    raw = h1(f"POST /a HTTP/1.1\nhost: x\nx-delay: A={SILENT}\ncontent-length: 5\n\n", b"hello")
    status, body = await request(address, raw)
    assert (status, b'"size": 5' in body) == (200, True), body


async def late_answer_h2(address: Address, method: str) -> None:
    client = await Http2.open(address)
    stream = client.send(method, "/a", ("x-delay", f"A={SILENT}"), end=method == "GET")
    if method == "POST":
        client.data(stream, b"hello", end=True)
    status, body = await client.answer(stream)
    client.close()
    assert (status, b'"name": "A"' in body) == (200, True), (status, body)


async def slow_upload(address: Address) -> None:
    """It pauses for long, but never for as long as a half request may."""
    raw = h1("POST /streams HTTP/1.1\nhost: x\ncontent-length: 30\n\n", b"0123456789")
    parts = [(BODY_ENDS * 0.6, b"0123456789"), (BODY_ENDS * 0.6, b"0123456789")]
    assert await request(address, raw, *parts) == (200, b"30")


async def large_upload(address: Address, chunked: bool) -> None:
    reader, writer = await asyncio.open_connection(*address)
    size = 200 * MIB
    how = "transfer-encoding: chunked" if chunked else f"content-length: {size}"
    writer.write(h1(f"POST /streams HTTP/1.1\nhost: x\n{how}\n\n"))
    for _ in range(200):
        writer.write((b"100000\r\n" if chunked else b"") + bytes(MIB) + (b"\r\n" if chunked else b""))
        await writer.drain()
    writer.write(b"0\r\n\r\n" if chunked else b"")
    head = await reader.readuntil(b"\r\n\r\n")
    assert (head.split()[1], await reader.readexactly(9)) == (b"200", str(size).encode())
    writer.close()


async def slow_download(address: Address) -> None:
    """All of it is there, and the client takes it in its own time."""
    reader, writer = await asyncio.open_connection(*address, limit=65536)
    size = 16 * MIB
    writer.write(h1(f"GET /streams HTTP/1.1\nhost: x\nx-size: {size}\n\n"))
    await reader.readuntil(b"\r\n\r\n")
    got, began = 0, time.monotonic()
    while got < size:
        got += len(await reader.readexactly(min(512 * 1024, size - got)))
        await asyncio.sleep(max(0.0, began + SILENT * got / size - time.monotonic()))  # its pace
    writer.close()


async def silent_websocket(address: Address) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(h1("GET /streams HTTP/1.1\nhost: x\nconnection: upgrade\nupgrade: websocket\n\n"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    await asyncio.sleep(SILENT)  # silence is what is tested
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    writer.close()


async def silent_grpc(address: Address) -> None:
    """A call whose request stays open, silent from its start and in the middle."""
    async with grpc.aio.insecure_channel(f"{address[0]}:{address[1]}") as channel:
        call = channel.stream_stream("/test.Echo/Echo")()
        await asyncio.sleep(SILENT)
        for text in (b"one", b"two"):
            await call.write(text)
            assert await call.read() == text
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def own_idle_time(address: Address) -> None:
    """A route's own idle time holds before and after the body is whole."""
    half = h1("POST /own HTTP/1.1\nhost: x\ncontent-length: 10\n\n", b"12345")
    assert 1.5 < await half_h1(address, half) < 8
    late = h1("POST /own HTTP/1.1\nhost: x\nx-delay: B=20\ncontent-length: 5\n\n", b"hello")
    began = time.monotonic()
    assert (await request(address, late))[0] == 504
    assert time.monotonic() - began < 8


async def strict_lane(address: Address) -> None:
    """What a lane without fallback answers does not depend on the body."""
    raw = h1("POST /a HTTP/1.1\nhost: x\ncanary: gray\ncontent-length: 10\n\n", b"12345")
    status, body = await request(address, raw, (1.0, b"12345"))
    assert (status, b"Lane gray has no instance" in body) == (503, True), body


async def ended(name: str, limit: float, half: Callable[[], Awaitable[float]]) -> str:
    """What is wrong with this kind of half requests; empty where nothing is."""
    try:
        seconds = await asyncio.wait_for(asyncio.gather(*(half() for _ in range(EACH))), limit + 15)
    except TimeoutError:
        return f"{name}: not ended after {limit + 15} s"
    return "" if max(seconds) < limit + 10 else f"{name}: {max(seconds)} s"


async def test_half_headers_end(mesh: Mesh) -> None:
    """The quicker ones of the kinds below."""
    at = mesh.edge_address
    found = await asyncio.gather(
        ended("h1 headers", HEADERS_END, lambda: half_h1(at, HALF_HEADERS)),
        ended("h2 half a frame", HEADERS_END, lambda: half_h2_frames(at, HALF_FRAME)),
        ended("h2 no end of headers", HEADERS_END, lambda: half_h2_frames(at, NO_END_HEADERS)),
    )
    assert not [wrong for wrong in found if wrong]


@pytest.mark.mesh
@pytest.mark.timeout(180)
async def test_half_requests_end_and_streams_do_not(mesh: Mesh) -> None:
    streams, calls = added(mesh, "S", "sc-S", "http1"), added(mesh, "G", "sc-G", "grpc")
    server = await asyncio.start_server(Streams().serve, streams.address, streams.port, limit=MIB)
    rpc = grpc.aio.server()
    handlers = {"Echo": grpc.stream_stream_rpc_method_handler(echo)}
    rpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    rpc.add_insecure_port(f"{calls.address}:{calls.port}")
    await rpc.start()
    at = mesh.edge_address
    await asyncio.to_thread(
        until, lambda: mesh.edge.get("/streams").status == 200, 10, "the instance of the test"
    )
    before = await asyncio.to_thread(mesh.stats, mesh.edge_admin, "envoy_bug")

    halves: dict[str, tuple[float, Callable[[], Coroutine[Any, Any, float]]]] = {
        "h1 headers": (HEADERS_END, lambda: half_h1(at, HALF_HEADERS)),
        "h1 length": (BODY_ENDS, lambda: half_h1(at, HALF_LENGTH)),
        "h1 chunks": (BODY_ENDS, lambda: half_h1(at, HALF_CHUNKS)),
        "h1 chunks of a GET": (BODY_ENDS, lambda: half_h1(at, GET_CHUNKS)),
        "h1 no body yet": (BODY_ENDS, lambda: half_h1(at, NO_BODY_YET)),
        "h2 half a frame": (HEADERS_END, lambda: half_h2_frames(at, HALF_FRAME)),
        "h2 no end of headers": (HEADERS_END, lambda: half_h2_frames(at, NO_END_HEADERS)),
        "h2 POST": (BODY_ENDS, lambda: half_h2_body(at, "POST")),
        "h2 GET": (BODY_ENDS, lambda: half_h2_body(at, "GET")),
    }
    alive = asyncio.gather(
        late_answer(at),
        late_answer_h2(at, "GET"),
        late_answer_h2(at, "POST"),
        slow_upload(at),
        large_upload(at, chunked=False),
        large_upload(at, chunked=True),
        slow_download(at),
        silent_websocket(at),
        silent_grpc(at),
        own_idle_time(at),
        strict_lane(at),
    )
    found = await asyncio.gather(*(ended(name, *half) for name, half in halves.items()))
    assert not [wrong for wrong in found if wrong]
    await alive
    assert await asyncio.to_thread(mesh.stats, mesh.edge_admin, "envoy_bug") == before
    server.close()
    await rpc.stop(None)


def refused(address: Address) -> bool:
    """Whether a connection is closed at once."""
    with socket.create_connection(address, 5) as sock:
        sock.settimeout(1)
        try:
            return sock.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


def test_connections_over_the_limit_are_refused(new_mesh: Callable[..., Mesh]) -> None:
    """The admin interface and the control plane's changes still get through."""
    mesh = new_mesh()
    mesh.limits = EdgeLimits(connections=20)
    mesh.pod("A", "sc-A", "app", sidecar=False)
    mesh.start(route("a", "sc-A"))
    until(lambda: mesh.edge.get("/a").status == 200, 10, "the route")
    taken = [socket.create_connection(mesh.edge_address, 5) for _ in range(60)]
    try:
        until(lambda: refused(mesh.edge_address), 10, "the edge to be full")
        overflow = mesh.stats(mesh.edge_admin, "downstream_global_cx_overflow")
        assert overflow >= 40
        assert fetch(mesh.edge_admin, "/ready").status == 200
        mesh.apply(route("b", "sc-A"))
        until(lambda: mesh.edge.get("/b").status == 200, 10, "a change over an old connection")
    finally:
        for sock in taken:
            sock.close()
    until(lambda: not refused(mesh.edge_address), 10, "room again")


def test_without_memory_requests_are_refused(new_mesh: Callable[..., Mesh]) -> None:
    mesh = new_mesh()
    mesh.limits = EdgeLimits(heap=1)
    mesh.pod("A", "sc-A", "app", sidecar=False)
    mesh.start(route("a", "sc-A"))
    until(lambda: fetch(mesh.edge_address, "/a").status == 503, 10, "requests to be refused")
    assert mesh.stats(mesh.edge_admin, "http.edge.downstream_rq_overload_close") >= 1
    assert fetch(mesh.edge_admin, "/ready").status == 200
    mesh.apply(route("b", "sc-A"))
    until(
        lambda: all(
            t["sent"] == t["acked"] for t in mesh.rest.get("/v1/proxies")["items"][0]["types"].values()
        ),
        10,
        "the change to arrive",
    )
