"""The rules across documents, checked on the result of a change as a whole.

Checking everything leaves no order of changes that could get around a rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType

from controlplane.model.definitions import AnyKind, Definitions, GivenSlots, Key, key_of
from controlplane.model.documents import Gateway, Lane, LaneGroup, Route
from controlplane.model.problems import DefinitionError, Problem
from controlplane.model.shares import by_route, overlapping_slots, with_slots, wrong_shares

Puts = Sequence[tuple[AnyKind, GivenSlots | None]]


def changed(before: Definitions, puts: Puts, deletes: Sequence[Key]) -> Definitions:
    """See Definitions.change."""
    gateways, routes = dict(before.gateways), dict(before.routes)
    applications, groups, lanes = dict(before.applications), dict(before.groups), dict(before.lanes)
    for key in deletes:
        if before.get(key) is None:
            raise DefinitionError(
                404, f"There is no {key}", [Problem("name", "does not exist", key.name, "list what there is")]
            )
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
    )
    touched = {key_of(document) for document, _ in puts}
    _refuse(409, _dangling(draft, set(deletes)))
    _refuse(422, _references(draft))
    shares = by_route(draft)
    _refuse(422, [*_modes(draft, touched), *_conditions(draft), *wrong_shares(draft, shares, touched)])
    given = {one.name: ranges for one, ranges in puts if isinstance(one, Lane) and ranges}
    _refuse(422, overlapping_slots(before, draft, shares, given))
    return with_slots(before, draft, shares, given)


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
    routes: dict[str, set[str]] = {}
    for gateway, name in now.routes:
        routes.setdefault(gateway, set()).add(name)
    for lane in now.lanes.values():
        group = now.groups.get(lane.group)
        if group is None:
            yield _unknown("group", "lane group", lane.group, now.groups, lane)
            continue
        known = routes.get(group.gateway, set())
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


def _modes(now: Definitions, touched: set[Key]) -> Iterable[Problem]:
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
    """Edges take the carriers of every gateway from what clients send: a rule on them would never be met."""
    names = {"baggage", *(gateway.carriers.header.lower() for gateway in now.gateways.values())}
    for lane in now.lanes.values():
        for index, condition in enumerate(lane.rule.conditions if lane.rule else ()):
            if condition.source == "header" and condition.name.lower() in names:
                yield Problem(
                    f"rule.conditions[{index}].name",
                    "is a carrier of lanes, which the edges set themselves",
                    condition.name,
                    "use a header of your own",
                    str(key_of(lane)),
                )
        sticky = lane.ratio.sticky if lane.ratio else None
        if sticky is not None and sticky.header is not None and sticky.header.lower() in names:
            yield Problem(
                "ratio.sticky.header",
                "is a carrier of lanes, which the edges set themselves",
                sticky.header,
                "use a header that tells users apart",
                str(key_of(lane)),
            )
