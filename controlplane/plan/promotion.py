"""What stands behind a promotion: the instances of a lane's group, their versions, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from controlplane.ip import authority
from controlplane.model.definitions import Definitions
from controlplane.model.documents import Lane
from controlplane.plan.planner import Resolve, overrides
from controlplane.plan.services import applications_of
from controlplane.registry.types import Health, Instance, Protocol, Services

Action = Literal["promote", "finish", "rollback"]
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Member:
    """An instance of a service. `version` is "" where its metadata says none; `held`: its source has lost it,
    or cannot be reached.
    """

    address: str
    version: str
    healthy: bool
    held: bool


@dataclass(frozen=True, slots=True)
class ServiceVersions:
    """The tagged and the untagged instances of a service in one application.

    missing: sentences on what the action needs and does not find there.
    """

    application: str
    service: str
    tagged: tuple[Member, ...]
    base: tuple[Member, ...]
    missing: tuple[str, ...]


def versions(
    definitions: Definitions,
    services: Services,
    resolve: Resolve,
    lane: Lane,
    action: Action,
    version_key: str = "version",
) -> list[tuple[str, list[ServiceVersions]]]:
    """The services of each application of the lane's group, in the group's order, by canonical id."""
    decided = overrides(definitions, resolve)
    found: dict[str, list[ServiceVersions]] = {
        application: [] for application in definitions.groups[lane.group].applications
    }
    for name, service in sorted(services.items()):
        override = decided.get(name)
        for application in applications_of(service, override):
            if application not in found or service.protocol is Protocol.TCP:
                continue
            own = [
                one
                for one in service.instances
                if (override or one.application or service.name) == application
            ]
            tagged = tuple(_member(one, version_key) for one in own if one.tag == lane.tag)
            base = tuple(_member(one, version_key) for one in own if one.tag is None)
            missing = tuple(_missing(action, lane.tag, tagged, base, version_key))
            found[application].append(ServiceVersions(application, name, tagged, base, missing))
    return list(found.items())


def _member(instance: Instance, version_key: str) -> Member:
    version = instance.metadata.get(version_key, "")
    healthy = instance.health is Health.HEALTHY
    return Member(authority(instance.address, instance.port), version, healthy, instance.held)


def _missing(
    action: Action, tag: str, tagged: tuple[Member, ...], base: tuple[Member, ...], version_key: str
) -> Iterator[str]:
    if not tagged:
        if action == "promote":
            yield f"no instance has tag {tag}: the untagged instances stay base"
        return
    if action == "promote":
        if not any(one.healthy or one.held for one in tagged):
            yield f"no instance with tag {tag} is healthy: the untagged instances serve until one is"
        return
    if not any(one.healthy and not one.held for one in base):
        said = "is healthy" if base else "exists"
        yield f"no untagged instance {said}: " + (
            "requests would get 503" if action == "finish" else "requests may get 503"
        )
    if action == "finish":
        if any(not one.version for one in tagged):
            yield f"{_some(one for one in tagged if not one.version)} with tag {tag} say no {version_key}"
        promoted = {one.version for one in tagged if one.version}
        for version in sorted({one.version for one in base} - promoted) if promoted else ():
            who = _some(one for one in base if one.version == version)
            said = f"{version_key} {version}" if version else f"no {version_key}"
            names = ", ".join(sorted(promoted))
            yield f"the untagged instances {who} say {said}, those with tag {tag} say {names}"


def _some(members: Iterator[Member]) -> str:
    names = [one.address for one in members]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
