"""A served admin API for the command: a real store and real HTTP, registries and proxies made up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from controlplane.admin.app import AdminSettings, create_app
from controlplane.admin.control import ExplainRequest
from controlplane.admin.port import AdminServer
from controlplane.auth.tokens import Tokens
from controlplane.model.conditions import Condition
from controlplane.plan.evaluate import ConditionOutcome, Decision, LaneOutcome
from controlplane.plan.preview import Explanation, Hop, ServiceMatch
from controlplane.registry.types import Instance
from controlplane.store.memory import MemoryStore
from tests.admin.conftest import SmallControl

MATCHES: dict[str, Any] = {
    "applications": [
        {
            "application": "spring-cloud-a",
            "services": [{"service": "sc-A", "tagged": ["127.0.1.4:20001"], "base": 1, "fallback": False}],
        },
        {
            "application": "spring-cloud-b",
            "services": [{"service": "sc-B", "tagged": [], "base": 1, "fallback": True}],
        },
    ]
}


class Control(SmallControl):
    """Answers about lanes as a whole control plane would, and keeps the last question."""

    asked: ExplainRequest | None = None

    def matches(self, lane_name: str) -> Sequence[tuple[str, Sequence[ServiceMatch]]]:
        tagged = Instance("127.0.1.4", 20001, "gray", "spring-cloud-a")
        return [
            ("spring-cloud-a", [ServiceMatch("spring-cloud-a", "sc-A", (tagged,), 1, False, False)]),
            ("spring-cloud-b", [ServiceMatch("spring-cloud-b", "sc-B", (), 1, True, False)]),
        ]

    async def explain(self, request: ExplainRequest, wanted: bool, at: float | None = None) -> Explanation:
        self.asked = request
        condition = Condition(source="header", name="canary", operator="==", value="gray")
        outcome = LaneOutcome("gray", True, (ConditionOutcome(condition, b"gray", True),))
        base = Instance("127.0.1.2", 20002, None, "spring-cloud-b")
        decision = Decision(None, "gray", "the rule of lane gray matches", (outcome,))
        hop = Hop("spring-cloud-b", "sc-B", None, (base,), True)
        return Explanation(decision, request.path.partition("?")[0], request.client_address, (), (hop,))


def serve(tokens: dict[str, str] | None = None) -> Iterator[tuple[str, Control]]:
    """URL of an admin API in a thread of its own, and what stands behind it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[AdminServer, Control]:
        store = MemoryStore()
        await store.open()
        control = Control(store)
        known = Tokens.of(tokens) if tokens is not None else None
        app = create_app(control, AdminSettings(metrics=CollectorRegistry(), tokens=known))
        server = AdminServer(app, "127.0.0.1", 0)
        await server.start()
        return server, control

    async def stop(server: AdminServer, control: Control) -> None:
        await server.stop()
        await control.store.close()

    server, control = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield f"http://{server.address}", control
    finally:
        asyncio.run_coroutine_threadsafe(stop(server, control), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def admin() -> Iterator[tuple[str, Control]]:
    yield from serve()


@pytest.fixture
def guarded() -> Iterator[str]:
    """URL of an admin API with the token `secret-of-alice`."""
    for url, _ in serve({"alice": "secret-of-alice"}):
        yield url
