"""The whole life of an installation by a real helm: install, upgrade, rollback, uninstall, install again.

The API server is real, and so are the controllers of Deployments; which pods run is what the test says.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.ports import wait_for
from tests.cli.served import served
from tests.kubernetes import gateway_api, programs
from tests.kubernetes.install import CHART, CONFIGURATION, MANIFESTS, NAMESPACE, kubeconfig, kubectl
from tests.kubernetes.kubelet import Kubelet
from tests.kubernetes.server import MERGE, KubeServer

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(400)]

Json = dict[str, Any]
BUNDLE = base64.b64encode(
    b"-----BEGIN CERTIFICATE-----\nof the injector\n-----END CERTIFICATE-----\n"
).decode()
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/laneway-inject"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
LANE = f"/apis/laneway.dev/v1/namespaces/{NAMESPACE}/gateways"
KEPT = {"CustomResourceDefinition"}
"""Helm never deletes what is in `crds/`, or every definition would go with it."""


@pytest.fixture
def cluster(rolling: Kubelet) -> KubeServer:
    return rolling.server


def helm(server: KubeServer, *arguments: str, home: Path) -> str:
    command = [*arguments, "--kubeconfig", str(server.kubeconfig), "--namespace", NAMESPACE]
    return programs.run("helm", *command, HELM_CACHE_HOME=str(home), HELM_CONFIG_HOME=str(home))


def there(server: KubeServer, one: Json) -> bool:
    """Whether an object is in the cluster."""
    of = f"{one['kind']}.{one['apiVersion'].partition('/')[0]}" if "/" in one["apiVersion"] else one["kind"]
    asked = ["get", of, one["metadata"]["name"], "--ignore-not-found", "-o", "name"]
    if space := one["metadata"].get("namespace"):
        asked += ["--namespace", space]
    return bool(kubectl(server, *asked).strip())


def rolled_out(server: KubeServer) -> dict[str, int]:
    """The available replicas of each Deployment whose newest generation is rolled out."""
    return {
        one["metadata"]["name"]: one["status"].get("availableReplicas", 0)
        for one in server.call("GET", DEPLOYMENTS)["items"]
        if one["status"].get("observedGeneration") == one["metadata"]["generation"]
        and one["status"].get("updatedReplicas", 0) == one["spec"]["replicas"]
        and one["status"].get("replicas", 0) == one["spec"]["replicas"]
    }


def test_install_upgrade_rollback_uninstall(cluster: KubeServer, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        return helm(cluster, *arguments, home=tmp_path)

    run("install", "laneway", str(CHART), "--create-namespace", "--wait", "--timeout", "240s")
    assert json.loads(run("status", "laneway", "-o", "json"))["info"]["status"] == "deployed"
    made = [one for one in yaml.safe_load_all(run("get", "manifest", "laneway")) if one]
    kinds = {one["kind"] for one in made}
    assert kinds >= {"Deployment", "ClusterRole", "PodDisruptionBudget", "NetworkPolicy"}
    assert [one for one in made if not there(cluster, one)] == []
    assert rolled_out(cluster) == {"laneway": 2, "laneway-inject": 2, "laneway-edge": 2}
    # Its account and its CustomResourceDefinitions work.
    config = kubeconfig(cluster, "laneway", tmp_path / "account")
    arguments = ["--kubernetes", "--store", f"kubernetes:{NAMESPACE}", "--kubernetes-config", str(config)]
    with served(tmp_path, *arguments) as one:
        one.http.put("/v1/gateways/edge", json={"listeners": [{"port": 8080}]}).raise_for_status()
        wait_for(lambda: len(cluster.call("GET", LANE)["items"]) == 1, one.process)
    # What the injector writes into objects of the chart outlives an upgrade.
    written = {"data": {"tls.key": base64.b64encode(b"key").decode()}}
    cluster.call("PATCH", SECRET, written, MERGE)
    hooks = cluster.call("GET", CONFIGURATION)["webhooks"]
    for hook in hooks:
        hook["clientConfig"]["caBundle"] = BUNDLE
    cluster.call("PATCH", CONFIGURATION, {"webhooks": hooks}, MERGE)
    gateway_api.install(cluster)
    settings = (
        "controlPlane.gatewayApi.enabled=true",
        "controlPlane.replicas=3",
        "images.controlPlane=laneway:2",
    )
    given = [part for one in settings for part in ("--set", one)]
    run("upgrade", "laneway", str(CHART), "--reuse-values", *given, "--wait", "--timeout", "240s")
    assert rolled_out(cluster) == {"laneway": 3, "laneway-inject": 2, "laneway-edge": 2}
    template = cluster.call("GET", f"{DEPLOYMENTS}/laneway")["spec"]["template"]["spec"]["containers"][0]
    assert (template["image"], "--gateway-api" in template["args"]) == ("laneway:2", True)
    assert cluster.call("GET", f"{gateway_api.API}/v1/gatewayclasses/laneway")["spec"]["controllerName"]
    assert cluster.call("GET", SECRET)["data"] == written["data"]
    hooks = cluster.call("GET", CONFIGURATION)["webhooks"]
    assert [one["clientConfig"]["caBundle"] for one in hooks] == [BUNDLE, BUNDLE]
    run("rollback", "laneway", "1", "--wait", "--timeout", "240s")
    assert rolled_out(cluster)["laneway"] == 2
    assert cluster.call("GET", SECRET)["data"] == written["data"]
    # An end takes everything away but the definitions, which are the users'.
    run("uninstall", "laneway", "--wait", "--timeout", "240s")
    wait_for(lambda: [one["kind"] for one in made if there(cluster, one) and one["kind"] not in KEPT] == [])
    assert len(cluster.call("GET", LANE)["items"]) == 1
    run("install", "laneway", str(CHART), "--wait", "--timeout", "240s")
    assert rolled_out(cluster)["laneway"] == 2


def test_kustomize_builds_what_kubectl_applies_and_deletes(cluster: KubeServer) -> None:
    """As `kustomize build | kubectl apply`, strictly; a second time nothing changes."""
    built = programs.run("kustomize", "build", str(MANIFESTS / "base"))
    made = [one for one in yaml.safe_load_all(built) if one]
    kubectl(cluster, "create", "namespace", NAMESPACE)
    strictly = ("apply", "--server-side", "--validate=strict", "-f", "-")
    said = kubectl(cluster, *strictly, stdin=built)
    assert len(said.splitlines()) == len(made)
    kubectl(cluster, "-n", NAMESPACE, "rollout", "status", "deployment/laneway", "--timeout=200s")
    before = _versions(cluster, made)
    kubectl(cluster, *strictly, stdin=built)
    assert _versions(cluster, made) == before
    # Nothing here ends namespaces, or CustomResourceDefinitions before what is in them.
    kubectl(cluster, "delete", "-f", "-", "--wait=false", stdin=built)
    ending = {"Namespace", "CustomResourceDefinition"}
    wait_for(lambda: not [one for one in made if one["kind"] not in ending and there(cluster, one)])


def _versions(server: KubeServer, made: list[Json]) -> dict[str, int]:
    """The generation of each object that has one."""
    found = kubectl(server, "get", "-f", "-", "-o", "json", stdin=yaml.safe_dump_all(made))
    return {
        f"{one['kind']}/{one['metadata']['name']}": one["metadata"].get("generation", 0)
        for one in json.loads(found)["items"]
    }
