"""The shell of the rollout: publishes steps, waits for acknowledgements and for lanes to drain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from controlplane.model.definitions import Definitions
from controlplane.plan.base import Base, promoted_base
from controlplane.plan.lanes import LaneMeaning, enabled_lanes
from controlplane.plan.rollout import (
    Deployed,
    base_chosen,
    base_known,
    base_taken,
    ending,
    first_step,
    second_step,
    settled,
    stops_lanes,
)
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
        self._unused_since: dict[str, float] = {}
        """Since when edges do not colour with a name of base, by name; "" for base without a colour."""
        self.deployed = Deployed()

    def start_with(self, definitions: Definitions, resting: Collection[str] = frozenset()) -> None:
        """Deploy everything at once: at the start no request in flight has a lane."""
        self._definitions, self._resting = definitions, resting
        self.deployed = settled(definitions, resting)

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
        since = [*self._stopped_at.values(), *self._unused_since.values()]
        if not since:
            return None
        now = asyncio.get_running_loop().time()
        return max(min(since) + self._lane_drain - now, 0.0)

    def _drained(self, since: dict[str, float]) -> set[str]:
        now = asyncio.get_running_loop().time()
        return {name for name, at in since.items() if now >= at + self._lane_drain}

    async def _converge(self) -> None:
        loop = asyncio.get_running_loop()
        enabled, base = enabled_lanes(self._definitions, self._resting), promoted_base(self._definitions)
        drained, unused = self._drained(self._stopped_at), self._drained(self._unused_since)
        before = self.deployed
        wanted = enabled | _promoted(before, base)
        first = base_known(first_step(before, wanted, drained), base, unused)
        self.deployed = first
        self._publish(first, stops_lanes(before, first))
        for name in drained:
            self._stopped_at.pop(name, None)
        for name in unused - {""}:
            self._unused_since.pop(name, None)
        learned = first.versions.keys() - before.versions.keys()
        if first.coloured != before.coloured:
            await self._wait(EDGES, "stop routing lanes", sorted(before.coloured - first.coloured))
        if first.known != before.known or learned:
            # Edges have to have the clusters of another base before their routes name them.
            roles = ROUTERS | EDGES if learned else ROUTERS
            known = sorted({*(first.known.keys() - before.known.keys()), *learned})
            await self._wait(roles, "learn lanes", known)
        second = base_chosen(second_step(first, enabled), base)
        if second != first:
            # What leaves a promoted version is not held back for a trial by a part of the proxies.
            self._to(second, second.colour != first.colour and base.lanes < before.base.lanes)
            log.info("edges now route lanes", lanes=sorted(second.coloured), base=second.colour)
        await self._edges_chose(first.colour)
        if self.deployed.base != base and "" in self._drained(self._unused_since):
            self._to(base_taken(self.deployed, base))
            await self._wait(ROUTERS, "take another base", sorted(base.lanes))
            colour = self.deployed.colour
            self._to(base_chosen(self.deployed, base))
            log.info("base has changed", promoted=sorted(base.lanes))
            await self._edges_chose(colour)
        retiring = ending(self.deployed, enabled | _promoted(self.deployed, base))
        for name in self._stopped_at.keys() - retiring:
            del self._stopped_at[name]
        for name in retiring:
            self._stopped_at.setdefault(name, loop.time())

    def _to(self, deployed: Deployed, at_once: bool = False) -> None:
        self.deployed = deployed
        self._publish(deployed, at_once)

    async def _edges_chose(self, before: str) -> None:
        """If edges colour base requests otherwise than `before`, wait for it: since then it is unused."""
        colour = self.deployed.colour
        if colour == before:
            return
        await self._wait(EDGES, "route base", [colour] if colour else [])
        self._unused_since[before] = asyncio.get_running_loop().time()
        self._unused_since.pop(colour, None)

    async def _wait(self, roles: frozenset[Role], what: str, lanes: list[str]) -> None:
        def concerned(_: Node, view: View) -> bool:
            return isinstance(view, NodeView) and view.node.role in roles

        late = await self._acknowledged(concerned, ACKNOWLEDGE_WAIT)
        said = {"roles": sorted(roles), "step": what}
        if late:
            log.warning("proxies are not in sync in time; going on without them", **said, nodes=late)
        else:
            log.info("proxies are in sync", **said, lanes=lanes)


def _promoted(deployed: Deployed, base: Base) -> dict[str, LaneMeaning]:
    """The lanes that are being promoted: they work until base has their instances."""
    if deployed.base == base:
        return {}
    return {name: lane for name, lane in deployed.known.items() if name in base.lanes}
