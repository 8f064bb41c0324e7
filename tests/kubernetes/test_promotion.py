"""`laneway finish --replace-base` on a real API server. There is no Deployment controller: the test is it."""

from __future__ import annotations

import asyncio
import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.ports import wait_for
from tests.cli.run import LANEWAY, environment
from tests.cli.served import Served, served
from tests.kubernetes.install import kubeconfig, kubectl, rendered
from tests.kubernetes.server import MERGE, KubeServer
from tests.kubernetes.tools import NODE, Admin

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]

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


def deployment(name: str, version: str, **labels: str) -> dict[str, Any]:
    own = {"app": name, "msePilotCreateAppName": "spring-cloud-a", "version": version, **labels}
    template = {
        "metadata": {"labels": own},
        "spec": {"containers": [{"name": "app", "image": f"shop:{version}"}]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


class Controller:
    """What a Deployment controller and a kubelet would do."""

    def __init__(self, server: KubeServer, namespace: str) -> None:
        self.server, self.namespace = server, namespace
        self.at = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self.pods = f"/api/v1/namespaces/{namespace}/pods"

    def get(self, name: str) -> dict[str, Any]:
        return self.server.call("GET", f"{self.at}/{name}")

    def image(self, name: str) -> str:
        return self.get(name)["spec"]["template"]["spec"]["containers"][0]["image"]

    def pod(self, of: str, name: str, ip: str) -> None:
        """A ready pod of a Deployment as it is now."""
        template = copy.deepcopy(self.get(of)["spec"]["template"])
        metadata = {"labels": template["metadata"]["labels"], "name": name}
        spec = {**template["spec"], "nodeName": NODE}
        self.server.call("POST", self.pods, {"metadata": metadata, "spec": spec})
        status = {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        self.server.call("PATCH", f"{self.pods}/{name}/status", {"status": status}, MERGE)

    def status(self, name: str, updated: int) -> None:
        """Of the Deployment's one replica, `updated` are of the present template."""
        status = {
            "observedGeneration": self.get(name)["metadata"]["generation"],
            "replicas": 1,
            "updatedReplicas": updated,
            "readyReplicas": 1,
            "availableReplicas": 1,
        }
        self.server.call("PATCH", f"{self.at}/{name}/status", {"status": status}, MERGE)


async def test_base_gets_the_canaries_templates(installed: KubeServer, admin: Admin, tmp_path: Path) -> None:
    await admin.service("sc-a", {"msePilotCreateAppName": "spring-cloud-a"})
    await asyncio.to_thread(_look, installed, admin.namespace, tmp_path)


def _look(server: KubeServer, namespace: str, tmp_path: Path) -> None:
    found = rendered("controlPlane.deployments=replace")
    granted = [one for one in found if one["metadata"]["name"] == "laneway-deployments"]
    assert len(granted) == 2
    manifest = yaml.safe_dump_all(granted)
    kubectl(server, "apply", "--server-side", "--validate=strict", "-f", "-", stdin=manifest)
    controller = Controller(server, namespace)
    for made in (deployment("a", "1"), deployment("a-gray", "2", **{TAG: "gray"})):
        server.call("POST", controller.at, made)
    controller.pod("a", "a-1", "10.0.7.1")
    controller.pod("a-gray", "a-gray-1", "10.0.7.2")
    for name in ("a", "a-gray"):
        controller.status(name, 1)
    config = kubeconfig(server, "laneway", tmp_path / "kubeconfig")
    arguments = ["--kubernetes-config", str(config), "--kubernetes-namespace", namespace]
    with served(tmp_path, *arguments, "--kubernetes-deployments", "replace") as one:
        one.http.post("/v1/apply", content=DEFINITIONS, headers=YAML).raise_for_status()
        wait_for(lambda: len(tags(one, namespace)) == 2, one.process)
        assert "is in use" in one.http.post(f"{GROUP}/lanes/gray/scale-down").text
        one.http.post(f"{GROUP}/promote", json={"lane": "gray"}).raise_for_status()
        plain = one.http.post(f"{GROUP}/finish")
        assert plain.status_code == 409
        assert f"container app of Deployment {namespace}/a has shop:1" in plain.text
        # Shown first.
        assert one.http.post(f"{GROUP}/finish?dry_run=true").json()["can_replace_base"] is True
        shown = laneway(one, "finish", "order-flow", "--replace-base", "--dry-run")
        assert shown.returncode == 0, shown.stderr
        assert "shop:1" in shown.stdout
        assert "shop:2" in shown.stdout
        assert f"Deployment {namespace}/a-gray would be scaled from 1 to 0" in shown.stdout
        whole = laneway(one, "finish", "order-flow", "--replace-base", "--dry-run", "-o", "yaml")
        template = yaml.safe_load(whole.stdout)["deployments"][0]["template"]
        labels = {"app": "a", "msePilotCreateAppName": "spring-cloud-a", "version": "2"}
        assert template["metadata"]["labels"] == labels
        assert controller.image("a") == "shop:1"
        # A first command is broken off while the rollout is under way, and a second one goes on.
        first, log = command(one, tmp_path / "first.log")
        wait_for(lambda: controller.image("a") == "shop:2", one.process)
        controller.status("a", 0)
        wait_for(lambda: "0 of 1 replicas" in log.read_text(), one.process)
        first.kill()
        first.wait()
        generation = controller.get("a")["metadata"]["generation"]
        second, log = command(one, tmp_path / "second.log")
        wait_for(lambda: "0 of 1 replicas" in log.read_text(), one.process)
        controller.status("a", 1)
        wait_for(lambda: "say version 1" in log.read_text(), one.process)
        assert one.http.get(GROUP).json()["promoted"] == "gray"
        controller.pod("a", "a-2", "10.0.7.3")
        server.call("DELETE", f"{controller.pods}/a-1?gracePeriodSeconds=0")
        assert second.wait(60) == 0, log.read_text()
        assert controller.get("a")["metadata"]["generation"] == generation, "it is patched once"
        assert controller.get("a-gray")["spec"]["replicas"] == 0
        assert one.http.get(GROUP).json().get("promoted") is None
        assert one.http.get(f"{GROUP}/lanes/gray").json()["enabled"] is False
        assert tags(one, namespace)["10.0.7.3"] is None
        assert not one.said("Traceback")


def tags(one: Served, namespace: str) -> dict[str, str | None]:
    found = one.http.get(f"/v1/services/kubernetes/{namespace}//sc-a").json()
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
            shown = one.http.post(f"{GROUP}/finish?dry_run=true").json()
            assert "can_replace_base" not in shown
            for path in ("finish?replace_base=true", "lanes/gray/scale-down"):
                refused = one.http.post(f"{GROUP}/{path}")
                assert refused.status_code == 409
                assert "may not change Deployments" in refused.text

    await asyncio.to_thread(look)
