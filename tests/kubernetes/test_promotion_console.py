"""A promotion is finished in the console: base is replaced first, on a real API server.

There is no Deployment controller: the test is it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from tests.cli.ports import wait_for
from tests.cli.served import Served, served
from tests.console.conftest import CHROMIUM, WAIT_MS, accessible
from tests.kubernetes.install import kubeconfig, kubectl, rendered
from tests.kubernetes.server import KubeServer
from tests.kubernetes.test_promotion import DEFINITIONS, GROUP, TAG, YAML, Controller, deployment, tags
from tests.kubernetes.tools import Admin
from tests.require import lacking

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]


async def test_base_is_replaced_from_the_console(installed: KubeServer, admin: Admin, tmp_path: Path) -> None:
    if CHROMIUM is None:
        lacking("chromium", "needs Chromium (Debian: chromium)")
    await admin.service("sc-a", {"msePilotCreateAppName": "spring-cloud-a"})
    await asyncio.to_thread(_look, installed, admin.namespace, tmp_path)


def _look(server: KubeServer, namespace: str, tmp_path: Path) -> None:
    found = rendered("controlPlane.deployments=replace")
    granted = [one for one in found if one["metadata"]["name"] == "laneway-deployments"]
    kubectl(server, "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(granted))
    controller = Controller(server, namespace)
    for made in (deployment("a", "1"), deployment("a-gray", "2", **{TAG: "gray"})):
        server.call("POST", controller.at, made)
    controller.pod("a", "a-1", "10.0.8.1")
    controller.pod("a-gray", "a-gray-1", "10.0.8.2")
    for name in ("a", "a-gray"):
        controller.status(name, 1)
    config = kubeconfig(server, "laneway", tmp_path / "kubeconfig")
    arguments = ["--kubernetes-config", str(config), "--kubernetes-namespace", namespace]
    with served(tmp_path, *arguments, "--kubernetes-deployments", "replace") as one:
        one.http.post("/v1/apply", content=DEFINITIONS, headers=YAML).raise_for_status()
        wait_for(lambda: len(tags(one, namespace)) == 2, one.process)
        one.http.post(f"{GROUP}/promote", json={"lane": "gray"}).raise_for_status()
        _finished(one, controller, namespace)
        assert not one.said("Traceback")


def _finished(one: Served, controller: Controller, namespace: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(locale="en-GB").new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"http://127.0.0.1:{one.admin}/#/groups/order-flow")
        page.get_by_role("button", name="Finish the promotion").click()
        dialog = page.get_by_role("dialog", name="Finish the promotion")
        # Shown first: what differs, and with the choice what base would get.
        dialog.get_by_text(f"container app of Deployment {namespace}/a has shop:1").wait_for()
        dialog.get_by_role("row", name="spring-cloud-a").filter(has_text="shop:2").first.wait_for()
        dialog.get_by_role("checkbox", name="First give the base Deployments").check()
        dialog.get_by_text("laneway finish order-flow --replace-base").wait_for()
        template = dialog.get_by_role("button", name=f"Pod template that {namespace}/a gets")
        template.click()
        dialog.get_by_text("image: shop:2").wait_for()
        accessible(page)
        assert controller.image("a") == "shop:1"
        dialog.get_by_role("button", name="Finish the promotion").click()
        dialog.get_by_text("Base is being replaced").wait_for()
        assert controller.image("a") == "shop:2"
        controller.status("a", 0)
        dialog.get_by_text("0 of 1 replicas").wait_for()
        accessible(page)
        # Closed and begun again: nothing is done twice.
        generation = controller.get("a")["metadata"]["generation"]
        dialog.get_by_role("button", name="Cancel").click()
        dialog.wait_for(state="hidden")
        assert one.http.get(GROUP).json()["promoted"] == "gray"
        page.get_by_role("button", name="Finish the promotion").click()
        dialog.get_by_role("checkbox", name="First give the base Deployments").check()
        dialog.get_by_text("laneway finish order-flow --replace-base").wait_for()
        dialog.get_by_role("button", name="Finish the promotion").click()
        dialog.get_by_text("0 of 1 replicas").wait_for()
        controller.status("a", 1)
        dialog.get_by_text("say version 1").wait_for()
        controller.pod("a", "a-2", "10.0.8.3")
        controller.server.call("DELETE", f"{controller.pods}/a-1?gracePeriodSeconds=0")
        # Then the canaries are asked about.
        asked = page.get_by_role("dialog", name="Scale the canaries down")
        asked.get_by_text(f"Deployment {namespace}/a-gray: from 1 replica to 0").wait_for()
        asked.get_by_text("laneway lane scale-down gray").wait_for()
        accessible(page)
        assert controller.get("a-gray")["spec"]["replicas"] == 1
        asked.get_by_role("button", name="Scale the canaries down").click()
        asked.wait_for(state="hidden")
        assert controller.get("a-gray")["spec"]["replicas"] == 0
        assert controller.get("a")["metadata"]["generation"] == generation, "it is patched once"
        assert one.http.get(GROUP).json().get("promoted") is None
        browser.close()
