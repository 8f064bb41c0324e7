"""What is likely to be a mistake, though no rule forbids it: warnings on definitions and services."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from controlplane.model.definitions import Definitions
from controlplane.model.kinds import Key
from controlplane.plan.callers import callers, gateway_caller
from controlplane.plan.hours import Hours
from controlplane.plan.inheritance import ended_inheritance
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.naming import unanswered
from controlplane.plan.overlaps import Overlaps
from controlplane.plan.planner import overrides
from controlplane.plan.services import applications_of, protocol_of
from controlplane.registry.types import Protocol, Service, Services


@dataclass(frozen=True, slots=True)
class Warnings:
    """Sentences, by definition and by the canonical id of a service."""

    definitions: Mapping[Key, tuple[str, ...]] = field(default_factory=dict[Key, tuple[str, ...]])
    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def of(self, key: Key) -> tuple[str, ...]:
        """The warnings on one definition."""
        return self.definitions.get(key, ())


class Warner:
    """Finds all warnings. What a change does not concern is not looked at again. pause: called every few
    milliseconds of looking, so that others can go first.
    """

    def __init__(self, pause: Callable[[], None] = lambda: None) -> None:
        self._overlaps = Overlaps(pause)

    @property
    def searches(self) -> int:
        """Searches for a request that the last call made."""
        return self._overlaps.searches

    def warnings(
        self, definitions: Definitions, services: Services, resolve: Callable[[str], str], at: float
    ) -> Warnings:
        """All warnings. `resolve` turns the name of a service into its id, or raises LookupError. at: the
        time of now, in seconds since the epoch.
        """
        hours = Hours.of(definitions, at)
        found: dict[Key, list[str]] = {}
        for key, text in unanswered(definitions, services, resolve):
            found.setdefault(key, []).append(text)
        lanes = enabled_lanes(definitions, hours.over())
        for name, texts in ended_inheritance(lanes, hours).items():
            found.setdefault(Key("Lane", lanes[name].group, name), []).extend(texts)
        of_services = _of_base(definitions, services, resolve, found)
        for key, text in self._overlaps.told(definitions, hours):
            found.setdefault(key, []).append(text)
        return Warnings(
            {key: tuple(texts) for key, texts in found.items()},
            {name: tuple(texts) for name, texts in of_services.items()},
        )


def warnings(
    definitions: Definitions, services: Services, resolve: Callable[[str], str], at: float
) -> Warnings:
    """All warnings, for one question alone."""
    return Warner().warnings(definitions, services, resolve, at)


def _of_base(
    definitions: Definitions,
    services: Services,
    resolve: Callable[[str], str],
    found: dict[Key, list[str]],
) -> dict[str, list[str]]:
    """Add to `found` what is wrong with base and health checks; and what that means for services."""
    without = {name: tags for name, one in services.items() if (tags := _without_base(one)) is not None}
    of_services: dict[str, list[str]] = {name: [_no_base(tags)] for name, tags in without.items()}
    for (gateway, name), route in sorted(definitions.routes.items()) if without else ():
        if route.called is None:  # it answers by itself
            continue
        try:
            service = resolve(route.called)
        except LookupError:
            continue
        if service in without:
            text = f"service {service} has no base instance: requests without a lane get 503"
            found.setdefault(Key("Route", gateway, name), []).append(text)
            of_services[service].append(f"route {name} of gateway {gateway} leads here")
    for (gateway, name), service, application in _closed_routes(definitions, services, resolve):
        text = (
            f"requests get 403: application {application} of service {service} does not name "
            f"{gateway_caller(gateway)} in callers"
        )
        found.setdefault(Key("Route", gateway, name), []).append(text)
    decided = overrides(definitions, resolve) if without else {}
    by_application: dict[str, list[str]] = {}
    for service in sorted(without):
        for application in applications_of(services[service], decided.get(service)):
            by_application.setdefault(application, []).append(service)
    for group in definitions.groups.values():
        for application in group.applications:
            for service in by_application.get(application, ()):
                text = (
                    f"service {service} of application {application} has no base instance: calls without a "
                    "lane, and lanes that fall back there, get 503"
                )
                found.setdefault(Key("LaneGroup", "", group.name), []).append(text)
    for application, service in _unchecked(definitions, services, resolve):
        text = (
            f"instances of {service} are not checked: a check by gRPC needs HTTP/2, and the registry does "
            "not say that they speak it; set protocol: grpc in their metadata, or check by path or tcp"
        )
        found.setdefault(Key("Application", "", application), []).append(text)
    return of_services


def _closed_routes(
    definitions: Definitions, services: Services, resolve: Callable[[str], str]
) -> Iterator[tuple[tuple[str, str], str, str]]:
    """Routes to services that their gateways may not call, the service, and an application that says so."""
    allowed = callers(definitions)
    if not allowed.allowed:
        return
    decided = overrides(definitions, resolve)
    for (gateway, name), route in sorted(definitions.routes.items()):
        try:
            service = resolve(route.service) if route.service is not None else ""
        except LookupError:
            continue
        if service not in services:
            continue
        closed = allowed.closed_to(gateway_caller(gateway))
        for application in applications_of(services[service], decided.get(service)):
            if application in closed:
                yield (gateway, name), service, application
                break


def _unchecked(
    definitions: Definitions, services: Services, resolve: Callable[[str], str]
) -> Iterator[tuple[str, str]]:
    """The pairs (application, service) for which a health check by gRPC is defined but not possible."""
    asking = {a.name for a in definitions.applications.values() if a.health_check and a.health_check.grpc}
    decided = overrides(definitions, resolve) if asking else {}
    for name, service in sorted(services.items()) if asking else ():
        if protocol_of(service) not in (Protocol.HTTP2, Protocol.GRPC):
            for application in asking.intersection(applications_of(service, decided.get(name))):
                yield application, name


def _without_base(service: Service) -> tuple[str, ...] | None:
    """The tags of a service all of whose instances have one; None if it has a base, or no instances."""
    if service.protocol is Protocol.TCP or not service.instances:
        return None
    tags = {instance.tag for instance in service.instances}
    return None if None in tags else tuple(sorted(tag for tag in tags if tag is not None))


def _no_base(tags: tuple[str, ...]) -> str:
    return (
        f"no instance is base: all have a tag ({', '.join(tags[:5])}), and calls without a lane get 503; if "
        "one of these means base, name it in base_tags"
    )
