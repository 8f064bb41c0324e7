"""In which order proxies learn of lanes: sidecars before edges when a lane begins, edges first when it ends.

Pure: a step from what is deployed towards what is wanted. The shell that publishes, waits for
acknowledgements and for the drain is `controlplane.snapshot.rollout`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from controlplane.plan.lanes import LaneMeaning


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is deployed. `known`: the lanes that every proxy routes. `coloured`: the lanes that edges may
    choose.
    """

    known: Mapping[str, LaneMeaning] = field(default_factory=dict[str, LaneMeaning])
    coloured: frozenset[str] = frozenset()


def first_step(deployed: Deployed, wanted: Mapping[str, LaneMeaning], drained: Collection[str]) -> Deployed:
    """What may be published at once, as a step from `Deployed` towards the wanted lanes.

    New lanes become known. Edges no longer choose lanes that end or change their route. Lanes in `drained`,
    whose colour no request carries any more, get their new meaning or are removed.
    """
    coloured = frozenset(
        name for name in deployed.coloured if name in wanted and wanted[name].same_route(deployed.known[name])
    )
    known: dict[str, LaneMeaning] = {}
    for name in sorted({*deployed.known, *wanted}):
        now, then = deployed.known.get(name), wanted.get(name)
        if now is None or (then is not None and (now.same_route(then) or name in drained)):
            assert then is not None
            known[name] = then
        elif name not in drained or then is not None:
            known[name] = now
    return Deployed(known, coloured)


def second_step(deployed: Deployed, wanted: Mapping[str, LaneMeaning]) -> Deployed:
    """What may be published once the sidecars have acknowledged the first step: edges choose the new
    lanes.
    """
    ready = {n for n, lane in wanted.items() if n in deployed.known and lane.same_route(deployed.known[n])}
    return Deployed(deployed.known, frozenset(ready))


def stops_lanes(before: Deployed, after: Deployed) -> bool:
    """Whether a lane that was in use before is not in use any more, at all proxies or at edges."""
    return not (before.coloured <= after.coloured and before.known.keys() <= after.known.keys())


def ending(deployed: Deployed, wanted: Mapping[str, LaneMeaning]) -> frozenset[str]:
    """The lanes that proxies still know, but that must end or change their route after a drain."""
    return frozenset(
        name
        for name, lane in deployed.known.items()
        if name not in wanted or not wanted[name].same_route(lane)
    )
