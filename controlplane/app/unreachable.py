"""Lanes whose instances are registered and do not answer, as proxies have observed it.

A registry may take half a minute to notice that an instance is dead; base answers in its place at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.ip import authority
from controlplane.model.definitions import Definitions
from controlplane.model.kinds import Key
from controlplane.plan.planner import Plan
from controlplane.registry.types import Health
from controlplane.traffic.figures import Figures, Traffic

LEAST = 5
"""Fallbacks in a minute below which nothing is said: a single one may be a connection that broke."""
LEAST_SHARE = 0.01
"""The same, of the lane's requests to the service."""

Texts = dict[Key, tuple[str, ...]]


class Unreachable:
    """What is said of each lane; made anew for each slot of the traffic, and for each plan."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._last: tuple[Mapping[tuple[str, str], Figures], Plan, Texts] | None = None

    def texts(self, plan: Plan, definitions: Definitions) -> Texts:
        """Sentences by lane. The same for as long as the same services fall back."""
        counted = self._traffic.in_lanes()
        if self._last is None or self._last[0] is not counted or self._last[1] is not plan:
            self._last = (counted, plan, _texts(counted, plan, definitions))
        return self._last[2]


def _texts(counted: Mapping[tuple[str, str], Figures], plan: Plan, definitions: Definitions) -> Texts:
    found: Texts = {}
    for (name, service), figures in sorted(counted.items()):
        if figures.fallbacks < max(LEAST, LEAST_SHARE * figures.requests):
            continue
        lane, of = definitions.lanes.get(name), plan.services.get(service)
        target = of.lanes.get(name) if of is not None else None
        if lane is None or of is None or target is None:
            continue
        expected = [one for one in of.targets[target] if one.health is Health.HEALTHY or one.held]
        if not expected:
            continue
        who = ", ".join(authority(one.address, one.port) for one in expected)
        text = f"observed in the last minute: base answered for {service}, although {who} is registered"
        key = Key("Lane", lane.group, name)
        found[key] = (*found.get(key, ()), text)
    return found
