"""What becomes of each failure: the same error, with the same words, in the registry and in the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.nacos import NacosConnection
from controlplane.nacos.errors import (
    AccessRefused,
    ConnectionLost,
    LoginRefused,
    NacosError,
    NoAnswer,
    RequestFailed,
    ServerUnreachable,
    TlsFailed,
    UnknownNamespace,
    none_of,
)
from controlplane.registry.nacos import NacosConfig
from controlplane.registry.nacos.sdk import NamingClient, meaning
from controlplane.store.interface import StoreUnavailable
from controlplane.store.nacos.api import ConfigApi
from controlplane.store.nacos.limits import GROUP
from controlplane.store.nacos.unavailable import NotSent
from tests.certificates import certificate
from tests.fake_nacos import TOKEN, FakeNacos
from tests.nacos_relay import NacosRelay
from tests.nacos_server import free_port

Ask = Callable[[], Awaitable[object]]
Use = Callable[[NacosConnection, Path], AbstractAsyncContextManager[Ask]]


@asynccontextmanager
async def registry(connection: NacosConnection, state: Path) -> AsyncIterator[Ask]:
    """A connection of the registry, and a request over it."""
    fields = {name: getattr(connection, name) for name in NacosConnection.__dataclass_fields__}
    client = NamingClient(NacosConfig(**fields, state_dir=state))
    try:
        await client.open()
        yield lambda: client.list_services("DEFAULT_GROUP")
    finally:
        await client.close()


@asynccontextmanager
async def store(connection: NacosConnection, state: Path) -> AsyncIterator[Ask]:
    """A connection of the store, and a request over it."""
    api = ConfigApi(connection, GROUP)
    try:
        async with api.session() as session:
            yield lambda: session.get("index")
    finally:
        await api.close()


@pytest.fixture(params=[registry, store])
def use(request: pytest.FixtureRequest) -> Use:
    return request.param


async def failure(use: Use, connection: NacosConnection, state: Path) -> NacosError:
    """Why a request over a new connection fails."""
    with pytest.raises((NacosError, StoreUnavailable)) as raised:
        async with use(connection, state) as ask:
            await ask()
    return of(raised.value)


def of(error: BaseException) -> NacosError:
    """The error of a request to Nacos, which a store tells as one of its own with the same text."""
    if isinstance(error, NacosError):
        return error
    assert isinstance(error.__cause__, NacosError)
    assert str(error) == str(error.__cause__)
    had_no_effect = (ServerUnreachable, LoginRefused, AccessRefused, UnknownNamespace)
    assert isinstance(error, NotSent) == isinstance(error.__cause__, had_no_effect)
    return error.__cause__


async def test_no_server(use: Use, tmp_path: Path) -> None:
    port = free_port()
    error = await failure(use, NacosConnection((f"127.0.0.1:{port}",)), tmp_path)
    assert isinstance(error, ServerUnreachable)
    assert str(error) == (
        f"no Nacos server can be used: 127.0.0.1:{port + 1000}: Connection refused; "
        "check that Nacos runs there and that its gRPC port (HTTP port + 1000) is open to this machine"
    )


async def test_tls(use: Use, tmp_path: Path) -> None:
    pem, other = certificate(tmp_path, "nacos"), certificate(tmp_path, "other")
    async with FakeNacos() as nacos, NacosRelay(nacos.address, pem) as relay:
        port = int(relay.address.partition(":")[2]) + 1000
        at = NacosConnection((relay.address,), tls=True, ca_file=pem)
        async with use(at, tmp_path) as ask:
            await ask()
        untrusted = await failure(use, replace(at, ca_file=other), tmp_path)
        assert str(untrusted) == (
            f"no Nacos server can be used: 127.0.0.1:{port}: "
            "its certificate is not trusted (self-signed certificate); "
            "set NACOS_CA_FILE to the certificate of the CA that signed the server's certificate"
        )
        absent = await failure(use, replace(at, ca_file=tmp_path / "no.pem"), tmp_path)
        assert isinstance(absent, TlsFailed)
        assert str(absent) == (
            f"the CA file {tmp_path}/no.pem cannot be used: No such file or directory; "
            "set NACOS_CA_FILE to a PEM file that this user can read"
        )


async def test_a_ca_file_that_is_replaced_is_taken(use: Use, tmp_path: Path) -> None:
    """For each new connection, without a new client: as when a Secret is renewed where it is mounted."""
    pem = certificate(tmp_path, "nacos")
    (tmp_path / "other").mkdir()
    renewed = certificate(tmp_path / "other", "nacos")
    api: ConfigApi | None = None
    async with FakeNacos() as nacos:
        relay = NacosRelay(nacos.address, pem)
        at = NacosConnection((relay.address,), tls=True, ca_file=tmp_path / "ca.pem")
        for one in (pem, renewed):
            pem.write_bytes(one.read_bytes())
            (tmp_path / "ca.pem").write_bytes(one.read_bytes())
            async with relay:
                async with use(at, tmp_path) as ask:
                    await ask()
                api = api or ConfigApi(at, GROUP)
                with pytest.raises(StoreUnavailable, match="there is no configuration service"):  # by HTTP
                    await api.wait("index", "")
    assert api is not None
    await api.close()


async def test_a_refused_login(use: Use, tmp_path: Path) -> None:
    async with FakeNacos() as nacos:
        nacos.logins = {"username=joe&password=right"}
        at = NacosConnection((nacos.address,), username="joe", password="right")
        async with use(at, tmp_path) as ask:
            await ask()
        assert nacos.asked[-1].metadata.headers["accessToken"] == TOKEN
        error = await failure(use, replace(at, password="guessed"), tmp_path)
    assert isinstance(error, LoginRefused)
    assert str(error) == (
        f"{nacos.address}: Nacos does not let the user 'joe' in: \"unknown user!\"; "
        "check NACOS_USERNAME and NACOS_PASSWORD"
    )
    assert not any("password" in target for target in nacos.targets)


@pytest.mark.parametrize(
    ("login", "remedy"),
    [
        ({}, "set NACOS_USERNAME and NACOS_PASSWORD"),
        (
            {"username": "joe", "password": "right"},
            "give the user 'joe' permission for the namespace prod-7f3a",
        ),
        (
            {"access_key": "key", "secret_key": "secret"},
            "give the access key permission for the namespace prod-7f3a",
        ),
    ],
    ids=["nobody", "user", "key"],
)
async def test_no_permission(use: Use, tmp_path: Path, login: dict[str, str], remedy: str) -> None:
    async with FakeNacos() as nacos:
        nacos.logins = {"username=joe&password=right"}
        nacos.refuses = (403, "authorization failed!")
        at = NacosConnection((nacos.address,), "prod-7f3a", **login)  # type: ignore[arg-type]
        error = await failure(use, at, tmp_path)
    assert isinstance(error, AccessRefused)
    where = f"127.0.0.1:{nacos.port + 1000}"
    assert str(error) == f"{where}: Nacos refuses access: 403 authorization failed!; {remedy}"


async def test_an_unknown_namespace(use: Use, tmp_path: Path) -> None:
    """As Nacos 3.1 says it where `nacos.core.namespace.validation.enabled` is set."""
    async with FakeNacos() as nacos:
        nacos.refuses = (22001, "Namespace 'prod' does not exist. Please create the namespace first.")
        error = await failure(use, NacosConnection((nacos.address,), "prod"), tmp_path)
    assert isinstance(error, UnknownNamespace)
    assert str(error) == (
        f"127.0.0.1:{nacos.port + 1000}: the namespace prod does not exist; "
        "create it in Nacos, or set NACOS_NAMESPACE to the id (not the name) of a namespace that exists"
    )


async def test_an_error_of_the_server(use: Use, tmp_path: Path) -> None:
    async with FakeNacos() as nacos:
        nacos.refuses = (30000, "server error")
        error = await failure(use, NacosConnection((nacos.address,)), tmp_path)
    assert isinstance(error, RequestFailed)
    assert str(error) == (
        f"127.0.0.1:{nacos.port + 1000}: Nacos answers with the error 30000 server error; "
        "the server's log has the details"
    )


async def test_no_answer(use: Use, tmp_path: Path) -> None:
    async with FakeNacos() as nacos:
        nacos.hangs = True
        error = await failure(use, NacosConnection((nacos.address,), request_timeout=0.3), tmp_path)
    assert isinstance(error, NoAnswer)
    where = f"127.0.0.1:{nacos.port + 1000}"
    assert (
        str(error) == f"{where}: Nacos does not answer within 0.3 s; check the server's load and the network"
    )


async def test_a_lost_connection(use: Use, tmp_path: Path) -> None:
    async with FakeNacos() as nacos, NacosRelay(nacos.address) as relay:
        nacos.hangs = True

        async def cut() -> None:
            await nacos.hanging.wait()
            relay.cut()

        cutting = asyncio.create_task(cut())
        error = await failure(use, NacosConnection((relay.address,), request_timeout=20), tmp_path)
        await cutting
    assert isinstance(error, ConnectionLost)
    assert error.address == f"127.0.0.1:{int(relay.address.partition(':')[2]) + 1000}"
    assert str(error).startswith(f"{error.address}: the connection was lost")
    assert str(error).endswith("; Laneway connects again by itself")


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (500, "Request nacos naming server failed: StatusCode.DEADLINE_EXCEEDED", NoAnswer),
        (-401, "client not connected,status:RpcClientStatus.UNHEALTHY", ConnectionLost),
        (500, "Request nacos naming server failed: StatusCode.UNAVAILABLE", ConnectionLost),
        (500, "user not found!", AccessRefused),
        (403, "no right", AccessRefused),
        (22001, "Namespace 'x' does not exist", UnknownNamespace),
        (500, "anything else", RequestFailed),
    ],
)
def test_what_the_sdk_raises(code: int, text: str, kind: type[NacosError]) -> None:
    class OfSdk(Exception):
        error_code, message = code, text

    error = meaning(OfSdk(), NacosConfig(("x",)), "x:9848")
    assert type(error) is kind
    assert str(error).startswith("x:9848: ")
    assert error.remedy


async def test_the_end_of_the_stream_of_pushes_is_noticed(tmp_path: Path) -> None:
    async with FakeNacos() as nacos:
        client = NamingClient(NacosConfig((nacos.address,), state_dir=tmp_path))
        await client.open()
        assert not client.lost.is_set()
        nacos.end_streams()
        async with asyncio.timeout(20):
            await client.lost.wait()
        await client.close()


async def test_a_closed_client_leaves_no_connection(tmp_path: Path) -> None:
    """A server takes the instances of a client for alive as long as it is connected."""
    async with FakeNacos() as nacos, NacosRelay(nacos.address) as relay:
        client = NamingClient(NacosConfig((relay.address,), state_dir=tmp_path))
        await client.open()
        await client.list_services("DEFAULT_GROUP")
        await client.close()
        async with asyncio.timeout(10):
            await relay.ended()


def test_what_concerns_several_servers_is_said_once() -> None:
    one, other = ServerUnreachable("Connection refused", "a:9848"), NoAnswer(4.0, "b:9848")
    assert str(none_of([one, other, one])) == (
        "no Nacos server can be used: a:9848: Connection refused; b:9848: Nacos does not answer within 4 s; "
        "a:9848: Connection refused; check that Nacos runs there and that this machine can reach the port; "
        "check the server's load and the network"
    )
