"""A control plane in memory around a real store, and a client of its admin API."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from controlplane.admin.app import AdminSettings, create_app
from controlplane.admin.control import ExplainRequest, Look, StoreStatus
from controlplane.admin.proxy_answers import Compose, Configurations, Proxy, ResourceFilter
from controlplane.model.definitions import Definitions, Key
from controlplane.model.documents import Lane
from controlplane.model.releases import Release
from controlplane.model.times import phase
from controlplane.plan.evaluate import Decision
from controlplane.plan.moves import Moves, moved
from controlplane.plan.preview import Explanation, ServiceMatch, matches_of_tag
from controlplane.plan.promotion import Action, ServiceVersions, versions
from controlplane.plan.warnings import Warnings, warnings
from controlplane.registry.names import resolve
from controlplane.registry.types import Instance, Refused, Service, SourceStatus
from controlplane.store.memory import MemoryStore
from controlplane.tracing.propagation import Finding, Observed
from controlplane.tracing.watches import Watch, Watches
from controlplane.traffic.exchange import Everywhere, Interest
from controlplane.traffic.figures import Seen, Traffic, Window
from controlplane.traffic.meter import Meter
from controlplane.traffic.table import Table

SERVICES = {
    "nacos/public/DEFAULT_GROUP/sc-A": Service(
        "nacos/public/DEFAULT_GROUP/sc-A",
        "nacos",
        "sc-A",
        (
            Instance("10.0.0.1", 80, application="spring-cloud-a"),
            Instance("10.0.0.2", 80, "gray", "spring-cloud-a"),
        ),
        (Refused("10.0.0.3", 80, "the tag is empty"),),
        updated=1.5,
    ),
    "nacos/public/other/sc-B": Service("nacos/public/other/sc-B", "nacos", "sc-B"),
    "file///sc-B": Service("file///sc-B", "file", "sc-B"),
}
SOURCE = SourceStatus(
    name="nacos",
    connected=True,
    synced=True,
    unreachable_since=0.0,
    updated=1.5,
    services=2,
    instances=3,
    held_services=0,
    held=0,
    version="Nacos 2.3.2",
    error="",
)
HELD = {
    "type": "route",
    "name": "edge/edge",
    "version": "34cd",
    "node": "edge/2",
    "nack": {"version": "56ef", "message": "no such filter", "at": "2026-01-01T00:00:00+00:00"},
    "confirmed": ["edge/3"],
}
PROXY = {
    "node": "edge/1",
    "cluster": "edge",
    "role": "edge",
    "envoy": "1.40.0",
    "variant": "delta",
    "connected": "2026-01-01T00:00:00+00:00",
    "types": {},
    "standing": "proved",
    "held": [HELD],
    "warnings": [],
}


FINDING = Finding("a", "sc-B", "loses", 10, 20, 2 / 3, "id", "the calls have the request's id")
DRIFT = {
    "type": "route",
    "name": "edge",
    "version": "12ab",
    "state": "rejected",
    "nack": {"version": "12ab", "message": "no such cluster", "at": "2026-01-01T00:00:00+00:00"},
}
SENT = {**DRIFT, "size": 20, "content": {"name": "edge"}}


@dataclass
class SmallControl:
    """A ControlPlane with fixed services and proxies."""

    store: MemoryStore
    waiting: list[str] = field(default_factory=list)
    source: SourceStatus = SOURCE
    at: float = 0.0
    watches: Watches = field(default_factory=Watches)
    observed: Observed = field(default_factory=Observed)

    def now(self) -> float:
        return self.at or time.time()

    def resting(self) -> frozenset[str]:
        lanes = self.store.current.definitions.lanes
        return frozenset(name for name, lane in lanes.items() if not phase(lane, self.now()).open)

    def store_status(self) -> StoreStatus:
        return StoreStatus(self.store.problem, self.store.read_only)

    @property
    def traffic(self) -> Traffic:
        table = Table()
        meter = Meter(table, lambda who, label, counter: None, ("r", "d", "of"), time.time)
        return Traffic(table, meter)

    @property
    def identity(self) -> str:
        return "small"

    def seen_in_lanes(self) -> Mapping[tuple[str, str], Seen]:
        return {}

    async def everywhere(self, window: Window, interest: Interest) -> Everywhere:
        return Everywhere(self.traffic, self.reporters())

    def reporters(self) -> int:
        return 1

    def services(self) -> Mapping[str, Service]:
        return SERVICES

    def sources(self) -> Sequence[SourceStatus]:
        return (self.source,)

    def resolve_service(self, name: str) -> Service:
        return SERVICES[resolve(SERVICES, name)]

    def matches(self, lane_name: str) -> Sequence[tuple[str, Sequence[ServiceMatch]]]:
        return []

    def matches_of_tag(self, group: str, tag: str) -> Sequence[tuple[str, Sequence[ServiceMatch]]]:
        now = self.store.current.definitions
        return matches_of_tag(now, SERVICES, lambda name: resolve(SERVICES, name), group, tag)

    def versions(
        self, definitions: Definitions, lane: Lane, action: Action
    ) -> list[tuple[str, list[ServiceVersions]]]:
        return versions(definitions, SERVICES, lambda name: resolve(SERVICES, name), lane, action)

    async def explain(self, request: ExplainRequest, wanted: bool, at: float | None = None) -> Explanation:
        decision = Decision(None, None, "wanted" if wanted else "no route")
        return Explanation(decision, request.path, request.client_address, (), ())

    async def check(self, before: Definitions, after: Definitions, labelled: bool) -> None:
        """Nothing here can try it."""

    async def moves(self, definitions: Definitions) -> Moves:
        return moved(self.store.current.definitions, definitions, self.now())

    async def look(self, definitions: Definitions | None = None) -> Warnings:
        return self.warnings(definitions)

    def warnings(self, definitions: Definitions | None = None) -> Warnings:
        now = definitions or self.store.current.definitions
        return warnings(now, SERVICES, lambda name: resolve(SERVICES, name), self.now())

    def proxies(self, node: str | None = None) -> list[Proxy]:
        found = [PROXY, PROXY]
        if node is not None:
            found = [PROXY | {"drift": [DRIFT]}] if node == PROXY["node"] else []
        return [Proxy.model_validate(one) for one in found]

    def configuration(self, node: str, wanted: ResourceFilter) -> Compose | None:
        found = {"connected": PROXY["connected"], "resources": [SENT] if wanted.type == "route" else []}
        answer = Configurations.model_validate({"items": [found]})
        return (lambda: answer) if node == PROXY["node"] else None

    def conflicts(self, service_id: str) -> list[str]:
        return []

    def refused_urls(self, release: Release) -> list[str]:
        return []

    def release_look(self, key: Key) -> Look | None:
        return None

    async def begin_trace(self, gateway: str, seconds: float) -> Watch:
        return self.watches.begin(gateway, ("spring-cloud-a",), time.monotonic(), seconds, one=True)

    def watch(self, identity: str) -> Watch | None:
        return self.watches.get(identity, time.monotonic())

    def end_watch(self, watch: Watch) -> None:
        self.watches.end(watch, time.monotonic())

    async def observe(self, seconds: float, group: str | None) -> None:
        self.observed = Observed(running=True, seconds=seconds)

    def end_observation(self) -> None:
        self.observed = Observed(False, "2026-01-01T00:00:00+00:00", 1.0, 9, 0, {"a": 30}, (FINDING,))

    def propagation(self) -> Observed:
        return self.observed

    def ready(self) -> list[str]:
        return self.waiting


@pytest.fixture
async def control() -> AsyncIterator[SmallControl]:
    store = MemoryStore()
    await store.open()
    yield SmallControl(store)
    await store.close()


@pytest.fixture
async def client(control: SmallControl) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(control, AdminSettings(metrics=CollectorRegistry()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as one:
        yield one


GATEWAY = {"listeners": [{"port": 8080}]}
ROUTE = {"match": {"path": {"prefix": "/a"}}, "service": "sc-A"}
GROUP = {"gateway": "edge", "applications": ["spring-cloud-a", "spring-cloud-b"]}
LANE = {
    "tag": "gray",
    "rule": {"conditions": [{"source": "header", "name": "canary", "operator": "==", "value": "gray"}]},
}
RELEASE = {"lane": "gray", "steps": [{"percent": 5, "hold": "1m"}, {"percent": 100}]}


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of a problem (RFC 9457); every error in it says what is wrong and what to do."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["errors"]
    for error in body["errors"]:
        assert {"field", "value", "message", "remedy"} == error.keys() - {"document"}
        assert error["message"], error
        assert error["remedy"], error
    return body


@pytest.fixture
async def flow(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client with gateway edge, routes a and b, and group order-flow."""
    for path, body in (
        ("/v1/gateways/edge", GATEWAY),
        ("/v1/gateways/edge/routes/a", ROUTE),
        ("/v1/gateways/edge/routes/b", ROUTE),
        ("/v1/lane-groups/order-flow", GROUP),
    ):
        answer = await client.put(path, json=body)
        assert answer.status_code == 201, answer.text
    return client
