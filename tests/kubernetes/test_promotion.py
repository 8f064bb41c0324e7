"""`laneway finish --replace-base` on a real API server, with the real controllers of Deployments.

There is no kubelet: the test says which pods run.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.ports import wait_for
from tests.cli.run import LANEWAY, environment
from tests.cli.served import Served, served
from tests.kubernetes.install import NAMESPACE, kubeconfig, kubectl, rendered
from tests.kubernetes.kubelet import Kubelet
from tests.kubernetes.server import KubeServer
from tests.kubernetes.tools import Admin

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(600)]

DEFINITIONS = """
{kind: Gateway, name: edge, listeners: [{port: 8080}]}
---
{kind: Route, gateway: edge, name: a, service: sc-a}
---
{kind: LaneGroup, name: order-flow, gateway: edge, applications: [spring-cloud-a]}
---
{kind: Lane, group: order-flow, name: gray, tag: gray, ratio: {percent: 10}}
"""
YAML = {"Content-Type": "application/yaml"}
GROUP = "/v1/lane-groups/order-flow"
TAG = "alicloud.service.tag"
ACCOUNT = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")


def deployment(name: str, version: str, replicas: int, deadline: int = 600, **labels: str) -> dict[str, Any]:
    own = {"app": name, "msePilotCreateAppName": "spring-cloud-a", "version": version, **labels}
    template = {
        "metadata": {"labels": own},
        "spec": {"containers": [{"name": "app", "image": f"shop:{version}"}]},
    }
    spec = {
        "replicas": replicas,
        "progressDeadlineSeconds": deadline,
        "selector": {"matchLabels": {"app": name}},
        "template": template,
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


class Shop:
    """The Deployments and pods of a namespace."""

    def __init__(self, server: KubeServer, namespace: str, kubelet: Kubelet) -> None:
        self.server, self.namespace, self.kubelet = server, namespace, kubelet
        self.at = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    def make(self, *wanted: dict[str, Any]) -> None:
        for one in wanted:
            self.server.call("POST", self.at, one)

    def get(self, name: str) -> dict[str, Any]:
        return self.server.call("GET", f"{self.at}/{name}")

    def image(self, name: str) -> str:
        return self.get(name)["spec"]["template"]["spec"]["containers"][0]["image"]

    def pods(self, of: str) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app={of}"
        return self.server.call("GET", path)["items"]

    def images(self, of: str) -> list[str]:
        return [one["spec"]["containers"][0]["image"] for one in self.pods(of)]

    def hold(self, image: str) -> None:
        """Base pods with that image are not ready until it is another."""
        self.kubelet.holds = lambda pod: (
            pod["metadata"]["labels"].get("app") == "a" and pod["spec"]["containers"][0]["image"] == image
        )


@pytest.fixture
def shop(rolling: Kubelet) -> Shop:
    """A cluster with the account of the chart and a Service sc-a."""
    server = rolling.server
    manifest = [one for one in rendered("controlPlane.deployments=replace") if one["kind"] in ACCOUNT]
    for name in (NAMESPACE, "shop"):
        server.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    strictly = ("apply", "--server-side", "--validate=strict", "-f", "-")
    kubectl(server, *strictly, stdin=yaml.safe_dump_all(manifest))
    service = {"ports": [{"port": 20001}], "selector": {"msePilotCreateAppName": "spring-cloud-a"}}
    server.call("POST", "/api/v1/namespaces/shop/services", {"metadata": {"name": "sc-a"}, "spec": service})
    return Shop(server, "shop", rolling)


@pytest.fixture
def one(shop: Shop, tmp_path: Path) -> Iterator[Served]:
    config = kubeconfig(shop.server, "laneway", tmp_path / "kubeconfig")
    arguments = ["--kubernetes-config", str(config), "--kubernetes-namespace", shop.namespace]
    with served(tmp_path, *arguments, "--kubernetes-deployments", "replace") as started:
        started.http.post("/v1/apply", content=DEFINITIONS, headers=YAML).raise_for_status()
        yield started
        assert not started.said("Traceback")


def test_base_gets_the_canaries_templates(shop: Shop, one: Served, tmp_path: Path) -> None:
    shop.make(deployment("a", "1", 2), deployment("a-gray", "2", 1, **{TAG: "gray"}))
    wait_for(lambda: sorted(map(str, tags(one).values())) == ["None", "None", "gray"], one.process)
    assert "is in use" in one.http.post(f"{GROUP}/lanes/gray/scale-down").text
    one.http.post(f"{GROUP}/promote", json={"lane": "gray"}).raise_for_status()
    plain = one.http.post(f"{GROUP}/finish")
    assert plain.status_code == 409
    assert f"container app of Deployment {shop.namespace}/a has shop:1" in plain.text
    # Shown first.
    shown = laneway(one, "finish", "order-flow", "--replace-base", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "shop:1" in shown.stdout
    assert "shop:2" in shown.stdout
    assert f"Deployment {shop.namespace}/a-gray would be scaled from 1 to 0" in shown.stdout
    whole = laneway(one, "finish", "order-flow", "--replace-base", "--dry-run", "-o", "yaml")
    template = yaml.safe_load(whole.stdout)["deployments"][0]["template"]
    labels = {"app": "a", "msePilotCreateAppName": "spring-cloud-a", "version": "2"}
    assert template["metadata"]["labels"] == labels
    assert shop.images("a") == ["shop:1", "shop:1"]
    # The rollout stops at its first new pod. A first command is broken off meanwhile, a second one goes on.
    shop.hold("shop:2")
    first, log = command(one, tmp_path / "first.log")
    wait_for(lambda: sorted(shop.images("a")) == ["shop:1", "shop:1", "shop:2"], one.process)
    wait_for(lambda: "1 of 2 replicas" in log.read_text(), one.process)
    first.kill()
    first.wait()
    generation = shop.get("a")["metadata"]["generation"]
    second, log = command(one, tmp_path / "second.log")
    wait_for(lambda: "1 of 2 replicas" in log.read_text(), one.process)
    assert one.http.get(GROUP).json()["promoted"] == "gray"
    assert len(shop.pods("a-gray")) == 1
    # Its containers run: the controllers go on, and the command ends when they have.
    shop.kubelet.holds = lambda _: False
    assert second.wait(90) == 0, log.read_text()
    assert shop.get("a")["metadata"]["generation"] == generation, "it is patched once"
    assert sorted(shop.images("a")) == ["shop:2", "shop:2"]
    assert one.http.get(GROUP).json().get("promoted") is None
    assert one.http.get(f"{GROUP}/lanes/gray").json()["enabled"] is False
    wait_for(lambda: not shop.pods("a-gray"), one.process)
    addresses = {one["status"]["podIP"] for one in shop.pods("a")}
    wait_for(lambda: tags(one) == dict.fromkeys(addresses), one.process)


def test_a_rollout_that_fails_is_told_and_base_stays_where_it_is(
    shop: Shop, one: Served, tmp_path: Path
) -> None:
    """The deadline of the Deployment passes; the canaries go on as base, and nothing is scaled down."""
    shop.make(deployment("a", "1", 1, deadline=3), deployment("a-gray", "2", 1, **{TAG: "gray"}))
    wait_for(lambda: len(tags(one)) == 2, one.process)
    one.http.post(f"{GROUP}/promote", json={"lane": "gray"}).raise_for_status()
    shop.hold("shop:2")
    started, log = command(one, tmp_path / "failed.log")
    assert started.wait(90) == 1, log.read_text()
    assert f"the rollout of Deployment {shop.namespace}/a has failed" in log.read_text()
    assert one.http.get(GROUP).json()["promoted"] == "gray"
    assert len(shop.pods("a-gray")) == 1
    assert sorted(shop.images("a")) == ["shop:1", "shop:2"]
    # Once it is mended, the same command ends what was begun.
    shop.kubelet.holds = lambda _: False
    wait_for(lambda: shop.images("a") == ["shop:2"], one.process)
    again, log = command(one, tmp_path / "again.log")
    assert again.wait(90) == 0, log.read_text()
    wait_for(lambda: not shop.pods("a-gray"), one.process)


def tags(one: Served) -> dict[str, str | None]:
    found = one.http.get("/v1/services/kubernetes/shop//sc-a").json()
    return {instance["address"]: instance.get("tag") for instance in found.get("instances", [])}


def laneway(one: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    asked = [str(LANEWAY), *arguments, "--server", f"http://127.0.0.1:{one.admin}"]
    return subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60, env=environment())


def command(one: Served, log: Path) -> tuple[subprocess.Popen[bytes], Path]:
    asked = [str(LANEWAY), "finish", "order-flow", "--replace-base", "--drain", "1", "--timeout", "120"]
    with log.open("wb") as output:
        started = subprocess.Popen(
            [*asked, "--server", f"http://127.0.0.1:{one.admin}"],
            stdout=output,
            stderr=output,
            env=environment(),
        )
    return started, log


async def test_without_leave_nothing_is_replaced(shared: KubeServer, admin: Admin, tmp_path: Path) -> None:
    arguments = ["--kubernetes-config", str(shared.kubeconfig), "--kubernetes-namespace", admin.namespace]

    def look() -> None:
        with served(tmp_path, *arguments, "--kubernetes-deployments", "compare") as one:
            one.http.post("/v1/apply", content=DEFINITIONS, headers=YAML).raise_for_status()
            one.http.post(f"{GROUP}/promote", json={"lane": "gray"}).raise_for_status()
            for path in ("finish?replace_base=true", "lanes/gray/scale-down"):
                refused = one.http.post(f"{GROUP}/{path}")
                assert refused.status_code == 409
                assert "may not change Deployments" in refused.text

    await asyncio.to_thread(look)
