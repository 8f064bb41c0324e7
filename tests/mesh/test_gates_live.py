"""What a filter that is left out must not change, where a copy of a proxy would not do: services that are
discovered when they are called, and connections that are redirected.

Two control planes have the same definitions; the routes of one of them turn no filter off.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from controlplane.cli.envoy_config import bootstrap, sidecar_metadata
from tests import require
from tests.mesh import netns, ungated
from tests.mesh.client import Address, Client, Header, Rest, until
from tests.mesh.documents import group, lane, route
from tests.mesh.frozen import OFF
from tests.mesh.gates import CARRIED, LINES, MEMBERS, OTHERS, SEED, Asking, asked, groups
from tests.mesh.harness import ENVOY, Mesh, listening
from tests.mesh.http2 import Http2Client
from tests.mesh.large import OTHERS as OTHER_SERVICES
from tests.mesh.large import TAGS, Large
from tests.mesh.pods import Pod

pytestmark = pytest.mark.mesh

UNGATED = (sys.executable, "-P", str(Path(ungated.__file__)))
SERVICES = 24
"""Each is called for the first time by requests of another kind."""
GATED, ALL_ON = "gated", "all-on"
PORT = 20001


def headers_of(pick: random.Random) -> list[Header]:
    return [header for some in (CARRIED, MEMBERS, OTHERS) for header in pick.choice(some)]


# Services that a sidecar discovers.


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mesh, Mesh]]:
    """Sidecars of the base and of gray call services that they do not know yet."""
    with ExitStack() as stack:
        made: list[Mesh] = []
        for name in (GATED, ALL_ON):
            mesh = Large(tmp_path_factory.mktemp(name))
            stack.callback(mesh.stop)
            if name == ALL_ON:
                mesh.laneway = UNGATED
            made.append(large(mesh))
        yield made[0], made[1]


def large(mesh: Mesh) -> Mesh:
    for tag in ("", "gray"):
        mesh.pod(f"X{tag}", "sc-X", "other", tag=tag)
    for number in range(SERVICES):
        for tag in ("", "gray", "red"):
            mesh.pod(f"S{number}{tag}", f"sc-{number}", "app", tag=tag, sidecar=False)
    mesh.pod("outside", "sc-none", "none", registered=False, sidecar=False)
    others = [f"other-{n}" for n in range(OTHER_SERVICES)]
    return mesh.start(
        route("x", "sc-X"),
        *groups(),
        group("large", *others),
        *(lane(f"lane-{tag}", "large", tag) for tag in TAGS),
    )


def turned_off(admin: Address) -> bool:
    with Client(admin) as client:
        return OFF in client.get("/config_dump").body.decode()


@pytest.mark.parametrize("caller", ["X", "Xgray"])
@pytest.mark.parametrize("connect", [Client, Http2Client])
def test_services_that_are_discovered(
    twins: tuple[Mesh, Mesh], caller: str, connect: Callable[[Address], Asking]
) -> None:
    """The first call of each, and further ones; half of the services are left to the other protocol."""
    pick = random.Random(SEED)
    callers = [(mesh.pods[caller].address, 15001) for mesh in twins]
    first = 0 if connect is Client else 1
    hosts = [f"sc-{number}" for number in range(first, SERVICES, 2)]
    for mesh, (address, _) in zip(twins, callers, strict=True):
        assert not [host for host in hosts if f"file///{host}|" in mesh.endpoints((address, 15000))]
    differ: list[str] = []
    served = 0
    clients = [connect(address) for address in callers]
    for host, _ in itertools.product(hosts, range(8)):
        method, path, body = pick.choice(LINES)
        written = pick.choice([host, host, f"{host}:8080", f"{host}."])
        headers = headers_of(pick)
        url = f"http://{written}{path}" if connect is Client else path
        ours, theirs = (asked(one, written, method, url, body, headers) for one in clients)
        served += ours[0] == 200
        if ours != theirs:
            differ.append(f"{method} {url} {headers}\n  gated {ours}\n  all on {theirs}")
    outside = [f"{mesh.pods['outside'].address}:{PORT}" for mesh in twins]
    for method, path, body in LINES:
        headers = headers_of(pick)
        found: list[Any] = []
        for one, host in zip(clients, outside, strict=True):
            url = f"http://{host}{path}" if connect is Client else path
            text = repr(asked(one, host, method, url, body, headers))
            found.append(text.replace(host, "HOST"))
        if found[0] != found[1]:
            differ.append(f"{method} {path} {headers}\n  gated {found[0]}\n  all on {found[1]}")
    for one in clients:
        one.close()
    assert not differ, f"seed {SEED}: {len(differ)} differ\n" + "\n".join(differ[:5])
    assert served > len(hosts)
    for mesh, (address, _) in zip(twins, callers, strict=True):
        assert all(f"file///{host}|" in mesh.endpoints((address, 15000)) for host in hosts)
    assert [turned_off((address, 15000)) for address, _ in callers] == [True, False]


# Connections that are redirected.


@pytest.fixture(scope="module")
def namespaces() -> Iterator[tuple[netns.Namespace, dict[str, netns.Namespace]]]:
    if why_not := netns.missing():
        require.lacking("iptables", why_not)
    with netns.hosted("lg", GATED, ALL_ON, "gated-gray", "all-on-gray") as made:
        yield made


@pytest.fixture(scope="module")
def redirected(
    new_mesh: Callable[..., Mesh], namespaces: tuple[netns.Namespace, dict[str, netns.Namespace]]
) -> Mesh:
    """Two control planes, each with a pod in base and one whose tag is a lane, and one registry."""
    one, two = new_mesh(own_network="10.9.0"), new_mesh(own_network="10.9.0")
    two.xds, two.admin = ("10.9.0.249", 18000), ("10.9.0.249", 18080)
    two.rest = Rest(two.admin)
    two.laneway = UNGATED
    two.source = one.source
    for tag in ("", "gray", "red"):
        one.pod(f"A{tag}", "sc-A", "app", tag=tag, sidecar=False)
    one.pod("C", "sc-C", "app", sidecar=False)
    one.pod("outside", "sc-none", "none", registered=False, sidecar=False)
    plain = list(one.pods.values())
    fronts: dict[str, Pod] = {}
    for number, name in enumerate(namespaces[1], 1):
        tag = "gray" if number > 2 else ""
        # In answers it has the name of the other one.
        fronts[name] = Pod(f"F{tag}", "sc-F", "other", f"10.9.{number}.2", tag=tag, sidecar=False)
        one.pods[f"front-{name}"] = fronts[name]
    one.write_services()
    one.start_apps(plain)
    for mesh in (one, two):
        for word in ("ADMIN_ALLOW_ANONYMOUS", "ADMIN_ALLOW_PLAINTEXT", "XDS_ALLOW_PLAINTEXT"):
            mesh.environment[f"LANEWAY_{word}"] = "true"
        mesh.start_laneway()
        mesh.apply(one.gateway(), route("a", "sc-A"), *groups())
    for number, (name, pod) in enumerate(namespaces[1].items(), 1):
        with pod.enter():
            one.start_apps([fronts[name]])
        netns.capture(pod, [PORT])
        start_redirected(one, fronts[name], pod, (one, two)[(number - 1) % 2].xds)
    for pod in namespaces[1].values():
        with pod.enter():
            until(lambda: one._is_ready(("127.0.0.1", 15000)), 30, f"the sidecar of {pod.name}")
            until(lambda: listening(("127.0.0.1", netns.OUTBOUND)), 30, "its outbound listener")
    for mesh in (one, two):
        mesh.check_accepted()
    return one


def start_redirected(mesh: Mesh, front: Pod, pod: netns.Namespace, xds: Address) -> None:
    metadata = sidecar_metadata(front.address, [(front.service, PORT, None)], "redirect", tag=front.tag)
    config = bootstrap(f"redirect~{pod.name}", "other", metadata, xds, ("127.0.0.1", 15000))
    path = mesh.directory / f"{pod.name}.json"
    path.write_text(json.dumps(config))
    command = [str(ENVOY), "-c", str(path), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    mesh.start_command(f"envoy-{pod.name}", netns.as_excluded(command, pod))


@pytest.mark.parametrize("pair", [(GATED, ALL_ON), ("gated-gray", "all-on-gray")])
@pytest.mark.parametrize("connect", [Client, Http2Client])
def test_redirected_connections(
    redirected: Mesh,
    namespaces: tuple[netns.Namespace, dict[str, netns.Namespace]],
    pair: tuple[str, str],
    connect: Callable[[Address], Asking],
) -> None:
    """Out of the pods, with hosts that lie, and into them."""
    pick = random.Random(SEED)
    host, pods = namespaces
    into = [redirected.pods[f"front-{name}"].address for name in pair]
    differ: list[str] = []
    served = 0
    asked_of: dict[str, list[tuple[netns.Namespace, Address]]] = {
        name: [(pods[one], (redirected.pods[name].address, PORT)) for one in pair]
        for name in ("A", "Agray", "C", "outside")
    }
    asked_of["F"] = [(host, (address, PORT)) for address in into]
    for places in asked_of.values():
        clients: list[Asking] = []
        for where, address in places:
            with where.enter():
                clients.append(connect(address))
        for _ in range(60):
            method, path, body = pick.choice(LINES)
            headers = headers_of(pick)
            name = pick.choice(["sc-A", "sc-C", "sc-a:8080", "nobody", "sc-F"])
            found: list[Any] = []
            for (where, _), client in zip(places, clients, strict=True):
                with where.enter():  # the client may have to connect again
                    found.append(asked(client, name, method, path, body, headers))
            served += found[0][0] == 200
            if found[0] != found[1]:
                differ.append(f"{method} {path} {headers}\n  gated {found[0]}\n  all on {found[1]}")
        for client in clients:
            client.close()
    assert not differ, f"seed {SEED}: {len(differ)} differ\n" + "\n".join(differ[:5])
    assert served > 100
    seen = []
    for one in pair:
        with pods[one].enter():
            seen.append(turned_off(("127.0.0.1", 15000)))
    assert seen == [True, False]
