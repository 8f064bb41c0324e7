"""A service of every kind that a captured application may call, and that a sidecar may stand before.

7000 speaks first (a banner, then echo), 7001 is HTTPS, 7002 HTTP with WebSocket, 7003 gRPC without TLS,
7004 waits for the client and is no HTTP (echo). With NACOS_SERVER_ADDR it registers 7002 as sc-P and 7003 as
sc-G. PEER names it in every answer.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ipaddress
import json
import os
import ssl
import sys

import grpc
from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = os.environ.get("PEER", "peer")
HOST = os.environ.get("LISTEN") or None


def certificate() -> ssl.SSLContext:
    """A self-signed certificate for this process's life."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("peer"), x509.IPAddress(ipaddress.ip_address("::1"))]),
            False,
        )
        .sign(key, hashes.SHA256())
    )
    with open("/tmp/peer.pem", "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.write(made.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain("/tmp/peer.pem")
    context.set_alpn_protocols(["http/1.1"])
    return context


async def talk(first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if first:
        writer.write(first)
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def seen(request: web.Request) -> web.Response:
    """What arrived, with the header names as they were written."""
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.content.iter_chunked(1 << 16):
        digest.update(chunk)
        size += len(chunk)
    lines = [[k.decode(), v.decode()] for k, v in request.raw_headers]
    body = {"peer": NAME, "method": request.method, "path": request.raw_path, "headers": lines, "size": size}
    return web.json_response(body | {"sha256": digest.hexdigest(), "version": str(request.version)})


async def download(request: web.Request) -> web.StreamResponse:
    """`?size=` bytes, chunked, with their checksum as a trailer of the body."""
    size, block = int(request.query["size"]), os.urandom(1 << 16)
    response = web.StreamResponse()
    await response.prepare(request)
    digest = hashlib.sha256()
    while size > 0:
        part = block[: min(size, len(block))]
        digest.update(part)
        await response.write(part)
        size -= len(part)
    await response.write(digest.hexdigest().encode())
    return response


async def ticks(request: web.Request) -> web.StreamResponse:
    """One line in `?every=` seconds, `?count=` times: an event stream."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for number in range(int(request.query["count"])):
        await response.write(f"data: {NAME} {number}\n\n".encode())
        await asyncio.sleep(float(request.query["every"]))
    return response


async def socket(request: web.Request) -> web.WebSocketResponse:
    """Echo, after the peer's name."""
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    await ws.send_str(NAME)
    async for message in ws:
        if message.type == WSMsgType.TEXT:
            await ws.send_str(message.data)
    return ws


class Echo(grpc.GenericRpcHandler):
    """/probe.Echo/Unary, and /probe.Echo/Stream, which answers each message; the peer's name before it."""

    def service(self, details):  # type: ignore[no-untyped-def]
        async def unary(data, context):  # type: ignore[no-untyped-def]
            return NAME.encode() + b":" + data

        async def stream(messages, context):  # type: ignore[no-untyped-def]
            async for data in messages:
                yield NAME.encode() + b":" + data

        if details.method.endswith("Unary"):
            return grpc.unary_unary_rpc_method_handler(unary)
        return grpc.stream_stream_rpc_method_handler(stream)


async def main() -> None:
    await asyncio.start_server(lambda r, w: talk(b"220 " + NAME.encode() + b"\r\n", r, w), HOST, 7000)
    await asyncio.start_server(lambda r, w: talk(b"", r, w), HOST, 7004)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/download", download)
    app.router.add_get("/ticks", ticks)
    app.router.add_get("/ws", socket)
    app.router.add_route("*", "/{path:.*}", seen)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 7002).start()
    await web.TCPSite(runner, HOST, 7001, ssl_context=certificate()).start()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"{HOST or '[::]'}:7003")
    await server.start()
    if os.environ.get("NACOS_SERVER_ADDR"):
        sys.path.insert(0, "/app")
        import registry
        import service

        address, environ = service.own_address(os.environ), os.environ
        metadata = json.loads(environ["NACOS_METADATA"])
        for name, port in (("sc-P", 7002), ("sc-G", 7003)):
            place = registry.Registry(environ["NACOS_SERVER_ADDR"], name, address, port, metadata, "")
            asyncio.get_running_loop().create_task(place.keep(), name=name)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
