"""Watches over connected proxies: begins them at the proxies, and ends them in time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from controlplane.model.definitions import Definitions
from controlplane.plan.planner import Plan
from controlplane.snapshot.nodes import EdgeNode, SidecarNode
from controlplane.snapshot.publisher import Publisher
from controlplane.snapshot.sidecars import SidecarView
from controlplane.snapshot.view import NodeView
from controlplane.tracing.propagation import Observed, propagation
from controlplane.tracing.watches import Watch, Watches
from controlplane.xds.node import Node
from controlplane.xds.server import XdsServer
from controlplane.xds.view import View

log = structlog.get_logger("laneway")

LAST_REPORTS = 1.0
"""Seconds after its end in which reports of an observation may come."""
READY = 2.0
"""Longest time in seconds until the proxies have confirmed that they report."""


class Watching:
    """What admin and doctor ask: a watch of one request, or of all requests of applications."""

    def __init__(self, publisher: Publisher, xds: Callable[[], XdsServer]) -> None:
        self.watches = Watches()
        self.observed = Observed()
        """What the last observation of all traffic found."""
        self._ended = asyncio.Event()
        self._observing: asyncio.Task[None] | None = None
        self._publisher = publisher
        self._xds = xds

    async def begin(self, gateway: str, applications: Iterable[str], seconds: float, one: bool) -> Watch:
        """Begin a watch, and return when the proxies concerned report. Raises TooMany."""
        watch = self.watches.begin(gateway, applications, time.monotonic(), seconds, one)
        self._publish()
        asyncio.get_running_loop().call_later(watch.until - time.monotonic() + 0.01, self._publish)
        log.info("watch begun", watch=watch.id, gateway=gateway, seconds=seconds, one_request=one)
        missing: list[str] = []

        def concerned(node: Node, view: View) -> bool:
            reports = _reports(view, watch)
            if reports is False:
                missing.append(node.id)
            return bool(reports)

        watch.late = tuple(await self._xds().acknowledged(concerned, READY))
        watch.missing = tuple(sorted(set(missing)))
        return watch

    def get(self, identity: str) -> Watch | None:
        return self.watches.get(identity, time.monotonic())

    async def observe(self, applications: Iterable[str], seconds: float) -> None:
        """Begin to observe all traffic of applications; one observation at a time. Raises TooMany."""
        if self.observed.running:
            return
        before, self.observed = self.observed, replace(self.observed, running=True)
        try:
            watch = await self.begin("", applications, seconds, one=False)
        except BaseException:
            self.observed = before
            raise
        self._ended.clear()
        self._observing = asyncio.create_task(self._conclude(watch), name="propagation")

    def end_observation(self) -> None:
        """End the observation that runs before its time."""
        self._ended.set()

    async def _conclude(self, watch: Watch) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), watch.until - time.monotonic())
            self.end(watch)
            await asyncio.sleep(LAST_REPORTS)
            reports = list(watch.reports)
            coloured, findings = await asyncio.to_thread(propagation, reports, watch.left_out > 0)
            self.observed = Observed(
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=round(watch.until - watch.begun, 1),
                reports=len(reports),
                left_out=watch.left_out,
                coloured=coloured,
                findings=findings,
                missing=watch.missing,
            )
        finally:
            watch.reports.clear()
            self.observed = replace(self.observed, running=False)
        for one in self.observed.findings:
            if one.verdict == "loses":
                log.warning(
                    "an application loses the lane",
                    application=one.application,
                    to=one.to,
                    share=round(one.share or 0.0, 3),
                    why=one.reason,
                )

    def end(self, watch: Watch) -> None:
        """End a watch before its time."""
        self.watches.end(watch, time.monotonic())
        self._publish()

    def _publish(self) -> None:
        self._publisher.watch(*self.watches.wanted(time.monotonic()))


def applications_met(gateway: str, definitions: Definitions, plan: Plan) -> set[str]:
    """The applications that requests of a gateway may meet: those of its groups and of its routes."""
    groups = definitions.groups.values()
    found = {a for group in groups if group.gateway == gateway for a in group.applications}
    if gateway in plan.gateways:
        for route in plan.gateways[gateway].routes:
            if route.service is not None and route.service in plan.services:
                found.update(plan.services[route.service].applications)
    return found


def _reports(view: View, watch: Watch) -> bool | None:
    """Whether a proxy that the watch concerns can report; None for others."""
    node = view.node if isinstance(view, NodeView) else None
    if isinstance(node, EdgeNode):
        return bool(node.reports) if watch.token and node.gateway == watch.gateway else None
    if isinstance(node, SidecarNode) and isinstance(view, SidecarView):
        return bool(node.place.reports) if view.application in watch.applications else None
    return None
