"""`laneway serve --store kubernetes`: kubectl and REST on the same definitions, status and Events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.cli.ports import wait_for
from tests.cli.served import Served, served
from tests.kubernetes.resources import GATEWAY, GROUP, Definer, install
from tests.kubernetes.server import KubeServer
from tests.kubernetes.tools import GRAY, Admin

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]


@pytest.fixture
async def definer(shared: KubeServer, admin: Admin) -> Definer:
    await asyncio.to_thread(install, shared)
    return Definer(shared, admin.namespace)


def condition(found: Any) -> dict[str, Any]:
    """The condition Accepted of an object, {} if it has none."""
    conditions = (found or {}).get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == "Accepted"), {})


class Objects:
    """Waits for what the status of objects says."""

    def __init__(self, definer: Definer, one: Served) -> None:
        self.definer, self.one = definer, one

    def status(self, kind: str, name: str) -> Any:
        found = self.definer.server.call("GET", self.definer.path(kind, name))
        return found.get("status", {})

    def wait(self, kind: str, name: str, accepted: str) -> dict[str, Any]:
        """The condition once it is `accepted` for the present generation."""
        path = self.definer.path(kind, name)

        def there() -> bool:
            found = self.definer.server.call("GET", path)
            of = condition(found)
            return (of.get("status"), of.get("observedGeneration")) == (
                accepted,
                found["metadata"]["generation"],
            )

        wait_for(there, self.one.process)
        return condition(self.definer.server.call("GET", path))

    def events(self, name: str) -> set[tuple[str, str]]:
        path = f"/api/v1/namespaces/{self.definer.namespace}/events?fieldSelector=involvedObject.name={name}"
        return {(one["type"], one["reason"]) for one in self.definer.server.call("GET", path)["items"]}


async def test_kubectl_and_rest_on_the_same_definitions(
    shared: KubeServer, admin: Admin, definer: Definer, tmp_path: Path
) -> None:
    await admin.service("sc-a", {"app": "a"})
    for name, ip, labels in (("a", "10.0.8.1", {}), ("a-gray", "10.0.8.2", GRAY)):
        await admin.pod(name, ip, {"app": "a", "msePilotCreateAppName": "spring-cloud-a", **labels})
    await definer.base()
    patches = [{"resource": "listener", "operations": [{"op": "add", "path": "/stat_prefix", "value": "x"}]}]
    await definer.apply("Gateway", "patched", GATEWAY | {"envoy_patches": patches})
    arguments = ["--store", f"kubernetes:{admin.namespace}", "--kubernetes-config", str(shared.kubeconfig)]
    arguments += ["--kubernetes", "--kubernetes-namespace", admin.namespace]
    with served(tmp_path, *arguments) as one:
        await asyncio.to_thread(_look, one, definer, admin)
        last = (tmp_path / "laneway.log").read_text()
    assert "Traceback" not in last, last


def _look(one: Served, definer: Definer, admin: Admin) -> None:
    objects = Objects(definer, one)
    for kind, name in (("Gateway", "edge"), ("Route", "a"), ("LaneGroup", "order-flow")):
        assert objects.wait(kind, name, "True")["reason"] == "Accepted"
    # What this control plane does not allow over REST is not allowed here.
    wrong = objects.wait("Gateway", "patched", "False")
    assert "allow-envoy-patches" in wrong["message"]
    wait_for(lambda: ("Warning", "Refused") in objects.events("patched"), one.process)
    asyncio.run(definer.lane("gray", ratio={"percent": 25}))
    objects.wait("Lane", "gray", "True")
    wait_for(lambda: objects.status("Lane", "gray").get("instances", {}).get("tagged") == 1, one.process)
    status = objects.status("Lane", "gray")
    assert status["instances"] == {"tagged": 1, "base": 1, "services": 1, "fallback": 0}
    assert status["slots"] == {"a": [[0, 2500]]}
    assert status["proxies"] == {"concerned": 0, "current": 0}
    # REST sees it, changes it, and undoes that.
    lane = one.http.get("/v1/lane-groups/order-flow/lanes/gray").json()
    assert lane["tag"] == "gray"
    path = "/v1/lane-groups/order-flow/lanes/gray"
    assert one.http.post(f"{path}/disable").status_code == 200
    found = definer.server.call("GET", definer.path("Lane", "gray"))
    assert found["spec"]["enabled"] is False
    assert found["spec"]["ratio"] == {"percent": 25}  # what nobody changed stays as it was written
    revisions = one.http.get("/v1/revisions").json()["items"]
    assert one.http.post(f"/v1/revisions/{revisions[0]['revision']}/undo").status_code == 200
    assert definer.server.call("GET", definer.path("Lane", "gray"))["spec"]["enabled"] is True
    # Wrong, then mended.
    asyncio.run(definer.apply("LaneGroup", "order-flow", GROUP | {"gateway": "none"}))
    assert "cannot change while" in objects.wait("LaneGroup", "order-flow", "False")["message"]
    assert one.http.get("/v1/lane-groups/order-flow").json()["gateway"] == "edge"
    asyncio.run(definer.apply("LaneGroup", "order-flow", GROUP))
    objects.wait("LaneGroup", "order-flow", "True")
    wait_for(lambda: ("Normal", "Accepted") in objects.events("order-flow"), one.process)
    # Warnings are Events, too.
    asyncio.run(definer.apply("Route", "b", {"gateway": "edge", "service": "sc-nobody"}))
    wait_for(lambda: ("Warning", "Warned") in objects.events("b"), one.process)
    # Nothing is written when nothing changes.
    version = definer.server.call("GET", definer.path("Lane", "gray"))["metadata"]["resourceVersion"]
    _columns(definer)
    wait_for(lambda: one.http.get("/readyz").status_code == 200, one.process)
    assert definer.server.call("GET", definer.path("Lane", "gray"))["metadata"]["resourceVersion"] == version


def _columns(definer: Definer) -> None:
    """What `kubectl get` prints is made by the server."""
    table = definer.server.call("GET", definer.path("Lane", ""))
    assert table["kind"] == "LaneList"
    crd = definer.server.call(
        "GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/lanes.laneway.dev"
    )
    shown = [one["name"] for one in crd["spec"]["versions"][0]["additionalPrinterColumns"]]
    assert shown == [
        "Group",
        "Tag",
        "Enabled",
        "Priority",
        "Percent",
        "Tagged",
        "Accepted",
        "Reason",
        "Proxies",
        "Age",
    ]
