"""In which order proxies learn of lanes: sidecars before edges when a lane begins, edges first when it ends.

Pure: a step from what is deployed towards what is wanted. The shell that publishes, waits for
acknowledgements and for the drain is `controlplane.snapshot.rollout`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from controlplane.model.definitions import Definitions
from controlplane.plan.base import Base, promoted_base
from controlplane.plan.lanes import LaneMeaning, enabled_lanes


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is deployed. `known`: the lanes that every proxy routes. `coloured`: the lanes that edges may
    choose.

    `base`: what base means to requests without a colour. `versions`: further meanings that proxies know by
    their names. `colour`: the name in `versions` with which edges colour base requests, which they then route
    by it; "" where they colour none.
    """

    known: Mapping[str, LaneMeaning] = field(default_factory=dict[str, LaneMeaning])
    coloured: frozenset[str] = frozenset()
    base: Base = field(default_factory=Base)
    versions: Mapping[str, Base] = field(default_factory=dict[str, Base])
    colour: str = ""

    def edges(self) -> tuple[frozenset[str], str]:
        """What edges do of it."""
        return self.coloured, self.colour


def settled(definitions: Definitions, resting: Collection[str] = frozenset()) -> Deployed:
    """What is deployed once the definitions are rolled out. `resting`: see `enabled_lanes`."""
    known = enabled_lanes(definitions, resting)
    return Deployed(known, frozenset(known), promoted_base(definitions))


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
    return replace(deployed, known=known, coloured=coloured)


def second_step(deployed: Deployed, wanted: Mapping[str, LaneMeaning]) -> Deployed:
    """What may be published once the sidecars have acknowledged the first step: edges choose the new
    lanes.
    """
    ready = {n for n, lane in wanted.items() if n in deployed.known and lane.same_route(deployed.known[n])}
    return replace(deployed, coloured=frozenset(ready))


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


def base_known(deployed: Deployed, base: Base, drained: Collection[str]) -> Deployed:
    """Proxies learn the wanted meaning of base by its name. Names in `drained`, which no request carries any
    more, are forgotten.
    """
    versions = {n: b for n, b in deployed.versions.items() if n == deployed.colour or n not in drained}
    if base != deployed.base:
        versions[base.name] = base
    return deployed if versions == deployed.versions else replace(deployed, versions=versions)


def base_chosen(deployed: Deployed, base: Base) -> Deployed:
    """Edges route base requests by the wanted meaning, once all proxies have acknowledged `base_known`.

    They colour them until requests without a colour have the same meaning.
    """
    return replace(deployed, colour="" if base == deployed.base else base.name)


def base_taken(deployed: Deployed, base: Base) -> Deployed:
    """Requests without a colour have the wanted meaning: no edge has sent one for a whole drain. Afterwards,
    edges colour base requests no more (`base_chosen`).
    """
    assert deployed.base == base or deployed.colour == base.name
    return replace(deployed, base=base)
