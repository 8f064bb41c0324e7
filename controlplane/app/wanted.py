"""The plan of the stored definitions, as if every change had been rolled out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from controlplane.app.times import LaneTimes
from controlplane.model.definitions import Definitions
from controlplane.plan.hours import Hours
from controlplane.plan.planner import Plan, Planner
from controlplane.plan.rollout import settled
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Services


class Wanted:
    """definitions, services: asked again each time. names: those of these services."""

    def __init__(
        self,
        definitions: Callable[[], Definitions],
        services: Callable[[], Services],
        names: ServiceNames,
        times: LaneTimes,
    ) -> None:
        self._definitions = definitions
        self._services = services
        self._names = names
        self._times = times
        self._kept: tuple[Definitions, Services, frozenset[str], Plan] | None = None

    def plan(self) -> Plan:
        """With the lanes that are open now."""
        definitions, services = self._definitions(), self._services()
        resting, kept = self._times.resting, self._kept
        if kept is None or kept[0] is not definitions or kept[1] is not services or kept[2] != resting:
            deployed = settled(definitions, resting)
            plan = Planner().plan(definitions, deployed, services, self._names.resolve)
            kept = self._kept = (definitions, services, resting, plan)
        return kept[3]

    async def plan_at(self, at: float) -> Plan:
        """With the lanes that are open `at` seconds since the epoch."""
        definitions, services = self._definitions(), self._services()
        resolve = ServiceNames(services).resolve  # of these services, whatever changes meanwhile
        deployed = settled(definitions, Hours.of(definitions, at).closed(at))
        return await asyncio.to_thread(Planner().plan, definitions, deployed, services, resolve)
