"""The source against a real API server and the endpointslice controller: what is in the cluster is served."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.registry.kubernetes import KubernetesConfig
from controlplane.registry.names import ServiceNames
from tests.kubernetes.tools import GRAY, Admin, watching

pytestmark = [pytest.mark.kubernetes]


async def test_the_example_of_the_vendor(config: KubernetesConfig, admin: Admin) -> None:
    """Service sc-a, canaries by the label alicloud.service.tag, applications by msePilotCreateAppName."""
    labels = {"app": "spring-cloud-a", "msePilotCreateAppName": "spring-cloud-a"}
    async with watching(config) as watch:
        await watch.catalog.wait_synced()
        await admin.service("sc-a", {"msePilotCreateAppName": "spring-cloud-a"})
        await admin.pod("spring-cloud-a-1", "10.0.3.178", labels)
        await admin.pod("spring-cloud-a-gray-1", "10.0.3.177", labels | GRAY | {"app": "spring-cloud-a-gray"})
        id_ = f"kubernetes/{admin.namespace}//sc-a"
        await watch.until(lambda: watch.tags(id_) == {"10.0.3.178": None, "10.0.3.177": "gray"})
        assert {(one.application, one.port) for one in watch.of(id_)} == {("spring-cloud-a", 20001)}
        # At no time has the canary been base.
        seen = [one for services in watch.seen for one in services.get(id_, ())]
        assert {one.tag for one in seen if one.address == "10.0.3.177"} == {"gray"}
        names = ServiceNames()
        for name, service in watch.catalog.services.items():
            names.add(name, service.aliases)
        for written in ("sc-a", "sc-a:20001", f"{admin.namespace}/sc-a", f"{admin.namespace}//sc-a"):
            assert names.resolve(written) == id_
        assert watch.status.version == "Kubernetes v1.37.2"


async def test_changes_of_labels_and_readiness(config: KubernetesConfig, admin: Admin) -> None:
    async with watching(config) as watch:
        await admin.service("sc-b", {"app": "b"})
        id_ = f"kubernetes/{admin.namespace}//sc-b"
        await admin.pod("b-1", "10.0.4.1", {"app": "b"})
        await admin.pod("b-2", "10.0.4.2", {"app": "b"})
        await watch.until(lambda: watch.tags(id_) == {"10.0.4.1": None, "10.0.4.2": None})
        await admin.label("b-2", alicloud__service__tag="blue")
        await watch.until(lambda: watch.tags(id_) == {"10.0.4.1": None, "10.0.4.2": "blue"})
        await admin.label("b-2", alicloud__service__tag="")
        await watch.until(lambda: watch.tags(id_) == {"10.0.4.1": None})
        assert "alicloud.service.tag is empty" in watch.catalog.services[id_].refused[0].reason
        await admin.label("b-2", alicloud__service__tag=None, lane="green")
        await watch.until(lambda: watch.tags(id_) == {"10.0.4.1": None, "10.0.4.2": "green"})
        await admin.status("b-2", "10.0.4.2", ready=False)
        await watch.until(lambda: watch.tags(id_) == {"10.0.4.1": None})
        await admin.status("b-2", "10.0.4.2")
        await watch.until(lambda: len(watch.of(id_)) == 2)
        # Terminating and still serving: in the lane while nothing else is, then not any more.
        await admin.delete("pods", "b-2", grace=30)
        await admin.pod("b-3", "10.0.4.3", {"app": "b", "lane": "green"}, ready=False)
        await admin.pod("b-4", "10.0.4.4", {"app": "b"})
        await watch.until(
            lambda: watch.tags(id_) == {"10.0.4.1": None, "10.0.4.2": "green", "10.0.4.4": None}
        )
        await admin.status("b-3", "10.0.4.3")
        await watch.until(
            lambda: watch.tags(id_) == {"10.0.4.1": None, "10.0.4.3": "green", "10.0.4.4": None}
        )


async def test_ports_of_a_service(config: KubernetesConfig, admin: Admin) -> None:
    async with watching(config) as watch:
        ports = [
            {"name": "http", "port": 80, "targetPort": "web"},
            {"name": "rpc", "port": 9090, "targetPort": 20002, "appProtocol": "kubernetes.io/h2c"},
        ]
        await admin.service("sc-p", {"app": "p"}, ports=ports)
        await admin.pod("p-1", "10.0.5.1", {"app": "p"}, ports=[{"name": "web", "containerPort": 8080}])
        await admin.pod("p-2", "10.0.5.2", {"app": "p"}, ports=[{"name": "web", "containerPort": 8081}])
        id_ = f"kubernetes/{admin.namespace}//sc-p"
        await watch.until(lambda: len(watch.of(id_)) == 2 and len(watch.of(f"{id_}:rpc")) == 2)
        assert {(one.address, one.port) for one in watch.of(id_)} == {("10.0.5.1", 8080), ("10.0.5.2", 8081)}
        assert {one.port for one in watch.of(f"{id_}:rpc")} == {20002}
        assert watch.catalog.services[f"{id_}:rpc"].protocol.value == "http2"
        await admin.delete("services", "sc-p")
        await watch.until(
            lambda: f"{id_}:rpc" not in watch.source.cluster.reported((admin.namespace, "sc-p"))
        )


async def test_namespaces_by_label(config: KubernetesConfig, admin: Admin) -> None:
    await admin.service("sc-n", {"app": "n"})
    await admin.pod("n-1", "10.0.6.1", {"app": "n"})
    chosen = replace(config, namespaces=(), selector=f"lanes={admin.namespace}")
    async with watching(chosen) as watch:
        await watch.catalog.wait_synced()
        assert not watch.catalog.services
        named = {"metadata": {"labels": {"lanes": admin.namespace}}}
        merge = "application/merge-patch+json"
        await admin.call("PATCH", f"/api/v1/namespaces/{admin.namespace}", named, merge)
        id_ = f"kubernetes/{admin.namespace}//sc-n"
        await watch.until(lambda: watch.tags(id_) == {"10.0.6.1": None})
        assert set(watch.catalog.services) == {id_}
        none = {"metadata": {"labels": {"lanes": None}}}
        await admin.call("PATCH", f"/api/v1/namespaces/{admin.namespace}", none, merge)
        await watch.until(lambda: all(one.held for one in watch.of(id_)))


async def test_all_namespaces(config: KubernetesConfig, admin: Admin) -> None:
    await admin.service("sc-all", {"app": "all"})
    async with watching(replace(config, namespaces=())) as watch:
        await watch.catalog.wait_synced()
        assert f"kubernetes/{admin.namespace}//sc-all" in watch.catalog.services
        assert "kubernetes/default//kubernetes" in watch.catalog.services
