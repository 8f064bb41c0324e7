"""Rule 11 with a real Nacos and real Envoys: whatever becomes of the registry, no request fails."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import nacos_server
from tests.mesh.client import Load, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc
from tests.mesh.nacos import Registrar, Relay, options, shown
from tests.nacos_server import NacosServer

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(300)]

GRAY = ("canary", "gray")
GRAY_CHAIN = ["Agray", "B", "Cgray"]
BASE_CHAINS = {("A", "B", "C"), ("A2", "B", "C")}
ALL = {"sc-A": ["A", "A2", "Agray"], "sc-B": ["B"], "sc-C": ["C", "Cgray"]}

ONE_VERSION = pytest.mark.parametrize("server", nacos_server.VERSIONS[:1], indirect=True)
"""For what takes long and does not depend on the server's version."""

OUTAGE = float(os.environ.get("LANEWAY_TEST_OUTAGE", "3"))
"""Seconds that a server stays away once everything is held."""


@pytest.fixture(scope="module", params=nacos_server.VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NacosServer]:
    with nacos_server.for_test(request.param, tmp_path_factory.mktemp("nacos")) as started:
        yield started


@pytest.fixture(scope="module")
def registrar(server: NacosServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registrar]:
    made = Registrar(server.address, tmp_path_factory.mktemp("sdk"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def relay(server: NacosServer) -> Iterator[Relay]:
    made = Relay(server.port)
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole_mesh(relay: Relay, registrar: Registrar, new_mesh: Callable[..., Mesh]) -> Mesh:
    """A -> B -> C with two base instances of A, and gray ones of A and C, all with sidecars."""
    made = new_mesh()
    made.store = f"sqlite:{made.directory / 'store.db'}"
    made.source = options(relay.address, made.directory / "state")
    abc(made, "A2", "Agray", "Cgray")
    made.pods["A2"].tag = ""
    register_all(made, registrar)
    made.start(route("a", "sc-A"), group("order-flow", *APPLICATIONS), lane("gray"))
    return made


@pytest.fixture
def mesh(whole_mesh: Mesh) -> Mesh:
    """The mesh in its normal state."""
    until(lambda: as_registered(whole_mesh), 60, "all to be there")
    whole_mesh.wait_chain(GRAY_CHAIN, GRAY)
    return whole_mesh


def register_all(mesh: Mesh, registrar: Registrar) -> None:
    """As applications do that start, or notice that their registration is gone."""
    registrar.leave()
    pods = mesh.pods
    registrar.pods("gray", pods["Agray"], pods["Cgray"])
    registrar.pods("first", pods["A"])
    registrar.pods("second", pods["A2"], pods["B"], pods["C"])


def as_registered(mesh: Mesh) -> bool:
    return all(shown(mesh, name) == expected for name, expected in ALL.items())


def held(mesh: Mesh) -> bool:
    """Whether all base instances are there and held."""
    return all(
        [one for one in shown(mesh, name) if "gray" not in one]
        == [f"{one} held" for one in expected if "gray" not in one]
        for name, expected in ALL.items()
    )


def without_gray(mesh: Mesh) -> bool:
    return held(mesh) and "gray" not in f"{shown(mesh, 'sc-A')} {shown(mesh, 'sc-C')}"


@contextmanager
def steady(mesh: Mesh, what: str, rate: float = 60) -> Iterator[Load]:
    """Base and gray requests all the time: none fails, and none of base comes to a gray instance."""
    began = time.monotonic()
    with mesh.load(("GET", "/a", [], b""), ("POST", "/a", [GRAY], b"x"), rate=rate, clients=4) as load:
        yield load
        load.wait_for(int(rate))
    print(
        f"\n{what}: {time.monotonic() - began:.1f} s, {len(load.sent)} requests, {len(load.failed())} failed"
    )
    assert load.failed() == []
    assert {sent.chain for sent in load.sent if sent.method == "GET"} == BASE_CHAINS
    assert {tuple(n.removesuffix("gray").removesuffix("2") for n in c) for c in load.chains()} == {
        ("A", "B", "C")
    }


def test_the_server_is_killed_and_comes_back_empty(
    server: NacosServer, registrar: Registrar, mesh: Mesh
) -> None:
    """First nothing is registered, then only gray, then a part of the base, then all."""
    with steady(mesh, f"killed {server.version}") as load:
        server.kill()
        until(lambda: held(mesh), 20, "everything to be held")
        load.wait_for(int(60 * OUTAGE), 180)
        registrar.leave()
        server.start()
        until(lambda: without_gray(mesh), 60, "the empty registry to be read")
        load.wait_for(60)
        registrar.pods("gray", mesh.pods["Agray"], mesh.pods["Cgray"])
        until(lambda: "Agray" in shown(mesh, "sc-A"), 30, "gray to be back")
        assert held(mesh)
        load.wait_for(60)
        registrar.pods("first", mesh.pods["A"])
        until(lambda: shown(mesh, "sc-A") == ["A", "A2 held", "Agray"], 30, "A to be back")
        load.wait_for(60)
        registrar.pods("second", mesh.pods["A2"], mesh.pods["B"], mesh.pods["C"])
        until(lambda: as_registered(mesh), 30, "all to be back")


def test_the_server_is_paused(server: NacosServer, registrar: Registrar, mesh: Mesh) -> None:
    with steady(mesh, f"paused {server.version}"):
        server.signal(signal.SIGSTOP)
        until(lambda: held(mesh), 30, "everything to be held")
        server.signal(signal.SIGCONT)
        until(lambda: not held(mesh), 60, "the registry to be heard")
        register_all(mesh, registrar)  # the server may have given their connections up
        until(lambda: as_registered(mesh), 60, "all to be back")


def test_the_network_stalls(relay: Relay, mesh: Mesh) -> None:
    with steady(mesh, "stalled"):
        relay.stall(True)
        until(lambda: held(mesh), 30, "everything to be held")
        relay.stall(False)
        until(lambda: as_registered(mesh), 60, "all to be back")


def test_the_connection_is_cut(relay: Relay, mesh: Mesh) -> None:
    with steady(mesh, "cut"):
        relay.cut()
        until(lambda: held(mesh), 1.5, "everything to be held at once", exact=True)
        until(lambda: as_registered(mesh), 30, "all to be back")


@ONE_VERSION
def test_the_server_drops_the_connection_gracefully(
    server: NacosServer, registrar: Registrar, mesh: Mesh
) -> None:
    """The control plane sleeps until the server has given it up: its SDK does not notice, it does."""
    assert mesh.serving is not None
    with steady(mesh, f"dropped {server.version}"):
        mesh.serving.process.send_signal(signal.SIGSTOP)
        server.wait_for_subscribers("sc-A", 0)
        registrar.pods("first", mesh.pods["A"], healthy=False)
        mesh.serving.process.send_signal(signal.SIGCONT)
        until(lambda: "A unhealthy" in shown(mesh, "sc-A"), 30, "what happened in the meantime")
        registrar.pods("first", mesh.pods["A"])
        until(lambda: as_registered(mesh), 30, "all to be healthy")


def test_base_sets_are_emptied_or_unhealthy(registrar: Registrar, mesh: Mesh) -> None:
    pods = mesh.pods
    with steady(mesh, "emptied") as load:
        registrar.leave("first", "second")
        until(lambda: held(mesh), 30, "everything to be held")
        assert "Agray" in shown(mesh, "sc-A")
        load.wait_for(60)
        registrar.pods("first", pods["A"], healthy=False)
        registrar.pods("second", pods["A2"], pods["B"], pods["C"], healthy=False)
        until(lambda: held(mesh), 30, "the unhealthy ones to be held")
        load.wait_for(60)
        registrar.pods("first", pods["A"])
        until(lambda: shown(mesh, "sc-A") == ["A", "A2 unhealthy", "Agray"], 30, "one to be healthy")
        load.wait_for(60)
        register_all(mesh, registrar)
        until(lambda: as_registered(mesh), 30, "all to be healthy")


@ONE_VERSION
def test_the_control_plane_starts_while_the_server_is_down(
    server: NacosServer, registrar: Registrar, mesh: Mesh
) -> None:
    """With what was known last it serves at once, to a new edge too; without, it waits and says so."""
    state = mesh.directory / "state" / "services-nacos.json"
    with steady(mesh, f"down at start {server.version}") as load:
        assert mesh.serving is not None
        mesh.serving.process.terminate()
        mesh.serving.process.wait(20)
        server.kill()
        registrar.leave()
        mesh.start_laneway()
        assert held(mesh)
        assert "Agray" in shown(mesh, "sc-A")
        load.wait_for(60)
    mesh.restart_edge()
    with steady(mesh, f"a new edge without {server.version}") as load:
        load.wait_for(60)
        mesh.kill(mesh.serving)
        state.unlink()
        mesh.start_laneway(ready=False)
        reason = until(lambda: unready(mesh), 60, "the reason")
        assert "source nacos has not synced yet: " in reason
        assert "gRPC does not work on this port" in reason, "the relay takes connections, and nobody answers"
        load.wait_for(60)
        server.start()
        register_all(mesh, registrar)
        until(lambda: mesh.rest.call("GET", "/readyz").status == 200, 60, "laneway to be ready")
        until(lambda: as_registered(mesh), 30, "all to be back")


def test_the_password_is_not_accepted_any_more_and_the_definitions_are_there_too(
    new_mesh: Callable[..., Mesh], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The token ends, the next login is refused: what is known is served on until the password is right.

    Then the server is killed: definitions can be read, a change is refused, and proxies go on.
    """
    options_of_server = {"auth": True, "token_seconds": 30}
    with nacos_server.for_test(nacos_server.VERSIONS[0], tmp_path / "nacos", **options_of_server) as server:
        server.set_password("first")
        login = {"NACOS_USERNAME": "nacos", "NACOS_PASSWORD": "first"}
        registrar = Registrar(server.address, tmp_path_factory.mktemp("sdk"), login)
        made = new_mesh()
        try:
            made.source = options(server.address, made.directory / "state")
            made.store = "nacos"
            made.environment = login
            for name, tag in (("A", ""), ("Agray", "gray")):
                made.pod(name, "sc-A", "spring-cloud-a", tag=tag, sidecar=False)
            registrar.pods("all", *made.pods.values())
            made.start(route("a", "sc-A"), group("order-flow", "spring-cloud-a"), lane("gray"))
            made.wait_chain(["Agray"], GRAY)
            with made.load(("GET", "/a", [], b""), ("GET", "/a", [GRAY], b""), rate=60, clients=4) as load:
                server.set_password("second", "first")
                until(lambda: shown(made, "sc-A") == ["A held", "Agray"], 60, "everything to be held")
                assert "does not let the user 'nacos' in" in source(made)["problem"]
                load.wait_for(120)
                server.set_password("first", "second")
                until(lambda: shown(made, "sc-A") == ["A", "Agray"], 40, "the login to work again")
                load.wait_for(60)
                server.kill()
                until(lambda: is_refused(source(made)), 20, "the loss to be shown")
                before = made.rest.call("GET", "/v1/export").body
                refused = made.rest.call("PUT", "/v1/applications/new", {"services": ["sc-A"]})
                assert refused.status == 503
                assert "Connection refused" in refused.json["detail"]
                assert made.rest.call("GET", "/v1/export").body == before
                assert made.rest.call("GET", "/readyz").status == 200
                load.wait_for(60)
            print(f"\nwrong password, then killed: {len(load.sent)} requests, {len(load.failed())} failed")
            assert load.failed() == []
            assert set(load.chains()) == {("A",), ("Agray",)}
        finally:
            registrar.close()


def source(mesh: Mesh) -> dict[str, Any]:
    """How the registry stands, as the admin API shows it."""
    (one,) = mesh.rest.call("GET", "/v1/services").json["sources"]
    return one


def is_refused(one: dict[str, Any]) -> bool:
    """Whether a registry is shown as one that nobody answers for."""
    shown = one["state"] == "stale" and one["unreachable_since"]
    return bool(shown) and "Connection refused" in one["problem"]


def unready(mesh: Mesh) -> str:
    """What the control plane waits for, once it says so."""
    try:
        answer = mesh.rest.call("GET", "/readyz")
    except (OSError, EOFError):
        return ""
    assert answer.status == 503
    text = answer.body.decode()
    return text if "yet: " in text else ""
