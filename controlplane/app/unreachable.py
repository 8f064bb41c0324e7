"""Lanes whose instances are registered and do not answer, as proxies have observed it.

A registry may take half a minute to notice that an instance is dead; base answers in its place at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.ip import authority
from controlplane.model.definitions import Definitions
from controlplane.model.kinds import Key
from controlplane.plan.planner import Plan
from controlplane.registry.types import Health
from controlplane.traffic.ejections import Ejected
from controlplane.traffic.figures import Seen, Traffic
from controlplane.translate.names import member_cluster, service_of_cluster

LEAST = 5
"""Fallbacks in a minute below which nothing is said: a single one may be a connection that broke."""
LEAST_SHARE = 0.01
"""The same, of the lane's requests to the service."""

Texts = dict[Key, tuple[str, ...]]


class Unreachable:
    """What is said of each lane; made anew for each slot of the traffic, for each plan, and when proxies have
    ejected others.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._last: tuple[object, Mapping[str, Ejected], Plan, Texts] | None = None

    def seen(self, plan: Plan) -> Mapping[tuple[str, str], Seen]:
        """By lane and service."""
        found = {of: Seen(figures) for of, figures in self._traffic.in_lanes().items()}
        for cluster, ejected in self._traffic.ejected().items():
            for lane, service in _lanes_of(cluster, plan):
                known = found.get((lane, service))
                found[lane, service] = Seen(known.figures if known is not None else None, ejected)
        return found

    def texts(self, plan: Plan, definitions: Definitions) -> Texts:
        """Sentences by lane. The same for as long as the same is seen."""
        counted, ejected = self._traffic.in_lanes(), self._traffic.ejected()
        last = self._last
        if last is None or last[0] is not counted or last[1] != ejected or last[2] is not plan:
            self._last = last = (counted, ejected, plan, _texts(self.seen(plan), plan, definitions))
        return last[3]


def _lanes_of(cluster: str, plan: Plan) -> list[tuple[str, str]]:
    """The lanes, each with the service, whose tagged instances are those of a cluster."""
    of = plan.services.get(service_of_cluster(cluster) or "")
    if of is None:
        return []
    target = next((one for one in of.targets if member_cluster(of.id, one) == cluster), None)
    return [(lane, of.id) for lane, one in of.lanes.items() if one == target] if target is not None else []


def _texts(seen: Mapping[tuple[str, str], Seen], plan: Plan, definitions: Definitions) -> Texts:
    found: Texts = {}
    for (name, service), one in sorted(seen.items(), key=lambda item: item[0]):
        lane, of = definitions.lanes.get(name), plan.services.get(service)
        target = of.lanes.get(name) if of is not None else None
        if lane is None or of is None or target is None:
            continue
        expected = [x for x in of.targets[target] if x.health is Health.HEALTHY or x.held]
        if text := _text(one, service, [authority(x.address, x.port) for x in expected]):
            key = Key("Lane", lane.group, name)
            found[key] = (*found.get(key, ()), text)
    return found


def _text(seen: Seen, service: str, expected: Sequence[str]) -> str:
    """expected: the registered instances that should answer."""
    figures, who = seen.figures, ", ".join(expected)
    if not expected:
        return ""
    if figures is not None and figures.fallbacks >= max(LEAST, LEAST_SHARE * figures.requests):
        return f"observed in the last minute: base answered for {service}, although {who} is registered"
    if seen.ejected.most:
        by = "1 proxy leaves" if seen.ejected.proxies == 1 else f"{seen.ejected.proxies} proxies leave"
        number = f"{min(seen.ejected.most, len(expected))} of {len(expected)}"
        return f"observed now: {by} out {number} instances of the lane for {service} ({who}), which failed"
    return ""
