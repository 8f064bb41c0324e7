"""The shell of the rollout: publishes steps, waits for acknowledgements and for lanes to drain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from controlplane.model.definitions import Definitions
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.rollout import Deployed, ending, first_step, second_step, stops_lanes
from controlplane.snapshot.nodes import Role
from controlplane.snapshot.view import NodeView
from controlplane.xds.node import Node
from controlplane.xds.view import View

log = structlog.get_logger(__name__)

ACKNOWLEDGE_WAIT = 2.0
"""Seconds to wait for acknowledgements. Proxies that left a response unanswered for as long before are not
waited for at all (`controlplane.xds.standing`): such a sidecar may treat a new lane as base until it catches
up.
"""

Publish = Callable[[Deployed, bool], None]
"""(what is deployed, whether it goes to every proxy at once)."""
Acknowledged = Callable[[Callable[[Node, View], bool], float], Awaitable[list[str]]]
"""(which streams, timeout in seconds) -> node ids of those that did not acknowledge in time."""

EDGES: frozenset[Role] = frozenset({"edge"})
ROUTERS: frozenset[Role] = frozenset({"sidecar", "grpc"})
"""The roles that route by the lane of a request: all must know a lane before an edge chooses it."""


class Rollout:
    """Brings proxies from what is deployed to what is defined, in order. `lane_drain` is in seconds."""

    def __init__(self, publish: Publish, acknowledged: Acknowledged, lane_drain: float) -> None:
        self._publish = publish
        self._acknowledged = acknowledged
        self._lane_drain = lane_drain
        self._definitions = Definitions()
        self._resting: Collection[str] = frozenset[str]()
        self._changed = asyncio.Event()
        self._stopped_at: dict[str, float] = {}
        self.deployed = Deployed()

    def start_with(self, definitions: Definitions, resting: Collection[str] = frozenset()) -> None:
        """Deploy everything at once: at the start no request in flight has a lane."""
        self._definitions, self._resting = definitions, resting
        known = enabled_lanes(definitions, resting)
        self.deployed = Deployed(known, frozenset(known))

    def wanted(self, definitions: Definitions, resting: Collection[str] = frozenset()) -> None:
        """Definitions changed, or the lanes that rest by their times: roll it out in the background."""
        self._definitions, self._resting = definitions, resting
        self._changed.set()

    @property
    def pending(self) -> bool:
        """Whether a change waits for its first step."""
        return self._changed.is_set()

    async def run(self) -> None:
        """Roll out every change until cancelled."""
        while True:
            wait = self._next_deadline()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            try:
                await self._converge()
            except Exception:
                log.exception("rollout failed; trying again")
                await asyncio.sleep(1)
                self._changed.set()

    def _next_deadline(self) -> float | None:
        if not self._stopped_at:
            return None
        now = asyncio.get_running_loop().time()
        return max(min(self._stopped_at.values()) + self._lane_drain - now, 0.0)

    async def _converge(self) -> None:
        loop = asyncio.get_running_loop()
        wanted = enabled_lanes(self._definitions, self._resting)
        drained = {n for n, at in self._stopped_at.items() if loop.time() >= at + self._lane_drain}
        before = self.deployed
        first = first_step(before, wanted, drained)
        self.deployed = first
        self._publish(first, stops_lanes(before, first))
        for name in drained:
            self._stopped_at.pop(name, None)
        if first.coloured != before.coloured:
            await self._wait(EDGES, "stop routing lanes", sorted(before.coloured - first.coloured))
        if first.known != before.known:
            await self._wait(ROUTERS, "learn lanes", sorted(first.known.keys() - before.known.keys()))
        second = second_step(first, wanted)
        if second != first:
            self.deployed = second
            self._publish(second, False)
            log.info("edges now route lanes", lanes=sorted(second.coloured))
        retiring = ending(self.deployed, wanted)
        for name in self._stopped_at.keys() - retiring:
            del self._stopped_at[name]
        for name in retiring:
            self._stopped_at.setdefault(name, loop.time())

    async def _wait(self, roles: frozenset[Role], what: str, lanes: list[str]) -> None:
        def concerned(_: Node, view: View) -> bool:
            return isinstance(view, NodeView) and view.node.role in roles

        late = await self._acknowledged(concerned, ACKNOWLEDGE_WAIT)
        said = {"roles": sorted(roles), "step": what}
        if late:
            log.warning("proxies are not in sync in time; going on without them", **said, nodes=late)
        else:
            log.info("proxies are in sync", **said, lanes=lanes)
