"""What the control plane says of traffic is what the client and the applications saw, on real Envoys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc, until

GRAY = ("canary", "gray")


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Iterator[Mesh]:
    mesh = new_mesh()
    abc(mesh, "Agray", "Cgray")
    mesh.start(
        route("a", "sc-A"),
        group("order-flow", *APPLICATIONS),
        lane("gray"),
        lane("strict", tag="nobody", fallback="none"),
    )
    mesh.wait_chain(["Agray", "B", "Cgray"], GRAY)
    return mesh


def counts(mesh: Mesh, what: str) -> Any:
    return mesh.rest.get(f"/v1/metrics/{what}?window=10m&step=1m")


def test_numbers(mesh: Mesh) -> None:
    sent = Counter()
    for number in range(60):
        headers: list[Any] = [GRAY] if number % 3 == 0 else []
        if number % 10 == 0:
            headers.append(("x-fail", "C=503 a:b"))
        answer = mesh.edge.get("/a", *headers)
        sent[("gray" if number % 3 == 0 else "", answer.status)] += 1
    import json, time
    time.sleep(16)
    print(sent)
    print(json.dumps(counts(mesh, "lanes/gray"), indent=1)[:6000])
    print(json.dumps(counts(mesh, "applications/spring-cloud-c"), indent=1)[:3000])
    print(json.dumps(counts(mesh, "summary"), indent=1)[:3000]) if False else None
    print(mesh.rest.get("/v1/metrics/summary"))
    print(mesh.rest.get("/v1/metrics/gateways/edge"))
    assert 0
