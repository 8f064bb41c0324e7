"""What registries and clients write: addresses in brackets, dots and underscores in hosts, labels of base and
gRPC ports in the metadata; and listeners for both versions of IP.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from tests.mesh.client import Client, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh, listening
from tests.mesh.pods import Pod

METHOD = "/shop.v1.Stock/Get"
GRAY = ("canary", "gray")


class Chain(grpc.GenericRpcHandler):
    """Answers every call with a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def service(self, _: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: self._name.encode())


def free_port(address: str) -> int:
    with socket.socket(socket.AF_INET6) as claim:
        claim.bind((address, 0))
        return claim.getsockname()[1]


def starter(mesh: Mesh, name: str, tag: str) -> Pod:
    """An instance as Spring's gRPC starters register it: with the port of its web server."""
    metadata = {"gRPC_port": "19090", "version": tag}
    return mesh.pod(name, "stock_service", "stock", sidecar=False, protocol="", metadata=metadata)


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Iterator[Mesh]:
    made = new_mesh()
    made.environment = {"LANEWAY_TAG_KEYS": "alicloud.service.tag,version", "LANEWAY_BASE_TAGS": "base,1.0"}
    made.pod("W", "web", "web", metadata={"version": "1.0"})
    stock = [starter(made, "S", "1.0"), starter(made, "Sgray", "gray")]
    six = made.pod("six", "sc-6", "six", sidecar=False, port=free_port("::1"))
    six.address, six.listed = "::1", "[0:0:0:0:0:0:0:1]"
    servers: list[grpc.Server] = []
    made.start(
        route("web", "web", hosts=["shop.example.com"]),
        route("stock", "stock_service"),
        route("six", "sc-6"),
        route("grpc", "stock_service:grpc", {"prefix": "/shop.v1.Stock"}),
        group("g", "stock"),
        lane("gray", "g"),
    )
    for pod in stock:
        server = grpc.server(ThreadPoolExecutor(2), (Chain(pod.name),))
        assert server.add_insecure_port(f"{pod.address}:19090")
        server.start()
        servers.append(server)
    yield made
    for server in servers:
        server.stop(None).wait()


def call(address: tuple[str, int], authority: str = "", *metadata: tuple[str, str]) -> str:
    options = [("grpc.default_authority", authority)] if authority else []
    with grpc.insecure_channel(f"{address[0]}:{address[1]}", options) as channel:
        return channel.unary_unary(METHOD)(b"", metadata=metadata, timeout=10, wait_for_ready=True).decode()


def by_proxy(mesh: Mesh, url: str, host: str = "", *headers: tuple[str, str]) -> Any:
    with Client((mesh.pods["W"].address, 15001)) as client:
        return client.request("GET", url, headers, host=host or url.split("/")[2])


def test_an_instance_registered_in_brackets_serves(mesh: Mesh) -> None:
    assert mesh.rest.get("/v1/services/sc-6")["refused"] == []
    assert mesh.chain("/six") == ["six"]
    at = f"[::1]:{mesh.pods['six'].port}"
    assert by_proxy(mesh, f"http://{at}/").chain == ["six"]


@pytest.mark.parametrize("host", ["shop.example.com", "shop.example.com.", "Shop.example.com.:8080"])
def test_a_host_with_a_dot_at_its_end_is_the_same_at_the_edge(mesh: Mesh, host: str) -> None:
    answer = mesh.edge.request("GET", "/web", host=host)
    assert (answer.status, answer.chain) == (200, ["W"])
    explained = mesh.rest.done("POST", "/v1/explain", {"gateway": "edge", "host": host, "path": "/web"})
    assert explained["route"] == "web"


@pytest.mark.parametrize("host", ["web.", "web.:80", "WEB.", "web"])
def test_a_host_with_a_dot_at_its_end_is_the_same_at_a_sidecar(mesh: Mesh, host: str) -> None:
    assert by_proxy(mesh, f"http://{host}/").chain == ["W"]
    assert by_proxy(mesh, "/", host).chain == ["W"]


@pytest.mark.parametrize("host", ["stock-service", "stock-service:8080", "stock-service."])
def test_a_service_with_an_underscore_is_called_by_hyphens(mesh: Mesh, host: str) -> None:
    assert by_proxy(mesh, f"http://{host}/").chain == ["S"]
    assert by_proxy(mesh, f"http://{host}/", "", ("x-lane", "gray")).chain == ["Sgray"]


def test_a_url_with_an_underscore_is_refused_with_the_reason(mesh: Mesh) -> None:
    """Envoy's parser of URLs takes none; calls with a path and Host work."""
    answer = by_proxy(mesh, "http://stock_service/")
    assert answer.status == 400
    assert answer.header("content-type") == "application/problem+json"
    assert "http://stock-service/" in json.loads(answer.body)["detail"]
    assert by_proxy(mesh, "/", "stock_service").chain == ["S"]


def test_values_that_mean_base(mesh: Mesh) -> None:
    assert mesh.chain("/stock") == ["S"]
    assert mesh.chain("/stock", GRAY) == ["Sgray"]
    tags = [one["tag"] for one in mesh.rest.get("/v1/services/stock_service")["instances"]]
    assert tags == [None, "gray"]


def test_grpc_goes_to_the_port_in_the_metadata(mesh: Mesh) -> None:
    assert call(mesh.edge_address) == "S"
    assert call(mesh.edge_address, "", GRAY) == "Sgray"
    egress = (mesh.pods["W"].address, 15001)
    at = f"{mesh.pods['S'].address}:19090"
    assert call(egress, at) == "S"
    assert call(egress, at, ("x-lane", "gray")) == "Sgray"
    found = mesh.rest.get("/v1/services/stock_service:grpc")
    assert (found["protocol"], {one["port"] for one in found["instances"]}) == ("grpc", {19090})


LISTENERS = {
    "one socket for both": [{"address": "::"}],
    "a list": [{"address": ["0.0.0.0", "::"]}],
    "two listeners": [{"address": "0.0.0.0"}, {"address": "::"}],
}


@pytest.mark.parametrize("listeners", LISTENERS.values(), ids=LISTENERS)
def test_an_edge_listens_on_both_versions(mesh: Mesh, listeners: list[dict[str, Any]]) -> None:
    port = free_port("::")
    both = [{"port": port, **one} for one in listeners]
    first = {"port": mesh.edge_address[1], "address": mesh.edge_address[0]}
    mesh.apply({"kind": "Gateway", "name": "edge", "listeners": [first, *both]})
    for address in ("127.0.0.1", "::1"):
        until(lambda a=address: listening((a, port)), 10, f"the edge on {address}")
        with Client((address, port)) as client:
            assert client.get("/web").chain == ["W"]
    mesh.check_accepted()
    mesh.apply(mesh.gateway())
    until(lambda: not listening(("127.0.0.1", port)), 10, "the listeners to go")
