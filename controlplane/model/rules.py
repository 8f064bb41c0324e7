"""The rules across documents, checked on the result of a change as a whole.

Checking everything leaves no order of changes that could get around a rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from types import MappingProxyType

from controlplane.model import slots as slot_tables
from controlplane.model.definitions import AnyKind, Definitions, GivenSlots, Key, key_of
from controlplane.model.documents import Gateway, Lane, LaneGroup, Route, Sticky
from controlplane.model.fields import hundredths
from controlplane.model.problems import DefinitionError, Problem

Puts = Sequence[tuple[AnyKind, GivenSlots | None]]


def changed(before: Definitions, puts: Puts, deletes: Sequence[Key]) -> Definitions:
    """See Definitions.change."""
    gateways, routes = dict(before.gateways), dict(before.routes)
    applications, groups, lanes = dict(before.applications), dict(before.groups), dict(before.lanes)
    for key in deletes:
        if before.get(key) is None:
            raise DefinitionError(404, f"There is no {key}", [Problem("name", "does not exist", key.name)])
        if key.kind == "Gateway":
            del gateways[key.name]
            routes = {one: route for one, route in routes.items() if one[0] != key.name}
        elif key.kind == "Route":
            routes.pop((key.parent, key.name), None)
        elif key.kind == "Application":
            del applications[key.name]
        elif key.kind == "LaneGroup":
            del groups[key.name]
            lanes = {name: lane for name, lane in lanes.items() if lane.group != key.name}
        else:
            lanes.pop(key.name, None)
    conflicts: list[Problem] = []
    for document, _ in puts:
        label = str(key_of(document))
        if isinstance(document, Gateway):
            gateways[document.name] = document
        elif isinstance(document, Route):
            routes[document.gateway, document.name] = document
        elif isinstance(document, LaneGroup):
            conflicts += _moved_group(before, document, label)
            groups[document.name] = document
        elif isinstance(document, Lane):
            holder = lanes.get(document.name)
            if holder is not None and holder.group != document.group:
                conflicts.append(
                    Problem(
                        "name",
                        f"is the name of a lane of group {holder.group}; lane names are unique",
                        document.name,
                        "use another name",
                        label,
                    )
                )
            lanes[document.name] = document
        else:
            applications[document.name] = document
    if conflicts:
        raise DefinitionError(409, _title(conflicts), conflicts)
    draft = Definitions(
        MappingProxyType(gateways),
        MappingProxyType(routes),
        MappingProxyType(applications),
        MappingProxyType(groups),
        MappingProxyType(lanes),
        before.slots,
    )
    touched = {key_of(document) for document, _ in puts}
    _refuse(409, _dangling(draft, set(deletes)))
    _refuse(422, _references(draft))
    _refuse(422, [*_modes(before, draft, touched), *_conditions(draft), *_shares(draft, touched)])
    given = {one.name: ranges for one, ranges in puts if isinstance(one, Lane) and ranges}
    _refuse(422, _given_slots(before, draft, given))
    return _with_slots(draft, given)


def _refuse(status: int, problems: Iterable[Problem]) -> None:
    found = list(problems)
    if found:
        raise DefinitionError(status, _title(found), found)


def _title(problems: Sequence[Problem]) -> str:
    first = problems[0]
    return f"{first.document}: {first.field} {first.message}".replace(":  ", ": ")


def _moved_group(before: Definitions, group: LaneGroup, label: str) -> list[Problem]:
    """Colours under way would change their meaning at two gateways: only an empty group moves."""
    old = before.groups.get(group.name)
    if old is None or old.gateway == group.gateway:
        return []
    held = sorted(name for name, lane in before.lanes.items() if lane.group == group.name)
    if not held:
        return []
    message = f"is {old.gateway} and cannot change while the group has lanes ({_some(held)})"
    return [
        Problem("gateway", message, group.gateway, "delete its lanes first, or make another group", label)
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _dangling(now: Definitions, deletes: set[Key]) -> Iterable[Problem]:
    """What was deleted while something refers to it."""
    for key in sorted(deletes):
        if key.kind == "Gateway" and key.name not in now.gateways:
            users = sorted(name for name, group in now.groups.items() if group.gateway == key.name)
            if users:
                message = f"is the gateway of lane groups: {_some(users)}"
                yield Problem("name", message, key.name, "delete these groups first", str(key))
        if key.kind == "Route" and (key.parent, key.name) not in now.routes:
            users = sorted(
                lane.name
                for lane in now.lanes.values()
                if lane.group in now.groups
                and now.groups[lane.group].gateway == key.parent
                and key.name in _named_routes(lane)
            )
            if users:
                message = f"is named by lanes: {_some(users)}"
                yield Problem("name", message, key.name, "take it out of these lanes first", str(key))


def _named_routes(lane: Lane) -> set[str]:
    return set(lane.routes or ()) | set(lane.ratio.routes if lane.ratio else ())


def _references(now: Definitions) -> Iterable[Problem]:
    for route in now.routes.values():
        if route.gateway not in now.gateways:
            yield _unknown("gateway", "gateway", route.gateway, now.gateways, route)
    for group in now.groups.values():
        if group.gateway not in now.gateways:
            yield _unknown("gateway", "gateway", group.gateway, now.gateways, group)
    for lane in now.lanes.values():
        group = now.groups.get(lane.group)
        if group is None:
            yield _unknown("group", "lane group", lane.group, now.groups, lane)
            continue
        known = {name for gateway, name in now.routes if gateway == group.gateway}
        for index, name in enumerate(lane.routes or ()):
            if name not in known:
                yield _unknown(f"routes[{index}]", f"route of gateway {group.gateway}", name, known, lane)
        for name in lane.ratio.routes if lane.ratio else ():
            if name not in known:
                yield _unknown(f"ratio.routes.{name}", f"route of gateway {group.gateway}", name, known, lane)
        for name in lane.fallback if isinstance(lane.fallback, dict) else ():
            if name not in group.applications:
                what = f"application of group {group.name}"
                yield _unknown(f"fallback.{name}", what, name, group.applications, lane)


def _unknown(field: str, what: str, name: str, known: Iterable[str], document: AnyKind) -> Problem:
    names = sorted(known)
    remedy = f"known: {_some(names)}" if names else f"create the {what} first"
    return Problem(field, f"is not a known {what}", name, remedy, str(key_of(document)))


def _modes(before: Definitions, now: Definitions, touched: set[Key]) -> Iterable[Problem]:
    """All lanes of a group have one mode; a lane that stands as it stood has it right."""
    by_group: dict[str, list[Lane]] = {}
    for lane in now.lanes.values():
        by_group.setdefault(lane.group, []).append(lane)
    for group, lanes in by_group.items():
        if len({lane.mode for lane in lanes}) == 1:
            continue
        standing = [lane for lane in lanes if key_of(lane) not in touched]
        # Where all are new, the first by name speaks for the group, whatever the order of the documents.
        model = (standing or sorted(lanes, key=lambda lane: lane.name))[0]
        for lane in lanes:
            if lane.mode != model.mode:
                given, wanted = ("rule", "ratio") if lane.mode == "content" else ("ratio", "rule")
                yield Problem(
                    given,
                    f"makes it a {lane.mode} lane, but group {group} is in {model.mode} mode, as its lane "
                    f"{model.name} is",
                    lane.mode,
                    f"give it a {wanted}, or put it into another group",
                    str(key_of(lane)),
                )


def _conditions(now: Definitions) -> Iterable[Problem]:
    """The edge takes the carriers out of what clients send: a rule on them would never be met."""
    for lane in now.lanes.values():
        carriers = now.gateways[now.groups[lane.group].gateway].carriers
        names = {carriers.header.lower(), "baggage"}
        for index, condition in enumerate(lane.rule.conditions if lane.rule else ()):
            if condition.source == "header" and condition.name.lower() in names:
                yield Problem(
                    f"rule.conditions[{index}].name",
                    "is a carrier of the lane, which the edge sets itself",
                    condition.name,
                    "use a header of your own",
                    str(key_of(lane)),
                )
        sticky = lane.ratio.sticky if lane.ratio else None
        if sticky is not None and sticky.header is not None and sticky.header.lower() in names:
            yield Problem(
                "ratio.sticky.header",
                "is a carrier of the lane, which the edge sets itself",
                sticky.header,
                "use a header that tells users apart",
                str(key_of(lane)),
            )


def ratio_lanes(now: Definitions, gateway: str, route: str) -> list[Lane]:
    """Ratio lanes of every group of `gateway` that take part on the base route, disabled too, by name."""
    return sorted(
        (
            lane
            for lane in now.lanes.values()
            if lane.ratio is not None
            and now.groups[lane.group].gateway == gateway
            and (lane.routes is None or route in lane.routes)
        ),
        key=lambda lane: lane.name,
    )


def _by_route(now: Definitions) -> dict[tuple[str, str], list[Lane]]:
    gateways = {now.groups[lane.group].gateway for lane in now.lanes.values() if lane.ratio is not None}
    return {key: ratio_lanes(now, *key) for key in sorted(now.routes) if key[0] in gateways}


def _shares(now: Definitions, touched: set[Key]) -> Iterable[Problem]:
    for (gateway, route), lanes in _by_route(now).items():
        shares = {
            lane.name: hundredths(lane.ratio.share(route)) for lane in lanes if lane.ratio and lane.enabled
        }
        total = sum(shares.values())
        if total > slot_tables.TOTAL:
            blamed = next((one for one in lanes if one.enabled and key_of(one) in touched), lanes[0])
            own = blamed.ratio is not None and route in blamed.ratio.routes
            said = ", ".join(f"{name} {slots / 100:g} %" for name, slots in shares.items() if slots)
            yield Problem(
                f"ratio.routes.{route}" if own else "ratio.percent",
                f"brings the shares on route {route} of gateway {gateway} to {total / 100:g} %: {said}",
                blamed.ratio.share(route) if blamed.ratio else None,
                f"lower them by {(total - slot_tables.TOTAL) / 100:g} in all, or disable one of the lanes",
                str(key_of(blamed)),
            )
        sticky = {
            lane.name: lane.ratio.sticky
            for lane in lanes
            if lane.ratio and lane.ratio.sticky and lane.enabled
        }
        if len({_sticky_text(one) for one in sticky.values()}) > 1:
            blamed = next((one for one in lanes if one.name in sticky and key_of(one) in touched), None)
            name = blamed.name if blamed else min(sticky)
            said = ", ".join(f"{lane} by {_sticky_text(one)}" for lane, one in sticky.items())
            yield Problem(
                "ratio.sticky",
                f"differs between lanes on route {route} of gateway {gateway} ({said}): "
                "a request can be hashed in one way only",
                _sticky_text(sticky[name]),
                "use the same key in all of them, or limit them to different routes",
                str(key_of(now.lanes[name])),
            )


def _sticky_text(sticky: Sticky) -> str:
    if sticky.header is not None:
        return f"header {sticky.header.lower()}"
    return f"cookie {sticky.cookie}" if sticky.cookie is not None else "client address"


def _given_slots(before: Definitions, now: Definitions, given: dict[str, GivenSlots]) -> Iterable[Problem]:
    """Slots that documents bring for new lanes must not overlap between them."""
    for (gateway, route), lanes in _by_route(now).items():
        held = {entry.lane for entry in before.slots.get((gateway, route), ())}
        brought = sorted(
            (start, end, lane.name)
            for lane in lanes
            if lane.name not in held
            for start, end in given.get(lane.name, {}).get(route, ())
        )
        for (_, end, one), (start, _, other) in itertools.pairwise(brought):
            if start < end and one != other:
                yield Problem(
                    f"status.slots.{route}",
                    f"overlaps with that of lane {one}",
                    start,
                    "leave status out, and slots are assigned anew",
                    str(key_of(now.lanes[other])),
                )


def _with_slots(now: Definitions, given: dict[str, GivenSlots]) -> Definitions:
    tables: dict[tuple[str, str], tuple[slot_tables.SlotRange, ...]] = {}
    for key, lanes in _by_route(now).items():
        names = {lane.name for lane in lanes}
        table = tuple(entry for entry in now.slots.get(key, ()))
        for lane in lanes:
            if ranges := given.get(lane.name, {}).get(key[1]):
                table = slot_tables.seeded(table, lane.name, ranges)
        shares = {
            lane.name: slot_tables.Share(hundredths(lane.ratio.share(key[1])), lane.enabled)
            for lane in lanes
            if lane.ratio
        }
        assert names == set(shares)
        if assigned := slot_tables.assign(table, shares):
            tables[key] = assigned
    return Definitions(
        now.gateways, now.routes, now.applications, now.groups, now.lanes, MappingProxyType(tables)
    )
