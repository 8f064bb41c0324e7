"""Health checks by gRPC and by TCP: a server that says that it does not serve, and one that is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh
from tests.mesh.pods import Pod

CHECK = "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
"""HealthCheckResponse: field 1 is the status."""
GRAY = ("canary", "gray")


class GrpcServer(grpc.GenericRpcHandler):
    """Answers every method with its name, and Check of the service `stock` with `status`."""

    def __init__(self, pod: Pod) -> None:
        self.name = pod.name.encode()
        self.status = SERVING
        self.server = grpc.server(ThreadPoolExecutor(4), handlers=(self,))
        self.server.add_insecure_port(f"{pod.address}:{pod.port}")
        self.server.start()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self.check if details.method == CHECK else self.answer)

    def check(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return self.status if request == b"\x0a\x05stock" else NOT_SERVING

    def answer(self, _: bytes, __: grpc.ServicerContext) -> bytes:
        return self.name


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    """G speaks gRPC, T has TCP checks, and N is asked by gRPC although nobody says that it speaks HTTP/2."""
    made = new_mesh()
    for tag in ("", "gray"):
        made.pod(f"T{tag}", "sc-T", "t", tag=tag, sidecar=False)
    made.pod("N", "sc-N", "n", sidecar=False, protocol="")
    made.start(
        route("t", "sc-T"),
        route("n", "sc-N"),
        route("g", "sc-G", {"prefix": "/test.G"}),
        group("flow", "t", "g"),
        lane("gray", "flow"),
        application("t", "sc-T", tcp=True),
        application("g", "sc-G", grpc={"service": "stock"}),
        application("n", "sc-N", grpc={}),
    )
    for tag in ("", "gray"):
        made.pod(f"G{tag}", "sc-G", "g", tag=tag, sidecar=False, protocol="grpc")
    return made


def application(name: str, service: str, **check: Any) -> dict[str, Any]:
    checked = {**check, "interval": "200ms"}
    return {"kind": "Application", "name": name, "services": [service], "health_check": checked}


@pytest.fixture(scope="module")
def servers(mesh: Mesh) -> Iterator[dict[str, GrpcServer]]:
    made = {name: GrpcServer(mesh.pods[name]) for name in ("G", "Ggray")}
    mesh.register(*made)
    until(lambda: flags(mesh, "G") == flags(mesh, "Ggray") == "healthy", 10, "the first checks")
    yield made
    for one in made.values():
        one.server.stop(None).wait()


def flags(mesh: Mesh, name: str) -> str:
    mark = f"{mesh.pods[name].address}:{mesh.pods[name].port}::health_flags::"
    page = mesh.endpoints(mesh.edge_admin).splitlines()
    return ",".join(sorted({line.partition("health_flags::")[2] for line in page if mark in line}))


def test_a_grpc_server_says_whether_it_serves(mesh: Mesh, servers: dict[str, GrpcServer]) -> None:
    with grpc.insecure_channel(f"{mesh.edge_address[0]}:{mesh.edge_address[1]}") as channel:
        call = channel.unary_unary("/test.G/Call")

        def asked() -> bytes:
            return call(b"", metadata=(GRAY,), timeout=10)

        until(lambda: asked() == b"Ggray", 10, "the lane")
        servers["Ggray"].status = NOT_SERVING
        until(lambda: "failed_active_hc" in flags(mesh, "Ggray"), 10, "the check to be noticed")
        until(lambda: asked() == b"G", 10, "base in place of the lane")
        servers["Ggray"].status = SERVING
        until(lambda: asked() == b"Ggray", 10, "the lane again")


def test_explain_says_how_instances_are_checked(mesh: Mesh, servers: dict[str, GrpcServer]) -> None:
    for path, said in (("/t", "TCP every 200ms"), ("/test.G/Call", "gRPC stock every 200ms")):
        explained = mesh.rest.done("POST", "/v1/explain", {"gateway": "edge", "path": path})
        assert explained["hops"][0]["calls"] == {"health_check": said}


def test_a_port_that_is_closed(mesh: Mesh) -> None:
    until(lambda: flags(mesh, "T") == flags(mesh, "Tgray") == "healthy", 10, "the first checks")
    mesh.wait_chain(["Tgray"], GRAY, path="/t")
    absent = mesh.pod("Tred", "sc-T", "t", tag="gray", sidecar=False, port=20009)
    mesh.register("Tred")
    until(lambda: "failed_active_hc" in flags(mesh, "Tred"), 10, "the closed port to be noticed")
    mesh.start_apps([absent])
    until(lambda: flags(mesh, "Tred") == "healthy", 10, "the port to be open")


def test_a_check_that_envoy_cannot_make_is_left_out_with_a_warning(mesh: Mesh) -> None:
    assert mesh.chain("/n") == ["N"]
    mesh.check_accepted()
    warned = mesh.rest.get("/v1/applications/n")["status"]["warnings"]
    assert len(warned) == 1
    assert "file///sc-N are not checked" in warned[0]
    assert "protocol: grpc" in warned[0]
    assert "warnings" not in mesh.rest.get("/v1/applications/g")["status"]
