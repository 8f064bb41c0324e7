"""What all objects of the Gateway API mean together: routes of Laneway, and what status says. Pure.

"What cannot be said gets a condition, the rest goes on": of an HTTPRoute, single rules are dropped
(`PartiallyInvalid`), as the specification allows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.gatewayapi.attachment import (
    PROTOCOLS,
    allows,
    attach,
    is_meant,
    parent_of,
    permitted,
    unknown_kinds,
)
from controlplane.gatewayapi.objects import (
    CONTROLLER,
    PREFIX,
    Json,
    Name,
    Record,
    Said,
    Unsupported,
    World,
)
from controlplane.gatewayapi.rules import Body, translate
from controlplane.model.definitions import Key
from controlplane.model.documents import Route
from controlplane.model.parsing import parse_document
from controlplane.model.problems import DefinitionError

NAME_LIMIT = 63


@dataclass(slots=True)
class Parent:
    """What is said of one parentRef of an HTTPRoute."""

    reference: Json
    conditions: list[Said]


@dataclass(slots=True)
class ListenerSaid:
    name: str
    attached: int
    kinds: bool
    conditions: list[Said]


@dataclass(slots=True)
class GatewaySaid:
    """What is said of a Gateway. name: that of the gateway of Laneway, "" if there is none."""

    name: str
    conditions: list[Said]
    listeners: list[ListenerSaid]


@dataclass(slots=True)
class Judged:
    """routes: all that HTTPRoutes make. origins: the HTTPRoute and the number of the rule behind each."""

    routes: dict[Key, Route] = field(default_factory=dict[Key, Route])
    origins: dict[Key, tuple[Name, int]] = field(default_factory=dict[Key, tuple[Name, int]])
    parents: dict[Name, list[Parent]] = field(default_factory=dict[Name, list[Parent]])
    gateways: dict[Name, GatewaySaid] = field(default_factory=dict[Name, GatewaySaid])
    classes: list[Name] = field(default_factory=list[Name])


def judge(world: World, refused: Mapping[Key, str]) -> Judged:
    """refused: why routes that were made before could not be stored."""
    judged = Judged()
    judged.classes = [
        at for at, one in sorted(world.classes.items()) if one.spec.get("controllerName") == CONTROLLER
    ]
    classes = {name for _, name in judged.classes}
    taken: dict[str, Record] = {}
    for gateway in sorted(world.gateways.values(), key=_age):
        if gateway.spec.get("gatewayClassName") in classes:
            judged.gateways[gateway.at] = _gateway(gateway, world, taken)
    claimed: set[tuple[str, str, str]] = set()
    for route in sorted(world.routes.values(), key=_age):
        _route(route, world, judged, refused, claimed)
    return judged


def _age(one: Record) -> tuple[str, str, str]:
    """Where two define the same, the older one counts, then the first by name (`HTTPRouteRule`)."""
    return one.created, one.namespace, one.name


def _gateway(gateway: Record, world: World, taken: dict[str, Record]) -> GatewaySaid:
    wrong = ""
    if gateway.name not in world.known:
        wrong = f"Laneway has no gateway {gateway.name}: apply one, with its listeners."
    elif (other := taken.setdefault(gateway.name, gateway)) is not gateway:
        wrong = f"The gateway {gateway.name} of Laneway is that of the older Gateway {other}."
    listeners = [_listener(one, not wrong) for one in gateway.spec.get("listeners") or ()]
    if wrong:
        conditions = [Said("Accepted", False, "Invalid", wrong), Said("Programmed", False, "Invalid", wrong)]
        return GatewaySaid("", conditions, listeners)
    bad = [one.name for one in listeners if not all(_good(said) for said in one.conditions)]
    text = f"Not used: {', '.join(bad)}." if bad else ""
    accepted = Said("Accepted", len(bad) < len(listeners), "ListenersNotValid" if bad else "Accepted", text)
    programmed = "Programmed" if accepted.status else "Invalid"
    said = [accepted, Said("Programmed", accepted.status, programmed, text)]
    return GatewaySaid(gateway.name, said, listeners)


def _good(said: Said) -> bool:
    return said.status != (said.type == "Conflicted")


def _listener(one: Json, programmed: bool) -> ListenerSaid:
    supported = one["protocol"] in PROTOCOLS
    unknown = unknown_kinds(one)
    accepted = Said("Accepted", True, "Accepted")
    if not supported:
        text = f"Laneway attaches no routes to listeners of protocol {one['protocol']}."
        accepted = Said("Accepted", False, "UnsupportedProtocol", text)
    resolved = Said("ResolvedRefs", True, "ResolvedRefs")
    if unknown:
        text = f"Laneway knows no routes of kind {', '.join(unknown)}."
        resolved = Said("ResolvedRefs", False, "InvalidRouteKinds", text)
    works = supported and programmed
    conditions = [
        accepted,
        Said("Programmed", works, "Programmed" if works else "Invalid"),
        resolved,
        Said("Conflicted", False, "NoConflicts"),
    ]
    kinds = (one.get("allowedRoutes") or {}).get("kinds") or ()
    return ListenerSaid(one["name"], 0, supported and len(unknown) < max(1, len(kinds)), conditions)


def _route(
    route: Record,
    world: World,
    judged: Judged,
    refused: Mapping[Key, str],
    claimed: set[tuple[str, str, str]],
) -> None:
    hosts: dict[str, list[str]] = {}
    for reference in route.spec.get("parentRefs") or ():
        at = parent_of(reference, route)
        gateway = judged.gateways.get(at) if at is not None else None
        if at is None or gateway is None:
            continue  # it is another controller's
        parents = judged.parents.setdefault(route.at, [])
        _count(gateway, world.gateways[at], reference, route, world)
        if not gateway.name:
            parents.append(
                Parent(reference, [Said("Accepted", False, "Pending", gateway.conditions[0].message)])
            )
            continue
        found = attach(reference, route, world.gateways[at], world)
        if isinstance(found, Said):
            parents.append(Parent(reference, [found]))
            continue
        parents.append(Parent(reference, []))
        before = hosts.get(gateway.name)
        both = [*(before or ()), *(one for one in found if one not in (before or ()))]
        hosts[gateway.name] = [] if found == [] or before == [] else both
    if not hosts:
        for parent in judged.parents.get(route.at, ()):
            parent.conditions.append(_resolved(route, world)[1])
        return
    _rules(route, world, judged, refused, claimed, hosts)


def _count(said: GatewaySaid, gateway: Record, reference: Json, route: Record, world: World) -> None:
    """Neither hosts nor whether the route is accepted count for that (`ListenerStatus.attachedRoutes`)."""
    for listener, one in zip(said.listeners, gateway.spec.get("listeners") or (), strict=True):
        if is_meant(reference, one) and allows(one, route, gateway, world):
            listener.attached += 1


def _resolved(route: Record, world: World) -> tuple[dict[int, str | list[Body]], Said]:
    """What becomes of each rule: its bodies, or why it is dropped; and the condition ResolvedRefs."""

    def resolve(backend: Json) -> str | Said:
        return _backend(backend, route, world)

    found: dict[int, str | list[Body]] = {}
    unresolved: list[Said] = []
    for number, rule in enumerate(route.spec.get("rules") or [{}]):
        try:
            translated = translate(rule, resolve)
        except Unsupported as error:
            found[number] = str(error)
            continue
        found[number] = translated.bodies
        unresolved += translated.unresolved
    if not unresolved:
        return found, Said("ResolvedRefs", True, "ResolvedRefs")
    texts = dict.fromkeys(one.message for one in unresolved)
    return found, Said("ResolvedRefs", False, unresolved[0].reason, " ".join(texts))


def _backend(backend: Json, route: Record, world: World) -> str | Said:
    kind, name = backend.get("kind") or "Service", backend["name"]
    if (backend.get("group") or "", kind) != ("", "Service"):
        return Said("ResolvedRefs", False, "InvalidKind", f"Backend {name} is of kind {kind}, not a Service.")
    namespace = backend.get("namespace") or route.namespace
    if not permitted(route, namespace, name, world.grants.values()):
        text = f"No ReferenceGrant in namespace {namespace} lets the HTTPRoute lead to Service {name}."
        return Said("ResolvedRefs", False, "RefNotPermitted", text)
    port = backend.get("port")
    found = world.service(namespace, name, port) if port is not None else None
    if found is None:
        text = f"There is no Service {namespace}/{name} with port {port}."
        return Said("ResolvedRefs", False, "BackendNotFound", text)
    return found


def _rules(
    route: Record,
    world: World,
    judged: Judged,
    refused: Mapping[Key, str],
    claimed: set[tuple[str, str, str]],
    hosts: Mapping[str, list[str]],
) -> None:
    translated, resolved = _resolved(route, world)
    dropped: dict[int, str] = {}
    for number, bodies in translated.items():
        if isinstance(bodies, str):
            dropped[number] = bodies
            continue
        made: dict[Key, Route] = {}
        try:
            for gateway, named in hosts.items():
                for part, body in enumerate(_unclaimed(bodies, gateway, named, claimed)):
                    document = _document(route, gateway, named, number, part, body)
                    made[Key("Route", gateway, document.name)] = document
        except DefinitionError as error:
            dropped[number] = _why(error)
            continue
        for key, document in made.items():
            judged.routes[key] = document
            judged.origins[key] = (route.at, number)
            if key in refused:
                dropped[number] = refused[key]
    said = [_accepted(dropped, len(translated)), resolved]
    if dropped and said[0].status:
        said.append(Said("PartiallyInvalid", True, "UnsupportedValue", _text("Dropped Rule", dropped)))
    for parent in judged.parents[route.at]:
        if not parent.conditions:
            parent.conditions += said
        else:
            parent.conditions.append(resolved)


def _accepted(dropped: Mapping[int, str], rules: int) -> Said:
    if len(dropped) == rules:
        return Said("Accepted", False, "UnsupportedValue", _text("Rule", dropped))
    return Said("Accepted", True, "Accepted")


def _text(word: str, dropped: Mapping[int, str]) -> str:
    return "; ".join(f"{word} {number}: {why}" for number, why in sorted(dropped.items()))


def _why(error: DefinitionError) -> str:
    first = error.problems[0]
    return "; ".join(part for part in (f"{first.field} {first.message}", first.remedy) if part)


def _unclaimed(
    bodies: Iterable[Body], gateway: str, hosts: list[str], claimed: set[tuple[str, str, str]]
) -> list[Body]:
    """Without the matches that an older HTTPRoute, or an earlier rule, has for all of the hosts."""
    found: list[Body] = []
    for body in bodies:
        others = repr(sorted((name, value) for name, value in body["match"].items() if name != "paths"))
        paths: list[Any] = []
        for path in body["match"]["paths"]:
            wanted = {(gateway, host, f"{path} {others}") for host in hosts or ["*"]}
            if not wanted <= claimed:
                paths.append(path)
            claimed |= wanted
        if paths:
            found.append({**body, "match": {**body["match"], "paths": paths}})
    return found


def _document(route: Record, gateway: str, hosts: list[str], rule: int, part: int, body: Body) -> Route:
    match = {**body["match"], **({"hosts": hosts} if hosts else {})}
    if len(match["paths"]) == 1:
        match["path"] = match.pop("paths")[0]
    name = route_name(route.namespace, route.name, rule, part)
    made = parse_document(
        {"kind": "Route", "gateway": gateway, "name": name, **body, "match": match}
    ).document
    assert isinstance(made, Route)
    return made


def route_name(namespace: str, name: str, rule: int, part: int) -> str:
    """The name of the route that a rule makes: `httproute.NAMESPACE.NAME.RULE`, from 00. A rule with matches
    on different methods, headers or parameters makes several: `.00-01` is the second.
    """
    end = f".{rule:02d}" + (f"-{part:02d}" if part else "")
    whole = f"{PREFIX}{namespace}.{name}"
    if len(whole) + len(end) > NAME_LIMIT:
        short = hashlib.sha256(whole.encode()).hexdigest()[:8]
        whole = f"{whole[: NAME_LIMIT - len(end) - 9].rstrip('.-')}-{short}"
    return whole + end
