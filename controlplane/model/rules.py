"""The rules across documents, checked on the result of a change as a whole.

Because everything is checked, no order of changes can get around a rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.model.documents import Lane, LaneGroup
from controlplane.model.kinds import AnyKind, Key, key_of
from controlplane.model.problems import Problem
from controlplane.model.releases import Release
from controlplane.model.tables import Tables


def conflicts(before: Tables, now: Tables, touched: set[Key]) -> Iterable[Problem]:
    """Lanes with the same name, and groups that would move to another gateway with their lanes.

    `touched` are the documents of the change; a problem is reported for one of these.
    """
    yield from _promoted_twice(now, touched)
    holders: dict[str, list[Key]] = {}
    for key in now.table("Lane"):
        holders.setdefault(key.name, []).append(key)
    for key in sorted(touched):
        if key.kind == "Lane":
            # Of two new lanes, the later one gets the problem.
            others = [one for one in holders[key.name] if one != key and (one not in touched or one < key)]
            if others:
                message = f"is the name of a lane of group {others[0].parent}; lane names are unique"
                yield Problem("name", message, key.name, "use another name", str(key))
        elif key.kind == "LaneGroup":
            yield from _moved_group(before, now.groups[key.name], str(key))


def _promoted_twice(now: Tables, touched: set[Key]) -> Iterable[Problem]:
    """An application has one base: only one of its groups can have a promoted lane."""
    holders: dict[str, list[LaneGroup]] = {}
    for group in now.groups.values():
        for application in group.applications if group.promoted is not None else ():
            holders.setdefault(application, []).append(group)
    seen: set[str] = set()
    for application, groups in sorted(holders.items()):
        if len(groups) == 1:
            continue
        first, second = sorted(groups, key=lambda group: (key_of(group) in touched, group.name))[:2]
        if second.name in seen:
            continue
        seen.add(second.name)
        message = (
            f"cannot be promoted: lane {first.promoted} of group {first.name} is promoted, and application "
            f"{application} is in both groups"
        )
        remedy = f"finish or roll back the promotion of group {first.name} first"
        yield Problem("promoted", message, second.promoted, remedy, str(key_of(second)))


def _moved_group(before: Tables, group: LaneGroup, label: str) -> list[Problem]:
    """Only an empty group may move: requests in flight would change their meaning at both gateways."""
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


def under_way(before: Tables, now: Tables, deletes: set[Key]) -> Iterable[Problem]:
    """Changes of a release that is under way, and deletes of it or of its lane."""
    for key, old in before.table("Release").items():
        if not isinstance(old, Release) or not old.unfinished:
            continue
        if Key("LaneGroup", "", key.parent) in deletes:
            continue
        new = now.get(key)
        remedy = f"abort it first: laneway release abort {key.name}"
        if not isinstance(new, Release):
            yield Problem("name", "is under way", key.name, remedy, str(key))
        elif _plan(new) != _plan(old):
            yield Problem("steps", "cannot change while the release is under way", key.name, remedy, str(key))
        if Key("Lane", key.parent, old.lane) in deletes:
            message = f"has the release {key.name} under way"
            yield Problem("name", message, old.lane, remedy, f"Lane/{old.lane}")


def _plan(release: Release) -> Release:
    return release.model_copy(update={"progress": None})


def dangling(now: Tables, deletes: set[Key]) -> Iterable[Problem]:
    """References to documents that do not exist, and deleted documents that are still referred to."""
    for key in sorted(deletes):
        if key.kind == "Gateway" and key.name not in now.gateways:
            users = sorted(name for name, group in now.groups.items() if group.gateway == key.name)
            if users:
                message = f"is the gateway of lane groups: {_some(users)}"
                yield Problem("name", message, key.name, "delete these groups first", str(key))
        if key.kind == "Lane":
            holder = next((g for g in now.groups.values() if g.promoted == key.name), None)
            if holder is not None and now.get(Key("Lane", holder.name, key.name)) is None:
                message = f"is promoted in group {holder.name}"
                remedy = f"finish its promotion or roll it back first: laneway rollback {holder.name}"
                yield Problem("name", message, key.name, remedy, str(key))
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


def references(now: Tables) -> Iterable[Problem]:
    for route in now.routes.values():
        if route.gateway not in now.gateways:
            yield _unknown("gateway", "gateway", route.gateway, now.gateways, route)
    for group in now.groups.values():
        if group.gateway not in now.gateways:
            yield _unknown("gateway", "gateway", group.gateway, now.gateways, group)
        if group.promoted is not None and now.get(Key("Lane", group.name, group.promoted)) is None:
            lanes = [key.name for key in now.table("Lane") if key.parent == group.name]
            yield _unknown("promoted", f"lane of group {group.name}", group.promoted, lanes, group)
    for key, release in now.table("Release").items():
        if key.parent not in now.groups:
            yield _unknown("group", "lane group", key.parent, now.groups, release)
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


def modes(now: Tables, touched: set[Key]) -> Iterable[Problem]:
    """All lanes of a group have one mode; that of an unchanged lane counts."""
    by_group: dict[str, list[Lane]] = {}
    for lane in now.lanes.values():
        by_group.setdefault(lane.group, []).append(lane)
    for group, lanes in by_group.items():
        if len({lane.mode for lane in lanes}) == 1:
            continue
        standing = [lane for lane in lanes if key_of(lane) not in touched]
        # If all are new, the first by name sets the mode, whatever the order of the documents.
        model = (standing or sorted(lanes, key=lambda lane: lane.name))[0]
        for lane in lanes:
            if lane.mode != model.mode:
                given, wanted = ("rule", "ratio") if lane.mode == "content" else ("ratio", "rule")
                yield Problem(
                    given,
                    f"is not possible here: group {group} takes only {model.mode} lanes (set by lane "
                    f"{model.name})",
                    None,
                    f"give it a {wanted}, or put it into another group",
                    str(key_of(lane)),
                )


def conditions(now: Tables) -> Iterable[Problem]:
    """Edges remove the carriers of every gateway from requests, and set them themselves.

    So a rule on a carrier could never match, and a route that changed one would change the lane.
    """
    names = {"baggage", *(gateway.carriers.header.lower() for gateway in now.gateways.values())}
    for document, field, name, remedy in (*_read_headers(now), *_changed_headers(now)):
        if name.lower() in names:
            message = "is a carrier of lanes, which the edges set themselves"
            yield Problem(field, message, name, remedy, str(key_of(document)))


def _read_headers(now: Tables) -> Iterable[tuple[AnyKind, str, str, str]]:
    """Documents that read a header: the field and the name in it, and what to do instead."""
    remedy = "use a header of your own"
    for lane in now.lanes.values():
        for index, condition in enumerate(lane.rule.conditions if lane.rule else ()):
            if condition.source == "header" and condition.name:
                yield lane, f"rule.conditions[{index}].name", condition.name, remedy
        sticky = lane.ratio.sticky if lane.ratio else None
        if sticky is not None and sticky.header is not None:
            yield lane, "ratio.sticky.header", sticky.header, "use a header that tells users apart"
    for route in now.routes.values():
        for index, one in enumerate(route.match.headers or ()):
            yield route, f"match.headers[{index}].name", one.name, remedy


def _changed_headers(now: Tables) -> Iterable[tuple[AnyKind, str, str, str]]:
    """Routes that change a header of requests. Servers that follow CGI read `_` and `-` as one."""
    remedy = "use a header of your own"
    for route in now.routes.values():
        changes = route.headers.request if route.headers else None
        if changes is None:
            continue
        for field, names in (("set", changes.set), ("add", changes.add)):
            for name in names:
                yield route, f"headers.request.{field}.{name}", name.replace("_", "-"), remedy
        for index, name in enumerate(changes.remove):
            yield route, f"headers.request.remove[{index}]", name.replace("_", "-"), remedy
