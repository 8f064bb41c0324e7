"""The port over TLS, over every transport and both loops."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from controlplane.net.certificates import Certificate
from controlplane.net.tls import Tls, TlsError, TlsFiles
from controlplane.rpc import frames
from controlplane.rpc.choice import TransportName
from tests.rpc.calling import Status
from tests.rpc.pair import HELLO
from tests.rpc.wire import PATIENCE, Service, call, message, raw, serving
from tests.trust import Authority, Identity


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> Tls:
    return Tls(authority.server())


@asynccontextmanager
async def channel(service: Service, client: Identity | None, ca: bytes) -> AsyncIterator[grpc.aio.Channel]:
    credentials = grpc.ssl_channel_credentials(ca) if client is None else client.credentials()
    options = [("grpc.use_local_subchannel_pool", 1)]
    where = f"localhost:{service.port}"
    async with grpc.aio.secure_channel(where, credentials, options=options) as made:
        yield made


async def echoed(made: grpc.aio.Channel, content: bytes = b"x") -> bytes:
    return await asyncio.wait_for(made.unary_unary("/test/Echo")(content), PATIENCE)


async def test_who_calls_is_known_by_the_certificate(
    name: TransportName, tls: Tls, authority: Authority
) -> None:
    client = authority.client("gateway/edge", "edge.example.com", "10.0.0.7")
    async with serving(name, tls) as service, channel(service, client, authority.own.certificate) as made:
        assert await echoed(made, bytes(300_000)) == bytes(300_000)
        assert service.calls[0].call.certificate == Certificate(
            ("spiffe://mesh.test/gateway/edge",), ("edge.example.com",), ("10.0.0.7",)
        )


async def test_without_a_client_ca_clients_are_unknown(
    name: TransportName, authority: Authority, tmp_path: Path
) -> None:
    files = authority.server()
    tls = Tls(TlsFiles(certificate=files.certificate, key=files.key))
    async with serving(name, tls) as service, channel(service, None, authority.own.certificate) as made:
        assert await echoed(made) == b"x"
        assert service.calls[0].call.certificate is None


@pytest.mark.parametrize("who", ["nobody", "another CA", "a server's certificate"])
async def test_who_shows_no_certificate_of_the_ca_is_refused(
    name: TransportName, tls: Tls, authority: Authority, tmp_path: Path, who: str
) -> None:
    client = None
    if who == "another CA":
        (tmp_path / "other").mkdir()
        client = Authority(tmp_path / "other").client("gateway/edge")
        client._trusted = authority.own.certificate
    elif who == "a server's certificate":
        files = authority.server("other-server")
        client = authority.client("gateway/edge")
        client.made = type(client.made)(files.certificate.read_bytes(), files.key.read_bytes())
    async with serving(name, tls) as service, channel(service, client, authority.own.certificate) as made:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await echoed(made)
        assert caught.value.code() is Status.UNAVAILABLE
        assert not service.calls
        if name == "laneway":
            assert service.transport.ended["tls"] > 0


async def test_plain_text_is_refused(name: TransportName, tls: Tls) -> None:
    async with serving(name, tls) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(HELLO)
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        assert HELLO[:10] not in answer
        assert b"\0\0\0\x04" not in answer[:9]
        await gone(writer)
        assert not service.calls


@pytest.mark.parametrize(
    ("version", "works"),
    [(ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)],
)
async def test_versions(
    name: TransportName, tls: Tls, authority: Authority, version: ssl.TLSVersion, works: bool
) -> None:
    context = authority.client("gateway/edge").context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that such a version is too old is the point
        context.maximum_version = version
    async with serving(name, tls) as service:
        if not works:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await opened(service.port, context)
            return
        reader, writer = await opened(service.port, context)
        shown: Any = writer.get_extra_info("ssl_object")
        assert shown.selected_alpn_protocol() == "h2"
        assert "GCM" in shown.cipher()[0] or "CHACHA20" in shown.cipher()[0]
        writer.write(HELLO + call(1) + message(1, b"hello", end=True))
        found = b""
        while b"grpc-status" not in found and b"hello" not in found:
            found += await asyncio.wait_for(reader.read(65_536), PATIENCE)
        await gone(writer)


async def gone(writer: asyncio.StreamWriter) -> None:
    """End the connection, and wait until nothing of it is left."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await asyncio.wait_for(writer.wait_closed(), PATIENCE)


async def opened(port: int, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.wait_for(
        asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost"), PATIENCE
    )


async def test_a_renewed_certificate_serves_new_connections_and_ends_none(
    name: TransportName, tls: Tls, authority: Authority
) -> None:
    client = authority.client("gateway/edge")
    async with serving(name, tls) as service, channel(service, client, authority.own.certificate) as made:
        stream = made.stream_stream("/test/Echo")()
        await stream.write(b"before")
        assert await stream.read() == b"before"
        before = await shown(service.port, client)
        authority.server()
        assert tls.refresh()
        after = await shown(service.port, client)
        assert before != after
        await stream.write(b"after")
        assert await stream.read() == b"after"
        assert len(service.calls) == 1


async def test_a_connection_ends_with_the_certificate_of_the_client(tls: Tls, authority: Authority) -> None:
    former = authority.client("gateway/edge", lifetime=timedelta(seconds=2)).context()
    async with serving("laneway", tls, max_connection_age=3_600, max_connection_age_grace=0.5) as service:
        async with raw(service.port, HELLO + call(1) + message(1, b"x"), tls=former) as client:
            assert (await client.next(frames.DATA)).payload[5:] == b"x"
            assert (await client.next(frames.GOAWAY)).goaway[0] == frames.LARGEST_WINDOW
            client.write(message(1, b"still"))  # who is asked to connect anew is served until the end
            assert (await client.next(frames.DATA)).payload[5:] == b"still"
            assert await client.status() == (14, "the client's certificate has ended")
            await client.closed()
        assert service.transport.ended["certificate"] == 1
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            async with raw(service.port, HELLO + call(1) + message(1, b"x"), tls=former) as late:
                await late.next(frames.DATA)
        renewed = authority.client("gateway/edge").context()
        async with raw(service.port, HELLO + call(1) + message(1, b"x"), tls=renewed) as client:
            assert (await client.next(frames.DATA)).payload[5:] == b"x"


async def shown(port: int, client: Identity) -> bytes | None:
    """The certificate that the server shows to whoever connects now."""
    _, writer = await opened(port, client.context())
    try:
        ssl_object: Any = writer.get_extra_info("ssl_object")
        return ssl_object.getpeercert(binary_form=True)
    finally:
        writer.transport.abort()


def test_a_renewal_under_way_changes_nothing_until_it_is_whole(tls: Tls, authority: Authority) -> None:
    before = tls.material
    files = tls.files
    kept = files.key.read_bytes()
    authority.server()
    new_key = files.key.read_bytes()
    files.key.write_bytes(kept)
    assert not tls.refresh()
    assert not tls.refresh()
    assert (tls.material, tls.reloads["failed"]) == (before, 1)
    files.key.write_bytes(new_key)
    assert tls.refresh()
    assert not tls.refresh()
    assert tls.refresh(force=True)


@pytest.mark.parametrize("broken", ["certificate", "key", "client_ca"])
@pytest.mark.parametrize("how", ["absent", "garbage"])
def test_files_that_cannot_be_used_are_named(authority: Authority, broken: str, how: str) -> None:
    files = authority.server()
    path: Path = getattr(files, broken)
    if how == "absent":
        path.unlink()
    else:
        path.write_text("nonsense")
    with pytest.raises(TlsError, match=str(path)):
        Tls(files)
