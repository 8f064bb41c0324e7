"""`laneway serve` with Kubernetes and Nacos at once: the second variant of the example.

The gateway leads to the Service sc-a; applications find each other in Nacos, where no instance has a tag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import nacos_server
from tests.cli.ports import wait_for
from tests.cli.served import Served, served
from tests.kubernetes.server import KubeServer
from tests.kubernetes.tools import GRAY, Admin
from tests.registry.nacos_tools import Publisher, config, instance

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]

DEFINITIONS = """
kind: Gateway
name: edge
listeners: [{port: 8080}]
---
{kind: Route, gateway: edge, name: a, match: {path: {prefix: /a}}, service: sc-a, source: kubernetes}
---
kind: LaneGroup
name: order-flow
gateway: edge
applications: [spring-cloud-a, spring-cloud-b, spring-cloud-c]
---
kind: Lane
group: order-flow
name: gray
tag: gray
rule: {conditions: [{source: header, name: canary, operator: "==", value: gray}]}
"""
PODS = {
    "a": ("10.0.3.178", 20001, {}),
    "a-gray": ("10.0.3.177", 20001, GRAY),
    "b": ("10.0.3.195", 20002, {}),
    "c": ("10.0.3.201", 20003, {}),
    "c-gray": ("10.0.3.202", 20003, GRAY),
}


@pytest.fixture(scope="module")
def nacos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nacos_server.for_test(nacos_server.VERSIONS[0], tmp_path_factory.mktemp("nacos")) as server:
        yield server.address


async def test_the_second_variant_of_the_example(
    shared: KubeServer, admin: Admin, nacos: str, tmp_path: Path
) -> None:
    await admin.service("sc-a", {"msePilotCreateAppName": "spring-cloud-a"})
    for name, (ip, _, labels) in PODS.items():
        application = {"msePilotCreateAppName": f"spring-cloud-{name[0]}"}
        await admin.pod(name, ip, application | labels)
    arguments = ["--kubernetes-config", str(shared.kubeconfig), "--nacos", nacos]
    arguments += ["--kubernetes-namespace", admin.namespace]
    with served(tmp_path, *arguments) as one:  # before gRPC has threads in this process
        async with Publisher(config(nacos, tmp_path)) as publisher:
            for name in ("a", "b", "c"):
                found = [(ip, port) for pod, (ip, port, _) in PODS.items() if pod[0] == name]
                await publisher.register(f"sc-{name}", *(instance(port, ip=ip) for ip, port in found))
            await asyncio.to_thread(_look, one, admin.namespace)


def _look(one: Served, namespace: str) -> None:
    wait_for(lambda: len(one.http.get("/v1/services").json()["items"]) == 4, one.process)
    kind = {"Content-Type": "application/yaml"}
    ambiguous = DEFINITIONS.replace(", source: kubernetes", "")
    refused = one.http.post("/v1/apply", content=ambiguous, headers=kind)
    assert refused.status_code == 422
    assert f"kubernetes/{namespace}//sc-a, nacos/public/DEFAULT_GROUP/sc-a" in refused.text
    assert one.http.post("/v1/apply", content=DEFINITIONS, headers=kind).status_code == 200
    kubernetes, nacos = f"kubernetes/{namespace}//sc-a", "nacos/public/DEFAULT_GROUP/sc-"
    _service(one, f"{nacos}c", {"10.0.3.201": None, "10.0.3.202": "gray"}, "c")
    _service(one, kubernetes, {"10.0.3.178": None, "10.0.3.177": "gray"}, "a")
    _service(one, f"{nacos}a", {"10.0.3.178": None, "10.0.3.177": "gray"}, "a")
    both = one.http.get(f"/v1/services/{kubernetes}").json()
    assert f"10.0.3.177:20001 is registered for {nacos}a, too" in both["conflicts"]
    asked = {"gateway": "edge", "method": "GET", "host": "x", "path": "/a", "headers": [["canary", "gray"]]}
    explained = one.http.post("/v1/explain", json=asked).json()
    assert explained["lane"] == "gray"
    hops = {hop["service"]: (hop["tag"], hop["instances"], hop["fallback"]) for hop in explained["hops"]}
    assert hops[kubernetes] == ("gray", ["10.0.3.177:20001"], False)
    assert hops[f"{nacos}b"] == (None, ["10.0.3.195:20002"], True)
    assert hops[f"{nacos}c"] == ("gray", ["10.0.3.202:20003"], False)


def _service(one: Served, service: str, tags: dict[str, str | None], application: str) -> None:
    found = one.http.get(f"/v1/services/{service}").json()
    assert {i["address"]: i["tag"] for i in found["instances"]} == tags, found
    assert {i["application"] for i in found["instances"]} == {f"spring-cloud-{application}"}
