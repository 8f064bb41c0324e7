"""What a lane means to the proxies: the part of a lane that routing needs, and where it applies."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from controlplane.model.definitions import Definitions


@dataclass(frozen=True, slots=True)
class LaneMeaning:
    """An enabled lane as routing sees it.

    strict: the applications of the group that must not fall back to base. order: all applications of the
    group, as it lists them.
    by_trace: the group's sidecars give the lane to calls that lost it, by the calls' traces.
    """

    name: str
    group: str
    tag: str
    applications: frozenset[str]
    strict: frozenset[str] = frozenset()
    inherit_tag: bool = True
    by_trace: bool = False
    header: str = "x-lane"
    baggage: str = "lane"
    order: tuple[str, ...] = ()

    def same_route(self, other: LaneMeaning) -> bool:
        """Whether a request that was coloured under one meaning is routed alike under the other."""
        return self.tag == other.tag and self.applications == other.applications

    def same_way(self, other: LaneMeaning) -> bool:
        """Whether a request is routed alike in both lanes at every hop, fallback included."""
        return self.same_route(other) and self.strict == other.strict

    def __hash__(self) -> int:
        return hash((self.name, self.tag))


def meaning_of(definitions: Definitions, name: str) -> LaneMeaning:
    """The meaning of the lane `name` as defined. Raises KeyError for an unknown lane."""
    lane = definitions.lanes[name]
    group = definitions.groups[lane.group]
    carriers = definitions.gateways[group.gateway].carriers
    if lane.fallback == "none":
        strict = frozenset(group.applications)
    elif lane.fallback == "base":
        strict = frozenset[str]()
    else:
        strict = frozenset(app for app, choice in lane.fallback.items() if choice == "none")
    return LaneMeaning(
        name=name,
        group=lane.group,
        tag=lane.tag,
        applications=frozenset(group.applications),
        strict=strict,
        inherit_tag=group.inherit_tag,
        by_trace=group.colour_by_trace,
        header=carriers.header.lower(),
        baggage=carriers.baggage,
        order=group.applications,
    )


def enabled_lanes(definitions: Definitions, resting: Collection[str] = frozenset()) -> dict[str, LaneMeaning]:
    """Every enabled lane by name, but those in `resting`, whose times do not let them be used now, and those
    that are promoted, whose rules and shares rest.
    """
    promoted = {group.promoted for group in definitions.groups.values()}
    return {
        name: meaning_of(definitions, name)
        for name, lane in definitions.lanes.items()
        if lane.enabled and name not in resting and name not in promoted
    }
