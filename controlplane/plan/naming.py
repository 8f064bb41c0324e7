"""Names in definitions that nothing answers to, and lanes that nothing but base would serve."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Lane, LaneGroup
from controlplane.model.kinds import Key
from controlplane.model.mistakes import nearest
from controlplane.plan.callers import gateway_caller
from controlplane.plan.planner import overrides
from controlplane.plan.services import applications_of
from controlplane.registry.names import ServiceNameError
from controlplane.registry.types import Health, Protocol, Service, Services

SHOWN = 5
"""Names that one sentence lists."""
NEAREST_OF = 2_000
"""Names among which the nearest is looked for."""

Told = tuple[Key, str]


@dataclass(slots=True)
class _Live:
    """What the instances say: by application its services, and the tags with the health of the best one."""

    services: dict[str, list[Service]] = field(default_factory=dict[str, list[Service]])
    tags: dict[str, dict[str, bool]] = field(default_factory=dict[str, dict[str, bool]])

    @classmethod
    def of(cls, services: Services, decided: Mapping[str, str]) -> _Live:
        live = cls()
        for name, service in sorted(services.items()):
            override = decided.get(name)
            for application in applications_of(service, override):
                live.services.setdefault(application, []).append(service)
            if service.protocol is Protocol.TCP:  # never routed by lanes
                continue
            for one in service.instances:
                if one.tag is not None:
                    tags = live.tags.setdefault(override or one.application or service.name, {})
                    good = one.health is Health.HEALTHY or one.held
                    tags[one.tag] = tags.get(one.tag, False) or good
        return live


def unanswered(definitions: Definitions, services: Services, resolve: Callable[[str], str]) -> Iterator[Told]:
    """A sentence for each such name. Where no service is known at all, nothing is said."""
    if not services:
        return
    for (gateway, name), route in sorted(definitions.routes.items()):
        if problem := _unresolved(route.service, resolve, ": requests of this route get 503"):
            yield Key("Route", gateway, name), problem
    for application in definitions.applications.values():
        for service in application.services:
            if problem := _unresolved(service, resolve):
                yield Key("Application", "", application.name), problem
    live = _Live.of(services, overrides(definitions, resolve))
    yield from _callers(definitions, live)
    for group in definitions.groups.values():
        for application in group.applications:
            if not live.services.get(application):
                hint = _hint(application, (a for a in live.services if a not in group.applications))
                text = f"no service belongs to application {application}{hint}"
                yield Key("LaneGroup", "", group.name), text
    for lane in definitions.lanes.values():
        text = _tag(lane, definitions.groups[lane.group], live)
        if text:
            yield Key("Lane", lane.group, lane.name), text
    for group in definitions.groups.values():
        for text in _said_of_metadata(group, live):
            yield Key("LaneGroup", "", group.name), text


def _callers(definitions: Definitions, live: _Live) -> Iterator[Told]:
    """Names in `callers` that nobody has who is defined or registered."""
    listed = [one for one in definitions.applications.values() if one.callers]
    if not listed:
        return
    known = {*live.services, *definitions.applications}
    known |= {gateway_caller(gateway) for gateway in definitions.gateways}
    for application in listed:
        unknown = [one for one in application.callers or () if one not in known]
        for caller in unknown[:SHOWN]:
            kind = "gateway" if caller.startswith(gateway_caller("")) else "application"
            same = {one for one in known if one.startswith(gateway_caller("")) == (kind == "gateway")}
            hint = _hint(caller, same - set(application.callers or ()))
            text = f"caller {caller} is no {kind} that is defined or has a service{hint}"
            yield Key("Application", "", application.name), text
        if len(unknown) > SHOWN:
            text = f"{len(unknown) - SHOWN} more callers are not defined and have no service"
            yield Key("Application", "", application.name), text


def _unresolved(service: str | None, resolve: Callable[[str], str], follows: str = "") -> str:
    """What is wrong with the name, what `follows` from it, and what may be meant: "" if nothing is wrong."""
    try:
        if service is not None:
            resolve(service)
    except ServiceNameError as error:
        return f"{error.problem}{follows}" + (f"; {error.remedy}" if error.remedy else "")
    return ""


def _hint(name: str, known: Iterable[str]) -> str:
    near = nearest(name, sorted(known)[:NEAREST_OF])
    return f"; did you mean {near}?" if near else ""


def _tag(lane: Lane, group: LaneGroup, live: _Live) -> str:
    """What is wrong with the lane's tag, "" if nothing is."""
    applications = [a for a in group.applications if live.services.get(a)]
    if not applications:
        return ""  # that is said of the group
    tags = [live.tags.get(application, {}) for application in applications]
    if any(found.get(lane.tag) for found in tags):
        return ""
    some = ", ".join(applications[:SHOWN]) + (" and others" if len(applications) > SHOWN else "")
    goes = "falls back to base everywhere" if lane.fallback != "none" else "is answered with 503"
    if any(lane.tag in found for found in tags):
        return f"no instance with tag {lane.tag} in {some} can be reached: each request of this lane {goes}"
    hint = _hint(lane.tag, (tag for found in tags for tag in found))
    return f"no instance of {some} has tag {lane.tag}: each request of this lane {goes}{hint}"


def _said_of_metadata(group: LaneGroup, live: _Live) -> Iterator[str]:
    """What the registry's reader says of instances of the group, such as two different tags of one."""
    said = dict.fromkeys(
        f"service {service.id}: {text}"
        for application in group.applications
        for service in live.services.get(application, ())
        for text in service.warnings
    )
    yield from list(said)[:SHOWN]
    if len(said) > SHOWN:
        yield f"{len(said) - SHOWN} more warnings on services of this group: see `laneway get services`"
