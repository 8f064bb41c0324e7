"""Custom resources as people use them: a real kubectl applies, waits and shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.model.definitions import Key
from controlplane.store.kubernetes.reporting import Reporting
from controlplane.store.kubernetes.status import Facts, Proxies
from tests.kubernetes import programs
from tests.kubernetes.resources import GATEWAY, GROUP, ROUTE, RULE, cluster_of, install, storing, until
from tests.kubernetes.server import KubeServer
from tests.kubernetes.tools import Admin

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]

LANE = {"group": "order-flow", "tag": "gray", "rule": RULE}


def manifest(kind: str, name: str, spec: Any) -> str:
    return json.dumps(
        {"apiVersion": "laneway.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    )


async def known() -> Callable[[Key], Facts]:
    return lambda key: Facts(
        instances={"tagged": 2, "base": 3, "services": 1, "fallback": 0} if key.kind == "Lane" else None,
        proxies=Proxies(4, 3),
    )


async def test_kubectl_applies_waits_and_shows(shared: KubeServer, admin: Admin) -> None:
    programs.program("kubectl")
    await asyncio.to_thread(install, shared)
    own = (f"--kubeconfig={shared.kubeconfig}", f"--namespace={admin.namespace}")

    async def kubectl(*arguments: str, stdin: str = "", fails: bool = False) -> str:
        return await asyncio.to_thread(programs.run, "kubectl", *own, *arguments, stdin=stdin, fails=fails)

    every = "\n---\n".join(
        (
            manifest("Lane", "gray", LANE),  # in any order
            manifest("Gateway", "edge", GATEWAY),
            manifest("LaneGroup", "order-flow", GROUP),
            manifest("Route", "a", ROUTE),
        )
    )
    async with storing(cluster_of(shared, admin.namespace)) as store:
        reporting = Reporting(store, known)
        task = asyncio.create_task(reporting.run())
        try:
            await kubectl("apply", "-f", "-", stdin=every)
            for one in ("lane/gray", "gateway.laneway.dev/edge", "lanegroup/order-flow", "route/a"):
                await kubectl("wait", "--for=condition=Accepted", one, "--timeout=60s")
            assert set(store.current.definitions.lanes) == {"gray"}
            again = await kubectl("apply", "-f", "-", stdin=every)
            assert again.count("unchanged") == 4
            table = (await kubectl("get", "lanes", "-o", "wide")).splitlines()
            assert table[0].split() == [
                "NAME", "GROUP", "TAG", "ENABLED", "PRIORITY", "PERCENT", "TAGGED",
                "ACCEPTED", "REASON", "PROXIES", "AGE",
            ]  # fmt: skip
            assert table[1].split()[:3] == ["gray", "order-flow", "gray"]
            assert table[1].split()[-5:-1] == ["2", "True", "Accepted", "3"]
            # What the schema refuses, kubectl says at once; what a rule refuses, the condition.
            wrong = manifest("Route", "b", ROUTE | {"servce": "x"})
            assert 'unknown field "spec.servce"' in await kubectl("apply", "-f", "-", stdin=wrong, fails=True)
            await kubectl("apply", "-f", "-", stdin=manifest("Route", "b", ROUTE | {"gateway": "none"}))
            await kubectl("wait", "--for=condition=Accepted=False", "route/b", "--timeout=60s")
            assert "none" in await kubectl("describe", "route.laneway.dev/b")
            await until(lambda: reporting.writes >= 6)
            assert "Refused" in await kubectl("get", "events")
            assert "group" in await kubectl("explain", "lane.spec", "--api-version=laneway.dev/v1")
            assert "created Lane/gray" in await kubectl("get", "revisions.laneway.dev")
            await kubectl("delete", "-f", "-", stdin=every)
            await until(lambda: not any(store.current.definitions.documents()))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        async def quiet() -> bool:
            before = reporting.writes
            await reporting.turn()
            return reporting.writes == before

        await until(quiet)
        versions = {one.version for one in store.objects.values()}
        assert await reporting.turn()
        assert {one.version for one in store.objects.values()} == versions
