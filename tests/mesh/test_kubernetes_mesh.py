"""The second variant of the example, with traffic: the gateway leads to the Service sc-a of Kubernetes, and
applications find each other in Nacos (A -> B -> C), where no instance has a tag.

A real API server, a real Nacos and real Envoys, all in one network namespace: EndpointSlices take no loopback
addresses, so the pods have others there. There is no kubelet: the test sets the status of pods.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import nacos_server, require
from tests.kubernetes.server import MERGE, KubeServer
from tests.kubernetes.server import for_test as api_server
from tests.kubernetes.tools import NODE
from tests.mesh import netns
from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh
from tests.mesh.nacos import Registrar
from tests.mesh.pods import Pod

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]

NETWORK = "10.9.0"
PODS = "/api/v1/namespaces/default/pods"
GRAY = ("canary", "gray")
CALLS = {"A": "sc-b", "B": "sc-c", "C": ""}


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    if why_not := netns.missing():
        require.lacking("iptables", why_not)
    made = netns.Namespace(f"lw{os.getpid()}k")
    try:
        for number in [*range(1, 20), 250, 251]:
            made.run("ip", "addr", "add", f"{NETWORK}.{number}/32", "dev", "lo")
        with made.enter():
            yield
    finally:
        made.remove()


@pytest.fixture(scope="module")
def cluster(network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    with api_server(tmp_path_factory.mktemp("kubernetes")) as server:
        server.call("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        spec = {"ports": [{"port": 20001}], "selector": {"msePilotCreateAppName": "spring-cloud-a"}}
        server.call(
            "POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "sc-a"}, "spec": spec}
        )
        yield server


@pytest.fixture(scope="module")
def registrar(network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registrar, str]]:
    home = tmp_path_factory.mktemp("nacos")
    with nacos_server.for_test(nacos_server.VERSIONS[0], home) as server:
        made = Registrar(server.address, tmp_path_factory.mktemp("sdk"))
        yield made, server.address
        made.close()


class Cluster:
    """Pods of the mesh as Kubernetes and Nacos see them: the tag is in the labels alone."""

    def __init__(self, mesh: Mesh, server: KubeServer, registrar: Registrar) -> None:
        self.mesh, self.server, self.registrar = mesh, server, registrar

    def add(self, name: str) -> Pod:
        letter, tag = name[0], name[1:]
        service = f"sc-{letter.lower()}"
        pod = self.mesh.pod(name, service, f"spring-cloud-{letter.lower()}", tag=tag, next=CALLS[letter])
        pod.egress = f"127.0.{pod.address.rpartition('.')[2]}.1"  # the proxy listens on loopback alone
        labels = {"msePilotCreateAppName": pod.application}
        if tag:
            labels["alicloud.service.tag"] = tag
        spec = {"nodeName": NODE, "containers": [{"name": "app", "image": "none"}]}
        self.server.call("POST", PODS, {"metadata": {"name": name.lower(), "labels": labels}, "spec": spec})
        self.ready(name)
        instance = {"ip": pod.address, "port": pod.port, "metadata": {}, "healthy": True}
        self.registrar.register(name, service, instance)
        return pod

    def ready(self, name: str, ready: bool = True) -> None:
        address = self.mesh.pods[name].address
        status: dict[str, Any] = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        status["conditions"] = [{"type": "Ready", "status": str(ready)}]
        self.server.call("PATCH", f"{PODS}/{name.lower()}/status", {"status": status}, MERGE)


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh], cluster: KubeServer, registrar: tuple[Registrar, str]) -> Cluster:
    made = new_mesh(own_network=NETWORK)
    for word in ("ADMIN_ALLOW_ANONYMOUS", "ADMIN_ALLOW_PLAINTEXT", "XDS_ALLOW_PLAINTEXT"):
        made.environment[f"LANEWAY_{word}"] = "true"
    made.source = ["--kubernetes-config", str(cluster.kubeconfig), "--kubernetes-namespace", "default"]
    made.source += ["--nacos", registrar[1]]
    pods = Cluster(made, cluster, registrar[0])
    for name in ("A", "Agray", "B", "C", "Cgray"):
        pods.add(name)
    made.start(route("a", "sc-a", source="kubernetes"), group("order-flow", *APPLICATIONS), lane("gray"))
    made.wait_chain(["Agray", "B", "Cgray"], GRAY, timeout=30)
    return pods


def test_base_and_lane(mesh: Cluster) -> None:
    for _ in range(20):
        assert mesh.mesh.chain("/a") == ["A", "B", "C"]
        assert mesh.mesh.chain("/a", GRAY) == ["Agray", "B", "Cgray"]


def test_readiness_in_kubernetes_counts_at_the_gateway(mesh: Cluster) -> None:
    """The lane goes on behind a base instance of A."""
    mesh.ready("Agray", False)
    mesh.mesh.wait_chain(["A", "B", "Cgray"], GRAY, timeout=20)
    mesh.ready("Agray")
    mesh.mesh.wait_chain(["Agray", "B", "Cgray"], GRAY, timeout=20)


def test_a_canary_that_comes_later(mesh: Cluster) -> None:
    """In Nacos it has no tag: what the labels of its pod say counts, so it never takes base traffic."""
    pod = mesh.add("Bgray")
    mesh.mesh.start_apps([pod])
    mesh.mesh.start_sidecars([pod])
    mesh.mesh.wait_chain(["Agray", "Bgray", "Cgray"], GRAY, timeout=30)
    for _ in range(20):
        assert mesh.mesh.chain("/a") == ["A", "B", "C"]


def test_the_api_server_dies(mesh: Cluster) -> None:
    """Everything stays as it was; a change that is made when it is back is seen."""
    whole = mesh.mesh.chain("/a", GRAY)
    mesh.server.kill()

    def held() -> bool:
        sources = mesh.mesh.rest.get("/readyz")["sources"]
        return next(one for one in sources if one["name"] == "kubernetes")["state"] == "stale"

    until(held, 30, "the control plane to notice")
    for _ in range(20):
        assert mesh.mesh.chain("/a", GRAY) == whole
        assert mesh.mesh.chain("/a") == ["A", "B", "C"]
    mesh.server.start()
    mesh.ready("Agray", False)
    mesh.mesh.wait_chain(["A", *whole[1:]], GRAY, timeout=60)
    mesh.ready("Agray")
    mesh.mesh.wait_chain(whole, GRAY, timeout=60)
