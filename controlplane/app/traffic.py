"""What the labels of proxies mean, by the plan that is served and the definitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controlplane.model.definitions import Definitions
from controlplane.plan.planner import Plan
from controlplane.plan.services import ServicePlan
from controlplane.registry.types import Services
from controlplane.rpc.transport import Call
from controlplane.snapshot.nodes import EdgeNode
from controlplane.snapshot.sidecars import SidecarView
from controlplane.snapshot.view import NodeView
from controlplane.tracing.reports import Report
from controlplane.traffic import series
from controlplane.traffic.exemplars import Exemplars
from controlplane.traffic.figures import Traffic
from controlplane.traffic.meter import Meaning, Meter
from controlplane.traffic.receiver import Receiver
from controlplane.traffic.series import SLOT, Key
from controlplane.traffic.table import OTHER, Table
from controlplane.translate import traffic
from controlplane.translate.traffic import Counted

BASE = "base"
_NOBODY_TO_ASK = frozenset({"UH", "NC"})
"""Envoy's flags of requests for which there was no instance, or no cluster."""
_BROKEN = frozenset({"UC", "UR", "LR", "UPE", "UT", "SI", "DT", "URX"})
"""Its flags of answers that broke off, and of those that took too long."""
_MOST_MEANINGS = 100_000


@dataclass(frozen=True, slots=True)
class TrafficBounds:
    """series: kept in memory. message_bytes: of one message of a report. waiting_bytes: of all that wait."""

    series: int = 4_000
    message_bytes: int = 1 << 19
    waiting_bytes: int = 64 << 20


class Counting:
    """The traffic of one control plane.

    view_of: of a connected proxy, by its node id. resolve: a service's name to its canonical id. shared: see
    Meter.
    """

    def __init__(
        self,
        view_of: Callable[[Call, str], Any],
        resolve: Callable[[str], str],
        bounds: TrafficBounds,
        clock: Callable[[], float] = time.time,
        shared: bool = False,
    ) -> None:
        self._resolve_service = resolve
        self._plan = Plan()
        self._definitions: Definitions | None = None
        self._services: Services = {}
        self._meanings: dict[tuple[str, str, bool], Meaning | None] = {}
        self.table = Table(bounds.series)
        names = (traffic.REQUESTS, traffic.DURATION, traffic.LABEL)
        self.meter = Meter(self.table, self._resolve, names, clock, shared=shared, gauge=traffic.EJECTED)
        self.receiver = Receiver(self.meter, view_of, bounds.message_bytes, bounds.waiting_bytes)
        self.traffic = Traffic(self.table, self.meter)
        self.exemplars = Exemplars(clock)

    def published(self, plan: Plan, definitions: Definitions, services: Services) -> None:
        """This is what proxies get from now on."""
        before, had = self._plan, self._definitions
        self._plan, self._definitions, self._services = plan, definitions, services
        same = had is definitions and before.lanes.keys() == plan.lanes.keys()
        if same and before.services.keys() == plan.services.keys():
            return
        self._meanings.clear()
        if not same:  # a lane that was deleted is known to proxies until it has drained
            self.table.keep_lanes(definitions.lanes.keys() | plan.lanes.keys())
        self.meter.resolve_anew()

    def instances(self, service: str, lane: str) -> int | None:
        """The registered instances of a service that a lane that proxies know would use; None where no lane
        has any in that service.
        """
        plan = self._plan.services.get(service)
        target = plan.lanes.get(lane) if plan is not None else None
        return None if plan is None or target is None else len(plan.targets[target])

    def seen(self, report: Report) -> None:
        """A caller's proxy has reported one request, while somebody watches: it becomes an exemplar."""
        if report.side == "inbound":
            return
        counted = traffic.counted(report)
        lane = counted.lane if self._known_lane(counted.lane) else ""
        key = self._asked(counted, lane, report.owner if report.side == "edge" else "")
        of = (key.gateway, key.application, key.service, key.lane, key.tag)
        self.exemplars.note(of, report.duration, report.trace, report.request_id)

    async def run(self) -> None:
        """See every few seconds who is silent, and forget what is old, until cancelled."""
        while True:
            await asyncio.sleep(SLOT)
            self.meter.sweep()

    def _resolve(self, who: Any, label: str, counter: bool) -> Meaning | None:
        if not isinstance(who, NodeView):
            return None
        node = who.node
        if isinstance(node, EdgeNode):
            kept = (f"e{node.gateway}", label, counter)
        else:
            kept = (f"s{who.place()[0]}" if isinstance(who, SidecarView) else "", label, counter)
        if label[:1] != "i" and kept in self._meanings:
            return self._meanings[kept]
        counted = traffic.read(label, counter)
        meaning = None if counted is None else self._meaning(who, counted, counter)
        if label[:1] != "i":
            if len(self._meanings) >= _MOST_MEANINGS:
                self._meanings.clear()
            self._meanings[kept] = meaning
        return meaning

    def _meaning(self, who: NodeView, counted: Counted, counter: bool) -> Meaning | None:
        node = who.node
        if (counted.hop == "edge") != isinstance(node, EdgeNode):
            return None  # what another kind of proxy counts
        lane = counted.lane if self._known_lane(counted.lane) else ""
        if isinstance(node, EdgeNode):
            key = self._asked(counted, lane, node.gateway)
        elif isinstance(who, SidecarView):
            key = (
                self._received(who, counted, lane)
                if counted.hop == "inbound"
                else self._asked(counted, lane, "")
            )
        else:
            return None
        return Meaning(key, _counts(counted) if counter else ())

    def _known_lane(self, lane: str) -> bool:
        known = self._definitions is not None and lane in self._definitions.lanes
        return bool(lane) and (known or lane in self._plan.lanes)

    def _asked(self, counted: Counted, lane: str, gateway: str) -> Key:
        """The series of a request to a service, as its caller counted it."""
        route = counted.route
        if self._definitions is None or (gateway, route) not in self._definitions.routes:
            route = ""
        plan = self._plan.services.get(counted.service or "")
        if plan is None:
            return Key(counted.hop, gateway, route, "", "", lane, "")
        return Key(
            counted.hop,
            gateway,
            route,
            plan.id,
            _application(plan, counted),
            lane,
            self._tag(plan, counted.tag),
        )

    def _received(self, view: SidecarView, counted: Counted, lane: str) -> Key:
        """The series of a request to the application beside a sidecar."""
        application, tag = view.place()
        own = view.sidecar.place.services
        _, bar, port = counted.cluster.partition("|")
        named = [one for one in own if bar and str(one.port) == port] or (own if len(own) == 1 else ())
        service = ""
        for one in named:
            try:
                service = self._resolve_service(one.service)
            except LookupError:
                service = ""
        return Key("inbound", "", "", service, application, lane, tag or BASE)

    def _tag(self, plan: ServicePlan, tag: str | None) -> str:
        if not tag:
            return BASE if tag == "" else ""
        service = self._services.get(plan.id)
        known = any(one.tag == tag for one in service.instances) if service is not None else False
        return tag if known or any(one.tag == tag for one in plan.targets) else OTHER


def _application(plan: ServicePlan, counted: Counted) -> str:
    """Who answered; where nobody did, whom the lane was to reach."""
    if counted.application in plan.applications:
        return counted.application
    if counted.in_lane:
        _, _, target = counted.cluster.partition("|")
        meant = target.partition("|")[0].split(",")
        for one in plan.applications:
            if one in meant:
                return one
    return plan.applications[0] if plan.applications else ""


def _counts(counted: Counted) -> tuple[tuple[int, int], ...]:
    """What one request of this kind adds to a series."""
    found = [(series.REQUESTS, 1)]
    if counted.status >= 500:
        found.append((series.SERVER_ERRORS, 1))
    elif "DC" in counted.flags:
        found.append((series.CANCELLED, 1))
    elif counted.status == 0 or counted.flags & _BROKEN:
        found.append((series.RESETS, 1))
    elif counted.status >= 400:
        found.append((series.CLIENT_ERRORS, 1))
    if counted.attempts > 1:
        found.append((series.RETRIES, counted.attempts - 1))
    if counted.in_lane and not counted.strict and counted.base:
        found.append((series.FALLBACKS, 1))
    if counted.flags & _NOBODY_TO_ASK or (counted.strict and counted.status == 503 and "UF" in counted.flags):
        found.append((series.REFUSALS, 1))
    return tuple(found)
