"""`laneway serve --nacos` as a user starts it: by TLS, with a password, and what it shows of the registry."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from controlplane.registry.nacos.diagnosis import examine
from controlplane.store.nacos.items import INDEX
from controlplane.xds.messages import DeltaRequest, DeltaResponse
from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests import nacos_server
from tests.certificates import certificate
from tests.cli.ports import free_port
from tests.cli.run import LANEWAY, environment, laneway
from tests.nacos_relay import NacosRelay
from tests.nacos_server import NacosServer
from tests.registry.nacos_tools import Publisher, config, instance, watching
from tests.store.nacos_tools import behind, connection, opened
from tests.store.test_stores import GATEWAY
from tests.xds.client import DELTA

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(240)]

PASSWORD = "for-tests-only"


@pytest.fixture(scope="module", params=nacos_server.VERSIONS)
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NacosServer]:
    """A server that wants a password; its gRPC port takes TLS, too, with `tls.pem` of its home."""
    home = tmp_path_factory.mktemp("nacos")
    pem = certificate(home, "tls")
    own = "nacos.remote.server.rpc.tls"
    properties = (
        f"{own}.enableTls=true",
        f"{own}.certChainFile=file:{pem}",
        f"{own}.certPrivateKey=file:{pem}",
    )
    with nacos_server.for_test(request.param, home, auth=True, properties=properties) as server:
        server.set_password(PASSWORD)
        yield server


class Served:
    """A control plane in a process of its own, and what it says."""

    def __init__(self, url: str, log: Path, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.process = process
        self.log = log
        self.http = httpx.AsyncClient(base_url=url)

    async def until(self, path: str, condition: Callable[[httpx.Response], bool], posted: Any = None) -> Any:
        """The JSON at `path` once `condition` holds; `posted` is sent there. Raises TimeoutError."""
        method = "GET" if posted is None else "POST"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while True:
                    with contextlib.suppress(httpx.TransportError):
                        answer = await self.http.request(method, path, json=posted)
                        if condition(answer):
                            return answer.json()
                    await asyncio.sleep(0.05)
        raise TimeoutError(f"{path}: {answer.text}\n{self.log.read_text()}")


@contextlib.asynccontextmanager
async def serving(
    address: str,
    home: Path,
    *,
    xds: str = "127.0.0.1:0",
    program: Sequence[str] = (str(LANEWAY),),
    **variables: str,
) -> AsyncIterator[Served]:
    """`laneway serve` on a Nacos server, with nothing else of the environment that it could go by."""
    await asyncio.to_thread(home.mkdir)
    admin = f"127.0.0.1:{free_port()}"
    command = [*program, "serve", "--nacos", address, "--admin", admin, "--xds", xds]
    log = home.with_suffix(".log")
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=sink,
            stderr=sink,
            cwd=home,
            env=environment(HOME=str(home), **variables),
        )
    served = Served(f"http://{admin}", log, process)
    try:
        yield served
    finally:
        await served.http.aclose()
        with contextlib.suppress(ProcessLookupError):  # a test has killed it
            process.terminate()
        await process.wait()


def ready(answer: httpx.Response) -> bool:
    return answer.status_code == 200


async def test_by_tls_and_with_a_password(guarded: NacosServer, tmp_path: Path) -> None:
    """Registry and definitions; the version, a refused instance, and where the SDK writes."""
    pem = certificate(tmp_path, "nacos")
    state, home = tmp_path / "state", tmp_path / "home"
    login = {"NACOS_USERNAME": "nacos", "NACOS_PASSWORD": PASSWORD}
    tls = {"NACOS_TLS": "true", "NACOS_CA_FILE": str(pem)}
    place = {"LANEWAY_STATE_DIR": str(state), "LANEWAY_STORE": "nacos"}
    at = config(guarded.address, tmp_path / "sdk", username="nacos", password=PASSWORD)
    async with (
        NacosRelay(guarded.address, pem) as relay,
        Publisher(at) as publisher,
        serving(relay.address, home, **login, **tls, **place) as served,
    ):
        await publisher.register("sc-A", instance(1), instance(2, "gray"), instance(3, "gr äy"))
        await served.until("/readyz", ready)
        one = await served.until("/v1/services/sc-A", ready)
        assert [i["tag"] for i in one["instances"]] == [None, "gray"]
        assert [r["port"] for r in one["refused"]] == [3]
        assert "gr äy" in one["refused"][0]["reason"]
        version = f"Nacos {guarded.version}"
        for path in ("/v1/services", "/readyz"):
            told = await served.until(path, lambda answer: version in answer.text)
            (source,) = told["sources"]
            assert (source["name"], source["version"], source["state"]) == ("nacos", version, "complete")
            assert (source["services"], source["instances"], source["held_services"]) == (1, 2, 0)
            assert source["age"] < 120
        table = await asyncio.to_thread(laneway, "get", "services", "--server", served.url)
        assert version in table
        made = await served.http.put("/v1/gateways/edge", json={"listeners": [{"port": 8080}]})
        assert made.status_code == 201
        doctor = ("doctor", "nacos", "--nacos", relay.address)
        await publisher.register("sc-A", instance(1), instance(2, "gray"))
        said = await asyncio.to_thread(laneway, *doctor, **login, **tls, **place)
        assert f"{relay.address}: the login of nacos is accepted" in said
        assert "2 instances (base 1, gray 1)" in said
        assert min(relay.connections.values()) > 0
        assert PASSWORD not in served.log.read_text()
    assert list(home.iterdir()) == []
    assert (state / "nacos" / "log").is_dir()


async def test_definitions_that_cannot_be_read_are_shown(guarded: NacosServer, tmp_path: Path) -> None:
    """Unreachable, or not to be understood: it stays ready with those known last, and recovers alone."""
    login = {"NACOS_USERNAME": "nacos", "NACOS_PASSWORD": PASSWORD}
    at = connection(guarded.address, username="nacos", password=PASSWORD)
    place = {"LANEWAY_STORE": "nacos", "NACOS_NAMESPACE": at.namespace}
    relay = NacosRelay(guarded.address)

    def says(text: str) -> Callable[[httpx.Response], bool]:
        return lambda answer: text in (answer.json()["store"]["problem"] or "")

    def says_nothing(answer: httpx.Response) -> bool:
        return answer.json()["store"] == {"problem": None, "read_only": False}

    async with contextlib.AsyncExitStack() as stack:
        async with relay:
            served = await stack.enter_async_context(
                serving(relay.address, tmp_path / "home", **login, **place)
            )
            assert (await served.until("/readyz", ready))["store"] == {"problem": None, "read_only": False}
            made = await served.http.put("/v1/gateways/edge", json={"listeners": [{"port": 8080}]})
            assert made.status_code == 201
        assert (await served.until("/readyz", says("Connection refused")))["ready"]
        assert (await served.http.get("/v1/gateways/edge")).status_code == 200
        assert (await served.http.delete("/v1/gateways/edge")).status_code == 503
        await stack.enter_async_context(relay)
        assert (await served.until("/readyz", says_nothing))["ready"]
        async with behind(at) as session:
            index = await session.get(INDEX)
            assert index is not None
            await session.publish(INDEX, "broken", "json")
        assert (await served.until("/readyz", says("restore it from its history")))["ready"]
        assert (await served.http.get("/v1/gateways/edge")).status_code == 200
        async with behind(at) as session:
            await session.publish(INDEX, index, "json")
        assert (await served.until("/readyz", says_nothing))["ready"]
        assert (await served.http.delete("/v1/gateways/edge")).status_code == 204


async def everything(xds: str) -> dict[tuple[str, str], bytes]:
    """What a control plane has for an edge: (type, name) -> the resource."""
    found: dict[tuple[str, str], bytes] = {}
    missing = {CLUSTER, ENDPOINT, LISTENER, ROUTE}
    async with grpc.aio.insecure_channel(xds) as channel:
        call = channel.stream_stream(DELTA, DeltaRequest.SerializeToString, DeltaResponse.FromString)(
            timeout=20
        )
        for type_url in sorted(missing):
            request = DeltaRequest(type_url=type_url, resource_names_subscribe=["*"])
            request.node.id, request.node.cluster = "edge~1", "edge"
            request.node.metadata["role"] = "edge"
            await call.write(request)
        while missing:
            reply = await call.read()
            missing.discard(reply.type_url)
            found |= {(reply.type_url, one.name): one.resource.value for one in reply.resources}
            await call.write(DeltaRequest(type_url=reply.type_url, response_nonce=reply.nonce))
    return found


async def test_two_control_planes_send_the_same_bytes(guarded: NacosServer, tmp_path: Path) -> None:
    """Written at either of them, in whatever order; a proxy may go from one to the other."""
    login = {"NACOS_USERNAME": "nacos", "NACOS_PASSWORD": PASSWORD}
    place = {"LANEWAY_STORE": "nacos", "NACOS_NAMESPACE": "public"}
    ports = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    at = config(guarded.address, tmp_path / "sdk", username="nacos", password=PASSWORD)
    group = {"gateway": "edge", "applications": ["sc-twin"]}
    rule = {"conditions": [{"source": "header", "name": "canary", "operator": "==", "value": "gray"}]}
    async with contextlib.AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(Publisher(at))
        one, two = [
            await stack.enter_async_context(
                serving(guarded.address, tmp_path / f"home{number}", xds=port, **login, **place)
            )
            for number, port in enumerate(ports)
        ]
        await publisher.register("sc-twin", *(instance(n, "gray" if n % 2 else None) for n in range(1, 8)))
        for served in (one, two):
            await served.until("/readyz", ready)
        writes = [
            (one, "gateways/edge", {"listeners": [{"port": 8080}]}),
            (two, "gateways/edge/routes/a", {"match": {"path": {"prefix": "/"}}, "service": "sc-twin"}),
            (one, "lane-groups/twin", group),
            (two, "lane-groups/twin/lanes/first", {"tag": "gray", "rule": rule}),
            (one, "lane-groups/twin/lanes/second", {"tag": "other", "rule": rule, "priority": 2}),
        ]
        for served, path, document in writes:
            answer = await served.http.put(f"/v1/{path}", json=document)
            assert answer.status_code in (200, 201), answer.text
            for other in (one, two):
                await other.until(f"/v1/{path}", ready)
        for _ in range(100):
            first, second = [await everything(port) for port in ports]
            gray = [name for kind, name in first if kind == CLUSTER and "gray" in name]
            if first == second and gray:
                break
            await asyncio.sleep(0.1)
        assert gray
        assert first == second
        assert {kind for kind, _ in first} == {CLUSTER, ENDPOINT, LISTENER, ROUTE}


async def test_the_tls_of_nacos_itself(guarded: NacosServer, tmp_path: Path) -> None:
    """It is of gRPC alone. Whoever trusts another CA is not let in, so it is not plain text."""
    pem = guarded.home / "tls.pem"
    other = certificate(tmp_path, "other")
    login = {"username": "nacos", "password": PASSWORD}
    plain = config(guarded.address, tmp_path / "plain", **login)
    at = config(f"http://{guarded.address}", tmp_path / "tls", tls=True, ca_file=pem, **login)
    async with Publisher(plain) as publisher, watching(at) as watch:
        await publisher.register("sc-A", instance(1, "gray"))
        await watch.until(lambda: [i.tag for i in watch.service("sc-A")] == ["gray"])
    assert [one.text for one in await examine(at) if not one.ok] == []
    async with opened(connection(*at.server_addresses, tls=True, ca_file=pem, **login)) as store:
        assert (await store.change(lambda now: now.put(GATEWAY))).revision == 1
    wrong = [one.text for one in await examine(replace(at, ca_file=other)) if not one.ok]
    assert "its certificate is not trusted" in wrong[0]


@pytest.mark.parametrize(
    ("password", "ca", "problem", "words"),
    [
        (PASSWORD, "other", "its certificate is not trusted", "its certificate is not trusted"),
        ("wrong", "nacos", "does not let the user 'nacos' in", "does not let the user 'nacos' in"),
    ],
    ids=["CA", "password"],
)
async def test_what_does_not_let_in_is_shown(
    guarded: NacosServer, tmp_path: Path, password: str, ca: str, problem: str, words: str
) -> None:
    """In /readyz and /v1/services; `words` are the doctor's."""
    pem = certificate(tmp_path, "nacos")
    certificate(tmp_path, "other")
    settings = {
        "NACOS_USERNAME": "nacos",
        "NACOS_PASSWORD": password,
        "NACOS_CA_FILE": str(tmp_path / f"{ca}.pem"),
        "NACOS_TLS": "true",
        "LANEWAY_STORE": "memory",
        "LANEWAY_STATE_DIR": str(tmp_path / "state"),
    }
    async with (
        NacosRelay(guarded.address, pem) as relay,
        serving(relay.address, tmp_path / "home", **settings) as served,
    ):
        told = await served.until("/readyz", lambda answer: problem in answer.text)
        assert (told["status"], told["sources"][0]["state"]) == (503, "waiting")
        assert problem in told["detail"]
        (source,) = (await served.http.get("/v1/services")).json()["sources"]
        assert problem in source["problem"]
        assert source["unreachable_since"]
        at = config(
            relay.address,
            tmp_path / "sdk",
            tls=True,
            ca_file=Path(settings["NACOS_CA_FILE"]),
            username="nacos",
            password=settings["NACOS_PASSWORD"],
        )
        said = [one.text for one in await examine(at) if not one.ok]
        assert any(words in text for text in said), said
