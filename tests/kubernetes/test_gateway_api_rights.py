"""`laneway serve --gateway-api` under the account of the chart: it suffices, and each right is needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from controlplane.gatewayapi.following import GatewayApi, Surroundings
from controlplane.gatewayapi.judging import route_name
from controlplane.kubernetes.access import from_kubeconfig
from tests.cli.ports import wait_for
from tests.cli.served import served
from tests.kubernetes import gateway_api
from tests.kubernetes.gateway_api import API, Ingress, to
from tests.kubernetes.install import NAMESPACE, kubeconfig, kubectl, rendered
from tests.kubernetes.resources import until
from tests.kubernetes.server import MERGE, KubeServer
from tests.kubernetes.tools import Admin

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]

ROLE = "laneway-gateway-api"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
HTTP = {"name": "http", "port": 80, "protocol": "HTTP"}

Right = tuple[str, str, str]
"""Group, resource and verb."""


@pytest.fixture(scope="module")
def granted(installed: KubeServer) -> list[Right]:
    """What the chart makes for the Gateway API is applied; returns the rights of its role."""
    gateway_api.install(installed)
    found = rendered("controlPlane.gatewayApi.enabled=true")
    made = [one for one in found if one["metadata"]["name"] == ROLE or one["kind"] == "GatewayClass"]
    assert len(made) == 3
    manifest = yaml.safe_dump_all(made)
    kubectl(installed, "apply", "--server-side", "--validate=strict", "-f", "-", stdin=manifest)
    rules = next(one for one in made if one["kind"] == "ClusterRole")["rules"]
    return [
        (one["apiGroups"][0], kind, verb)
        for one in rules
        for kind in one["resources"]
        for verb in one["verbs"]
    ]


async def test_the_rights_suffice(
    installed: KubeServer, granted: list[Right], admin: Admin, tmp_path: Path
) -> None:
    await admin.service("sc-a", {"app": "a"})
    config = await asyncio.to_thread(kubeconfig, installed, "laneway", tmp_path / "kubeconfig")
    await asyncio.to_thread(_look, installed, admin.namespace, config, tmp_path)


def _look(server: KubeServer, namespace: str, config: Path, tmp_path: Path) -> None:
    ingress = Ingress(server, namespace)
    ingress.gateway("shop", "laneway", HTTP)
    ingress.route("a", parentRefs=[{"name": "shop"}], rules=[{"backendRefs": to("sc-a")}])
    route = f"/v1/gateways/shop/routes/{route_name(namespace, 'a', 0, 0)}"
    arguments = ["--kubernetes", "--store", f"kubernetes:{NAMESPACE}", "--kubernetes-config", str(config)]
    with served(tmp_path, *arguments, "--gateway-api") as one:
        one.http.put("/v1/gateways/shop", json={"listeners": [{"port": 8080}]}).raise_for_status()

        def accepted() -> bool:
            return [said["Accepted"][0] for said in ingress.said("a")] == ["True"]

        wait_for(accepted, one.process, seconds=60)  # another control plane may still have the Lease
        assert one.http.get(route).json()["service"] == f"kubernetes/{namespace}//sc-a"
        written = server.call("GET", f"/apis/laneway.dev/v1/namespaces/{NAMESPACE}/routes")["items"]
        assert f"httproute.{namespace}.a.00" in {one["spec"].get("name") for one in written}
        ingress.delete("httproutes", "a")
        wait_for(lambda: one.http.get(route).status_code == 404, one.process)
        one.http.delete("/v1/gateways/shop").raise_for_status()
        assert not one.said(" 403 "), one.log.read_text()
    ingress.delete("gateways", "shop")


@pytest.mark.parametrize("verb", ["list", "watch", "patch"])
async def test_each_right_is_needed(
    installed: KubeServer, granted: list[Right], admin: Admin, tmp_path: Path, verb: str
) -> None:
    """Without a verb, the log says of each kind that Laneway may not do this."""
    assert len(granted) == 13
    ingress = Ingress(installed, admin.namespace)
    await asyncio.to_thread(ingress.gateway, "shop", "laneway", HTTP)
    await asyncio.to_thread(ingress.route, "a", parentRefs=[{"name": "shop"}])
    # What an earlier test wrote is taken away, so that there is something to write.
    path = f"{API}/v1/gatewayclasses/laneway/status"
    await admin.call("PATCH", path, {"status": {"conditions": []}}, MERGE)
    account = f"gateway-without-{verb}"
    await _account(admin, account, [right for right in granted if right[2] != verb])
    config = await asyncio.to_thread(kubeconfig, installed, account, tmp_path / account)
    kinds = {f"/{kind.partition('/')[0]}" for _, kind, of in granted if of == verb}
    said = f"403 to {'PATCH' if verb == 'patch' else 'GET'} "
    with structlog.testing.capture_logs() as logs:

        def told() -> bool:
            texts = [str(one.get("reason", "")) for one in logs]
            return all(any(said in text and kind in text for text in texts) for kind in kinds)

        async with _running(config):
            await until(told)
    await asyncio.to_thread(ingress.delete, "gateways", "shop")


async def _account(admin: Admin, account: str, rights: list[Right]) -> None:
    rules = [{"apiGroups": [group], "resources": [kind], "verbs": [verb]} for group, kind, verb in rights]
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    await admin.call("POST", accounts, {"metadata": {"name": account}})
    await admin.call("POST", f"{RBAC}/clusterroles", {"metadata": {"name": account}, "rules": rules})
    binding = {
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}],
    }
    await admin.call("POST", f"{RBAC}/clusterrolebindings", binding)


@contextlib.asynccontextmanager
async def _running(config: Path) -> AsyncIterator[None]:
    async def keep(_: Any) -> dict[Any, str]:
        return {}

    around = Surroundings(lambda: True, lambda: frozenset({"shop"}), lambda *_: None, keep)
    made = GatewayApi(lambda: from_kubeconfig(config), around)
    task = asyncio.create_task(made.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
