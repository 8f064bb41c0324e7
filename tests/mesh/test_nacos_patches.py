"""Patches where two control planes share one real Nacos: a bad one is refused, or held by both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controlplane.cli.envoy_config import bootstrap, edge_metadata
from tests import nacos_server
from tests.mesh.client import Address, Client, fetch, until
from tests.mesh.harness import ENVOY, Mesh
from tests.mesh.nacos import options
from tests.mesh.test_envoy_patches import BROKEN, edges, put, settled, stat_prefix
from tests.nacos_server import NacosServer

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(240)]

REJECTED = "fill timer must be >= 50ms"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NacosServer]:
    version = nacos_server.VERSIONS[0]  # what they write does not depend on it
    with nacos_server.for_test(version, tmp_path_factory.mktemp("nacos")) as started:
        yield started


def answering(name: str) -> dict[str, Any]:
    match = {"path": {"exact": f"/{name}"}}
    return {"kind": "Route", "gateway": "edge", "name": name, "match": match, "respond": {"status": 200}}


Places = dict[str, list[Address]]
"""The admin ports of the edges of either control plane."""


@pytest.fixture(scope="module")
def both(server: NacosServer, new_mesh: Callable[..., Mesh]) -> tuple[Mesh, Mesh, Places]:
    """`careful` has an Envoy and one edge; `trusting` has none, and four edges. All edges share one port."""
    careful, trusting = new_mesh(), new_mesh()
    for mesh in (careful, trusting):
        mesh.store = "nacos"
        mesh.source = options(server.address, mesh.directory / "state")
        mesh.environment |= {"LANEWAY_ALLOW_ENVOY_PATCHES": "true", "LANEWAY_TRIAL_WAIT": "2"}
    careful.environment["LANEWAY_ENVOY_BINARY"] = str(ENVOY)
    careful.start(answering("a"), envoys=False)
    trusting.edge_address = careful.edge_address
    trusting.start_laneway()
    places: Places = {"careful": [], "trusting": []}
    for name, mesh, number in (("careful", careful, 1), ("trusting", trusting, 4)):
        for count in range(number):
            at = (f"{mesh.network}.{230 + count}", 15000)
            config = bootstrap(f"{name}-{count}", "edge", edge_metadata(), mesh.xds, at)
            mesh.start_envoy(f"{name}-{count}", config)
            places[name].append(at)
        until(lambda m=mesh, n=number: len(edges(m)) == n and settled(m, "listener"), 30, name)
    return careful, trusting, places


def listens_as(admin: Address) -> str:
    """The statistics' prefix of an edge's listener, which patches change, and whether it limits."""
    dump = json.loads(fetch(admin, "/config_dump?resource=dynamic_listeners").body)
    (listener,) = [
        one["active_state"]["listener"] for one in dump["configs"] if one.get("name", "").startswith("edge/")
    ]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    limited = any(one["name"] == "limit" for one in manager["http_filters"])
    return f"{manager['stat_prefix']}{' limit' if limited else ''}"


def everywhere(places: Places, expected: str) -> bool:
    return all(listens_as(admin) == expected for found in places.values() for admin in found)


def answers(mesh: Mesh, path: str, count: int = 12) -> set[int]:
    """Each over a connection of its own, which any of the edges may take."""
    found = set[int]()
    for _ in range(count):
        with Client(mesh.edge_address) as client:
            found.add(client.get(path).status)
    return found


def held(mesh: Mesh) -> float:
    text = mesh.rest.call("GET", "/metrics").body.decode()
    (line,) = [one for one in text.splitlines() if one.startswith("laneway_held_gateways ")]
    return float(line.split()[1])


def warned(mesh: Mesh) -> str:
    return " ".join(mesh.rest.get("/v1/gateways/edge")["status"].get("warnings", []))


def test_a_bad_patch_is_refused_or_held(both: tuple[Mesh, Mesh, Places]) -> None:
    careful, trusting, places = both
    assert put(careful, stat_prefix("good")).status == 200
    until(lambda: everywhere(places, "good"), 30, "a good patch at the edges of both")

    before = careful.rest.call("GET", "/v1/export").body
    refused = put(careful, BROKEN)
    assert refused.status == 422
    assert REJECTED in refused.json["errors"][0]["message"]
    assert trusting.rest.call("GET", "/v1/export").body == before

    # The other one cannot try it by itself.
    assert put(trusting, BROKEN).status == 200
    until(lambda: REJECTED in warned(careful), 30, "the one with an Envoy to hold it")
    assert "edges go on with it as it was: envoy_patches[0] is rejected by Envoy" in warned(careful)
    assert held(careful) == 1
    until(lambda: any(one["held"] for one in edges(trusting)), 30, "the trial of the other one to end")
    rejecting = [one for one in edges(trusting) if one["types"]["listener"]["nack"]]
    assert len(rejecting) == 2
    assert all(REJECTED in one["types"]["listener"]["nack"]["message"] for one in rejecting)
    assert not edges(careful)[0]["types"]["listener"]["nack"]
    assert everywhere(places, "good")
    assert answers(careful, "/a") == {200}

    # What others change goes on, by either way.
    trusting.apply(answering("b"))
    careful.apply(answering("c"))
    for path in ("/b", "/c"):
        until(lambda p=path: answers(careful, p) == {200}, 30, f"{path} at the edges of both")
    assert everywhere(places, "good")
    assert held(careful) == 1

    assert put(trusting, stat_prefix("mended")).status == 200
    until(lambda: everywhere(places, "mended"), 30, "the mended patch at the edges of both")
    until(lambda: held(careful) == 0 and not warned(careful), 10, "nothing to be held")
    until(lambda: not any(one["held"] for one in edges(trusting)), 10, "nothing to be on trial")
    for mesh in (careful, trusting):
        mesh.check_accepted()


def test_patches_of_both_at_once(both: tuple[Mesh, Mesh, Places]) -> None:
    """What is stored last is what the edges of both have; a bad one between them reaches nobody's."""
    careful, trusting, places = both
    for number in range(4):
        assert put(trusting, BROKEN).status == 200
        assert put(careful, stat_prefix(f"careful-{number}")).status == 200
        assert put(trusting, stat_prefix(f"trusting-{number}")).status == 200
    until(lambda: everywhere(places, "trusting-3"), 60, "the last patch at the edges of both")
    until(lambda: held(careful) == 0, 10, "nothing to be held")
    exports = {mesh.rest.call("GET", "/v1/export").body for mesh in (careful, trusting)}
    assert len(exports) == 1
    assert answers(careful, "/a") == {200}
