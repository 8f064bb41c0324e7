"""Ratio lanes by base route: the sum of their shares, and the slots after a change."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from controlplane.model import slots
from controlplane.model.documents import Lane
from controlplane.model.fields import hundredths
from controlplane.model.kinds import Key, key_of
from controlplane.model.problems import Problem
from controlplane.model.sticky import USUAL
from controlplane.model.tables import GivenSlots, Tables
from controlplane.model.times import counts

ByRoute = Mapping[tuple[str, str], dict[str, slots.Share]]
"""By (gateway, base route): the shares of the ratio lanes that take part there, by name in order."""


def by_route(now: Tables) -> ByRoute:
    """The shares on each base route, of every group of its gateway; routes without any are left out.

    A lane that is disabled, or whose time is over, is not `enabled` there.
    """
    routes: dict[str, list[str]] = {}
    for gateway, name in sorted(now.routes):
        routes.setdefault(gateway, []).append(name)
    found: dict[tuple[str, str], dict[str, slots.Share]] = {}
    for name, lane in sorted(now.lanes.items()):
        if lane.ratio is None:
            continue
        gateway = now.groups[lane.group].gateway
        counted = counts(lane, now.at)
        usual = slots.Share(hundredths(lane.ratio.percent), counted)
        own = {
            route: slots.Share(hundredths(percent), counted) for route, percent in lane.ratio.routes.items()
        }
        for route in routes.get(gateway, ()) if lane.routes is None else lane.routes:
            found.setdefault((gateway, route), {})[name] = own.get(route, usual)
    return found


def wrong_shares(now: Tables, shares_by_route: ByRoute, touched: set[Key]) -> Iterable[Problem]:
    """Shares over 100 % in all, and lanes that would have to hash one request in two ways.

    The problem names a lane of `touched`, if one of these takes part.
    """
    stickies = {name: _sticky_text(lane) for name, lane in now.lanes.items() if lane.ratio}
    for (gateway, route), shares in shares_by_route.items():
        enabled = {name: share.slots for name, share in shares.items() if share.enabled and share.slots}
        total = sum(enabled.values())
        if total > slots.TOTAL:
            blamed = _blamed(now, enabled, touched)
            assert blamed.ratio is not None
            said = ", ".join(f"{name} {share / 100:g} %" for name, share in enabled.items())
            yield Problem(
                f"ratio.routes.{route}" if route in blamed.ratio.routes else "ratio.percent",
                f"brings the shares on route {route} of gateway {gateway} to {total / 100:g} %: {said}",
                blamed.ratio.share(route),
                f"reduce their total by {(total - slots.TOTAL) / 100:g} %, or disable one of the lanes",
                str(key_of(blamed)),
            )
        sticky = {name: stickies[name] for name in enabled if stickies[name]}
        if len(set(sticky.values())) > 1:
            blamed = _blamed(now, sticky, touched)
            said = ", ".join(f"{name} by {text}" for name, text in sticky.items())
            yield Problem(
                "ratio.sticky",
                f"differs between lanes on route {route} of gateway {gateway} ({said}): "
                "a request can be hashed in one way only",
                sticky[blamed.name],
                "use the same key with the same attributes in all of them, or limit them to different routes",
                str(key_of(blamed)),
            )


def _blamed(now: Tables, names: Iterable[str], touched: set[Key]) -> Lane:
    lanes = [now.lanes[name] for name in names]
    return next((lane for lane in lanes if key_of(lane) in touched), lanes[0])


def _sticky_text(lane: Lane) -> str:
    sticky = lane.ratio.sticky if lane.ratio else None
    if sticky is None:
        return ""
    if sticky.header is not None:
        return f"header {sticky.header.lower()}"
    if sticky.cookie is None:
        return "client address"
    attributes = f" ({sticky.set_cookie})" if sticky.set_cookie != USUAL.text else ""
    return f"cookie {sticky.cookie}{attributes}"


def overlapping_slots(
    before: Tables, now: Tables, shares_by_route: ByRoute, given: Mapping[str, GivenSlots]
) -> Iterable[Problem]:
    """The slots that documents give for new lanes must not overlap."""
    for (gateway, route), shares in shares_by_route.items() if given else ():
        held = {entry.lane for entry in before.slots.get((gateway, route), ())}
        brought = sorted(
            (start, end, name)
            for name in shares.keys() & given.keys() - held
            for start, end in given[name].get(route, ())
        )
        for (_, end, one), (start, _, other) in itertools.pairwise(brought):
            if start < end and one != other:
                yield Problem(
                    f"status.slots.{route}",
                    f"overlaps with that of lane {one}",
                    start,
                    "leave status out, then new slots are assigned",
                    str(key_of(now.lanes[other])),
                )


def slots_after(
    before: Tables, shares_by_route: ByRoute, given: Mapping[str, GivenSlots]
) -> Mapping[tuple[str, str], slots.Table]:
    """The slots of each base route, from the old table, the shares, and the slots that documents give."""
    old = by_route(before)
    tables: dict[tuple[str, str], slots.Table] = {}
    for gateway in sorted({gateway for gateway, _ in shares_by_route}):
        shares, was = _of(gateway, shares_by_route), _of(gateway, old)
        table = _of(gateway, before.slots)
        brought = {
            name: ranges
            for name, ranges in given.items()
            if any(name in wanted for wanted in shares.values())
        }
        # Assigning costs milliseconds: a change pays for the gateways whose shares it touches.
        if brought or shares != was:
            restored = dict(table)
            for name, ranges in sorted(brought.items()):
                for route in ranges.keys() & shares.keys():
                    if name in shares[route]:
                        restored[route] = slots.seeded(restored.get(route, ()), name, ranges[route])
            serving = {
                route: {name for name, share in wanted.items() if share.enabled}
                for route, wanted in was.items()
            }
            table = slots.assign(restored, shares, serving)
        tables.update({(gateway, route): ranges for route, ranges in table.items() if ranges})
    return MappingProxyType(tables)


def slots_aligned(now: Tables) -> tuple[Mapping[tuple[str, str], slots.Table], dict[tuple[str, str], int]]:
    """Tables in which one user is in one lane on all routes, and by route how many slots change their lane.

    Tables that an earlier version made for each route by itself are brought into line so, once.
    """
    shares_by_route = by_route(now)
    tables: dict[tuple[str, str], slots.Table] = {}
    moved: dict[tuple[str, str], int] = {}
    for gateway in sorted({gateway for gateway, _ in shares_by_route}):
        shares = _of(gateway, shares_by_route)
        old = _of(gateway, now.slots)
        for route, table in slots.aligned(old, shares).items():
            tables[gateway, route] = table
            enabled = {lane for lane, share in shares[route].items() if share.enabled}
            if number := slots.moved(old.get(route, ()), table, enabled):
                moved[gateway, route] = number
    return MappingProxyType(tables), moved


def slots_astray(now: Tables) -> dict[str, list[str]]:
    """Warnings by lane: where a user would be in the lane on one route and not on another."""
    found: dict[str, list[str]] = {}
    shares_by_route = by_route(now)
    for gateway in sorted({gateway for gateway, _ in shares_by_route}):
        astray = slots.apart(_of(gateway, now.slots), _of(gateway, shares_by_route))
        for lane, routes in astray.items():
            found[lane] = [
                f"{number / 100:g} % of the requests on route {route} are in this lane there, and not on "
                "every route where its share is as large or larger: other lanes left no room for their slots"
                for route, number in sorted(routes.items())
            ]
    return found


T = TypeVar("T")


def _of(gateway: str, values: Mapping[tuple[str, str], T]) -> dict[str, T]:
    """Of values by (gateway, base route), those of one gateway."""
    return {route: value for (owner, route), value in values.items() if owner == gateway}
