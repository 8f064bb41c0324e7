"""A release on `--store kubernetes`, whose definitions two control planes share."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.ports import wait_for
from tests.cli.served import Served, served
from tests.kubernetes.resources import Definer, install
from tests.kubernetes.server import KubeServer
from tests.kubernetes.tools import Admin

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]

GROUP = "/v1/lane-groups/order-flow"
RELEASE = f"{GROUP}/releases/rollout"
SHARES = [5, 10, 20, 40, 80]
HOLD = 4


async def test_the_holder_of_the_lease_is_killed_in_a_step(
    shared: KubeServer, admin: Admin, tmp_path: Path
) -> None:
    """The other goes on with the release at once, and acts for the custom resources when the Lease is over:
    no step comes twice, and none is left out.
    """
    await asyncio.to_thread(install, shared)
    definer = Definer(shared, admin.namespace)
    await definer.base()
    await definer.lane("gray", enabled=False, ratio={"percent": 100})
    steps = [{"percent": one, "hold": f"{HOLD}s"} for one in SHARES]
    release = {"group": "order-flow", "lane": "gray", "steps": steps, "interval": "1s"}
    await definer.apply("Release", "rollout", release)
    await asyncio.to_thread(_look, shared, definer, tmp_path)


def _look(server: KubeServer, definer: Definer, tmp_path: Path) -> None:
    arguments = ["--store", f"kubernetes:{definer.namespace}", "--kubernetes-config", str(server.kubeconfig)]
    homes = [tmp_path / "one", tmp_path / "other"]
    for home in homes:
        home.mkdir()
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{definer.namespace}/leases/laneway"

    def holder() -> str:
        return server.call("GET", lease)["spec"]["holderIdentity"]

    with served(homes[0], *arguments) as one, served(homes[1], *arguments) as other:
        for each in (one, other):
            wait_for(lambda each=each: each.http.get(RELEASE).status_code == 200, each.process)
        first, left = (one, other) if f"-{one.process.pid}-" in holder() else (other, one)
        assert f"-{first.process.pid}-" in holder()
        left.http.post(f"{RELEASE}/start?force=true").raise_for_status()
        for each in (one, other):
            wait_for(lambda each=each: progress(each)["step"] == 1, each.process)
        first.process.kill()
        first.process.wait()
        wait_for(lambda: f"-{left.process.pid}-" in holder(), left.process, seconds=60)
        assert progress(left)["phase"] == "running", "it should end after the Lease was taken over"
        wait_for(lambda: progress(left)["phase"] == "succeeded", left.process, seconds=60)
        found = progress(left)
        assert [(made["step"], made["what"]) for made in found["decisions"]] == [
            (1, f"started with {SHARES[0]} %"),
            *((n + 1, f"step {n} has passed; the next has {SHARES[n]} %") for n in range(1, len(SHARES))),
            (len(SHARES), "every step has passed"),
        ]
        times = [made["at"] for made in found["decisions"]]
        assert all(after - before >= HOLD - 0.01 for before, after in itertools.pairwise(times)), times
        revisions = left.http.get("/v1/revisions").json()["items"]
        notes = [item.get("note", "") for item in revisions]
        assert len([one for one in notes if one.startswith("release rollout: ")]) == len(SHARES) + 1, notes
        # The one that acts now writes what was made into the objects and their status.
        path = definer.path("Release", "rollout")

        def written() -> bool:
            status = server.call("GET", path).get("status", {})
            return (status.get("progress") or {}).get("phase") == "succeeded"

        wait_for(written, left.process, seconds=60)
        lane = server.call("GET", definer.path("Lane", "gray"))
        assert (lane["spec"]["ratio"]["percent"], lane["spec"]["enabled"]) == (SHARES[-1], True)


def progress(one: Served) -> dict[str, Any]:
    try:
        answer: httpx.Response = one.http.get(RELEASE)
    except httpx.TransportError:
        return {"phase": "", "step": -1}
    return answer.json().get("progress") or {"phase": "", "step": -1}
