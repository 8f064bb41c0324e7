"""Calls of every kind, made inside a pod beside its application: each prints one line of JSON."""

# ruff: noqa: PT018 - one assertion says one thing here, with what was seen
from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import socket
import ssl
import sys
import time
import traceback

import aiohttp
import grpc

PEER, BASE, IPV6 = sys.argv[1], sys.argv[2], sys.argv[3]
"""A host outside the mesh, the address of the base instance of sc-P, an IPv6 address of the peer."""
GRAY = {"x-lane": "gray"}


def raw(address: str, port: int, data: bytes, until: bytes = b"", seconds: float = 10.0) -> bytes:
    with socket.create_connection((address, port), seconds) as connection:
        if data:
            connection.sendall(data)
        got = b""
        while not (until and until in got):
            part = connection.recv(65536)
            if not part:
                break
            got += part
        return got


def request(path: str = "/", **headers: str) -> bytes:
    lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


async def http(url: str, **options) -> dict:  # type: ignore[no-untyped-def]
    async with (
        aiohttp.ClientSession() as client,
        client.request(options.pop("method", "GET"), url, **options) as r,
    ):
        assert r.status == 200, (r.status, await r.text())
        return await r.json()


def tls(alpn: list[str], host: str = PEER) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    with (
        socket.create_connection((host, 7001), 10) as plain,
        context.wrap_socket(plain, server_hostname="peer") as c,
    ):
        c.sendall(request(Host="peer", Connection="close"))
        got = b""
        while part := c.recv(65536):
            got += part
        assert b" 200 " in got.split(b"\r\n")[0], got[:100]
        return f"{c.version()} alpn {c.selected_alpn_protocol()}"


def case_tls_alpn_http11() -> str:
    return tls(["http/1.1"])


def case_tls_alpn_h2_and_http11() -> str:
    return tls(["h2", "http/1.1"])


def case_tls_without_alpn() -> str:
    return tls([])


def case_tls_inbound() -> str:
    return tls(["http/1.1"], BASE)


def banner(address: str) -> str:
    began = time.monotonic()
    with socket.create_connection((address, 7000), 10) as connection:
        greeting = connection.recv(100)
        waited = time.monotonic() - began
        assert greeting.startswith(b"220 "), greeting
        connection.sendall(b"QUIT\r\n")
        assert connection.recv(100) == b"QUIT\r\n"
    return f"greeted after {waited:.2f} s"


def case_server_first() -> str:
    return banner(PEER)


def case_server_first_inbound() -> str:
    return banner(BASE)


def binary(address: str, data: bytes) -> str:
    began = time.monotonic()
    with socket.create_connection((address, 7004), 10) as connection:
        connection.sendall(data)
        got = b""
        while len(got) < len(data):
            got += connection.recv(65536)
        assert got == data
    return f"answered after {time.monotonic() - began:.2f} s"


def case_redis() -> str:
    return binary(PEER, b"*1\r\n$4\r\nPING\r\n")


def case_postgres() -> str:
    return binary(PEER, b"\x00\x00\x00\x08\x04\xd2\x16\x2f")


def case_binary_inbound() -> str:
    return binary(BASE, b"\x00\x00\x00\x08\x04\xd2\x16\x2f")


def case_half_close() -> str:
    with socket.create_connection((PEER, 7004), 10) as connection:
        connection.sendall(b"\x00last words")
        time.sleep(0.3)  # Envoy drops what ends before it has looked at it
        connection.shutdown(socket.SHUT_WR)
        got = b""
        while part := connection.recv(100):
            got += part
    assert got == b"\x00last words", got
    return "answered after the client had finished"


async def case_unknown_host() -> str:
    got = await http(
        f"http://{PEER}:7002/x/../y//z?a=%20b", headers={"X-Custom": "1", "Host": "other.example"}
    )
    sent = {k.lower(): v for k, v in got["headers"]}
    assert got["peer"] == "peer" and sent["host"] == "other.example" and sent["x-custom"] == "1", got
    known = {"host", "x-custom", "accept", "accept-encoding", "user-agent"}
    return f"path {got['path']}; added: {sorted(sent.keys() - known)}"


async def case_unknown_port_of_known_host() -> str:
    got = await http(f"http://{BASE}:7002/", headers={"Host": "sc-X"})
    assert got["peer"] == "base"
    return "Host does not count"


async def case_lane_by_original_destination() -> str:
    got = await http(f"http://{BASE}:7002/", headers=GRAY | {"Host": "sc-A"})
    assert got["peer"] == "gray", got
    return "x-lane: gray to the base instance's address: gray"


async def case_unreachable_host_is_told() -> str:
    began = time.monotonic()
    try:
        await asyncio.to_thread(raw, PEER, 7999, request(Host="peer"), b"\r\n\r\n")
    except OSError as error:
        return f"{type(error).__name__} after {time.monotonic() - began:.2f} s"
    return f"an HTTP answer or a closed connection after {time.monotonic() - began:.2f} s"


def case_ipv6_loopback() -> str:
    server = socket.create_server(("::1", 7500), family=socket.AF_INET6)
    with server, socket.create_connection(("::1", 7500), 5) as client:
        accepted, _ = server.accept()
        client.sendall(b"six")
        assert accepted.recv(10) == b"six"
        accepted.close()
    return "untouched"


def case_ipv6_peer() -> str:
    got = raw(IPV6, 7002, request(Host="peer", Connection="close"))
    assert b" 200 " in got.split(b"\r\n")[0], got
    return "HTTP over IPv6 to a host outside"


async def websocket(url: str, headers: dict[str, str], name: str) -> str:
    async with aiohttp.ClientSession() as client, client.ws_connect(url, headers=headers) as ws:
        assert await ws.receive_str() == name
        for size in (1, 1000, 100_000):
            await ws.send_str("x" * size)
            assert len(await ws.receive_str()) == size
        await asyncio.sleep(2)
        await ws.send_str("still there")
        assert await ws.receive_str() == "still there"
    return name


async def case_websocket_outside() -> str:
    return await websocket(f"http://{PEER}:7002/ws", {}, "peer")


async def case_websocket_base() -> str:
    return await websocket(f"http://{BASE}:7002/ws", {}, "base")


async def case_websocket_lane() -> str:
    return await websocket(f"http://{BASE}:7002/ws", GRAY, "gray")


async def rpc(address: str, name: str, metadata: tuple = ()) -> str:
    async with grpc.aio.insecure_channel(f"{address}:7003", [("grpc.enable_http_proxy", 0)]) as channel:
        unary = channel.unary_unary("/probe.Echo/Unary")
        assert await unary(b"one", metadata=metadata, timeout=10) == f"{name}:one".encode()
        call = channel.stream_stream("/probe.Echo/Stream")(metadata=metadata, timeout=60)
        for number in range(50):
            await call.write(b"%d" % number)
            assert await call.read() == f"{name}:{number}".encode()
        await call.write(b"x" * 3_000_000)
        assert len(await call.read()) == 3_000_000 + len(name) + 1
        await call.done_writing()
        assert await call.code() == grpc.StatusCode.OK
    return f"{name}, unary and streams both ways"


async def case_grpc_outside() -> str:
    return await rpc(PEER, "peer")


async def case_grpc_base() -> str:
    return await rpc(BASE, "base")


async def case_grpc_lane() -> str:
    return await rpc(BASE, "gray", (("x-lane", "gray"),))


async def upload(address: str, name: str, headers: dict[str, str]) -> str:
    data = os.urandom(1 << 20) * 64
    began = time.monotonic()
    got = await http(f"http://{address}:7002/up", method="POST", data=data, headers=headers)
    assert got["peer"] == name
    assert got["sha256"] == hashlib.sha256(data).hexdigest()
    return f"64 MiB in {time.monotonic() - began:.1f} s"


async def case_upload_outside() -> str:
    return await upload(PEER, "peer", {})


async def case_upload_lane() -> str:
    return await upload(BASE, "gray", GRAY)


async def case_expect_continue() -> str:
    data = os.urandom(100_000)
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"http://{BASE}:7002/up", data=data, headers=GRAY, expect100=True) as response,
    ):
        got = await response.json()
    assert got["sha256"] == hashlib.sha256(data).hexdigest()
    assert got["peer"] == "gray"
    return "100-continue"


async def case_download_lane() -> str:
    size = 64 << 20
    digest = hashlib.sha256()
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{BASE}:7002/download?size={size}", headers=GRAY) as response,
    ):
        body = await response.read()
    digest.update(body[:size])
    assert body[size:].decode() == digest.hexdigest()
    return "64 MiB"


async def case_event_stream_lane() -> str:
    times = []
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout) as client,
        client.get(f"http://{BASE}:7002/ticks?every=1&count=20", headers=GRAY) as response,
    ):
        async for line in response.content:
            if line.strip():
                assert line.startswith(b"data: gray"), line
                times.append(time.monotonic())
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) == 20 and max(gaps) < 3, (len(times), gaps)
    return f"20 events, each within {max(gaps):.1f} s"


def case_upgrade_tls_as_httpclient5_sends_it() -> str:
    text = request(Host=f"{BASE}:7002", Upgrade="TLS/1.2", Connection="Upgrade", x_lane="gray")
    got = raw(BASE, 7002, text, b'"version"')
    assert b" 200 " in got.split(b"\r\n")[0] and b'"peer": "gray"' in got, got[:300]
    return "200 from gray"


def case_upgrade_h2c_as_jdk_client_sends_it() -> str:
    settings = "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"
    text = request(
        Connection="Upgrade, HTTP2-Settings",
        Host=f"{BASE}:7002",
        HTTP2_Settings=settings,
        Upgrade="h2c",
        x_lane="gray",
    )
    got = raw(BASE, 7002, text, b'"version"')
    assert b" 200 " in got.split(b"\r\n")[0] and b'"peer": "gray"' in got, got[:300]
    return "200 from gray"


def case_upgrade_h2c_outside() -> str:
    text = request(
        Connection="Upgrade, HTTP2-Settings", Host=PEER, HTTP2_Settings="AAMAAABkAAQAoAAA", Upgrade="h2c"
    )
    got = raw(PEER, 7002, text, b'"version"')
    assert b" 200 " in got.split(b"\r\n")[0], got[:300]
    return "200"


def case_http10() -> str:
    got = raw(BASE, 7002, b"GET / HTTP/1.0\r\nx-lane: gray\r\n\r\n")
    assert b" 200 " in got.split(b"\r\n")[0] and b'"peer": "gray"' in got, got[:200]
    return "200 from gray"


def case_one_connection_many_lanes() -> str:
    """Routing is by request: one kept connection, another lane with each request."""
    with socket.create_connection((BASE, 7002), 10) as connection:
        names = []
        for lane in ("gray", "", "gray", "none-such", ""):
            more = {"x_lane": lane} if lane else {}
            connection.sendall(request(Host="x", **more))
            got = b""
            while b'"version"' not in got or not got.rstrip().endswith(b"}"):
                part = connection.recv(65536)
                assert part, "connection closed"
                got += part
            names.append(json.loads(got.split(b"\r\n\r\n", 1)[1])["peer"])
    assert names == ["gray", "base", "gray", "base", "base"], names
    return " ".join(names)


def main() -> None:
    failed = 0
    chosen = sys.argv[4:]
    for name, case in list(globals().items()):
        if not name.startswith("case_") or (chosen and name[5:] not in chosen):
            continue
        try:
            said = asyncio.run(case()) if asyncio.iscoroutinefunction(case) else case()
            row = {"case": name[5:].replace("_", " "), "ok": True, "said": said}
        except Exception as error:
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            row = {
                "case": name[5:].replace("_", " "),
                "ok": False,
                "said": f"{error!r} line {where.lineno}"[:400],
            }
        print(json.dumps(row), flush=True)
    sys.exit(bool(failed) and "any_result" not in chosen)


if __name__ == "__main__":
    main()
