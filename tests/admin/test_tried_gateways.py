"""What a gateway asks of Envoy is tried before it is stored, by whatever request it comes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Gateway
from controlplane.model.parsing import invalid, parse_documents
from controlplane.model.problems import Problem
from tests.admin.conftest import GATEWAY, SmallControl, problem

EDGE = "/v1/gateways/edge"
BAD = {"listeners": [{"port": 6666}]}
MERGE = {"content-type": "application/merge-patch+json"}


def bad(definitions: Definitions) -> Definitions:
    """Stored past the API, as by a version that did not try it."""
    return definitions.put(*parse_documents(b"kind: Gateway\nname: edge\nlisteners: [{port: 6666}]\n")[0])


@pytest.fixture
def tries(control: SmallControl, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Port 6666 fails. By try: the ports of the gateways that are tried."""
    found: list[list[int]] = []

    async def check(before: Definitions, after: Definitions, labelled: bool) -> None:
        changed = [one for name, one in after.gateways.items() if before.gateways.get(name) != one]
        found.append([one.listeners[0].port for one in changed])
        if 6666 in found[-1]:
            wrong = Problem("listeners[0]", "is rejected by Envoy: no", None, "change it")
            raise invalid([wrong.within("Gateway/edge") if labelled else wrong])

    monkeypatch.setattr(control, "check", check)
    return found


async def test_every_way_is_refused(
    flow: httpx.AsyncClient, control: SmallControl, tries: list[list[int]]
) -> None:
    await control.store.change(bad)
    broken = control.store.current.revision
    await control.store.change(lambda now: now.put(Gateway.model_validate({"name": "edge", **GATEWAY})))
    mended = control.store.current
    answers: list[Any] = []
    for method, path, more in (
        ("PUT", EDGE, {"json": BAD}),
        ("PATCH", EDGE, {"json": BAD, "headers": MERGE}),
        ("POST", "/v1/apply", {"json": {"kind": "Gateway", "name": "edge", **BAD}}),
        ("POST", "/v1/apply?dry_run=true", {"json": {"kind": "Gateway", "name": "edge", **BAD}}),
        ("POST", f"/v1/revisions/{mended.revision}/undo", {}),
        ("POST", f"/v1/revisions/{broken}/restore", {}),
        ("POST", f"/v1/revisions/{broken}/restore?dry_run=true", {}),
    ):
        (error,) = problem(await flow.request(method, path, **more), 422)["errors"]
        assert error["message"] == "is rejected by Envoy: no", path
        answers.append(error.get("document"))
        assert tries.pop() == [6666]
        assert control.store.current is mended
    assert answers == [None, None, *["Gateway/edge"] * 5]
    assert not tries


async def test_what_changes_no_gateway_tries_none(flow: httpx.AsyncClient, tries: list[list[int]]) -> None:
    assert (await flow.put(EDGE, json=GATEWAY)).status_code == 200
    assert (await flow.delete(f"{EDGE}/routes/b")).status_code == 204
    assert not tries


async def test_what_is_changed_while_it_is_tried_is_tried_again(
    flow: httpx.AsyncClient, control: SmallControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge patch: what is stored depends on what another wrote meanwhile."""
    tried: list[Gateway] = []

    async def check(_: Definitions, after: Definitions, labelled: bool) -> None:
        tried.append(after.gateways["edge"])
        if len(tried) == 1:
            now = control.store.current.definitions.gateways["edge"]
            await control.store.change(lambda x: x.put(now.model_copy(update={"trusted_hops": 3})))

    monkeypatch.setattr(control, "check", check)
    answer = await flow.patch(EDGE, json={"trust_client_lane": True}, headers=MERGE)
    assert answer.status_code == 200
    assert [(one.trust_client_lane, one.trusted_hops) for one in tried] == [(True, 0), (True, 3)]
    assert control.store.current.definitions.gateways["edge"] == tried[1]


async def test_a_gateway_that_others_change_all_the_time_is_a_conflict(
    flow: httpx.AsyncClient, control: SmallControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(*_: object) -> None:
        now = control.store.current.definitions.gateways["edge"]
        more = now.model_copy(update={"trusted_hops": now.trusted_hops + 1})
        await control.store.change(lambda x: x.put(more))

    monkeypatch.setattr(control, "check", check)
    problem(await flow.patch(EDGE, json={"trust_client_lane": True}, headers=MERGE), 409)
    assert control.store.current.definitions.gateways["edge"].trusted_hops == 5
