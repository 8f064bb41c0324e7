"""The routing plan of one service: which instances are base, and where each lane's requests go.

Clusters are per (service, applications, tag), not per lane: lanes with one tag share them, so that switching
a lane changes routes only and an instance that comes or goes changes endpoints only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.plan.base import BaseSet, base_set
from controlplane.plan.lanes import LaneMeaning
from controlplane.plan.upstream import DEFAULT, Upstream
from controlplane.registry.types import Instance, Protocol, Service

Promoted = Sequence[tuple[str, str]]
"""(application, promoted tag) of the applications of one service that have one."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """The tagged instances of a service that a lane may use. `strict`: the lane must not fall back to
    base.
    """

    applications: tuple[str, ...]
    tag: str
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """Where requests to one service go.

    `targets`: every target that a defined lane may need, with its instances, even if it has none.
    `addresses`: (address, port) of every instance, whatever its tag. `lanes`: the target of each lane that
    proxies know, by the lane's name; a lane that is not in it is served by base. `hosts`: further hosts by
    which callers mean it, some with a port. `versions`: the base of the service by the name of a meaning of
    base, while proxies go from one to another (`controlplane.plan.base`).
    """

    id: str
    name: str
    protocol: Protocol
    base: BaseSet
    targets: Mapping[Target, tuple[Instance, ...]]
    lanes: Mapping[str, Target]
    applications: tuple[str, ...]
    addresses: tuple[tuple[str, int], ...]
    former: tuple[tuple[str, int], ...]
    upstream: Upstream = DEFAULT
    hosts: tuple[str, ...] = ()
    closed: str = ""
    """An application of the service that may not be called by whoever is told of this plan."""
    versions: Mapping[str, BaseSet] = field(default_factory=dict[str, BaseSet])


def applications_of(service: Service, override: str | None) -> tuple[str, ...]:
    """The applications that a service belongs to, sorted."""
    if override is not None:
        return (override,)
    named = {instance.application or service.name for instance in service.instances}
    return tuple(sorted(named)) or (service.name,)


def protocol_of(service: Service) -> Protocol:
    """The protocol of a service: its own, else the one on which all of its instances agree that name any."""
    said = {i.protocol for i in service.instances if i.protocol is not Protocol.UNKNOWN}
    if service.protocol is Protocol.UNKNOWN and len(said) == 1:
        return next(iter(said))
    return service.protocol


def target_of(applications: tuple[str, ...], lane: LaneMeaning) -> Target | None:
    """The target of `lane` in a service of these applications; None if none of them is in the lane's
    group.
    """
    shared = tuple(a for a in applications if a in lane.applications)
    if not shared:
        return None
    return Target(shared, lane.tag, strict=all(a in lane.strict for a in shared))


def plan_service(
    service: Service,
    override: str | None,
    defined: Iterable[LaneMeaning],
    known: Iterable[LaneMeaning],
    upstream: Upstream = DEFAULT,
    promoted: Promoted = (),
    versions: Iterable[tuple[str, Promoted]] = (),
) -> ServicePlan:
    """The plan of `service`.

    `defined`: all lanes, also disabled ones, whose clusters are kept ready. `known`: those that proxies
    route. `promoted`: the tags that are base instead of the untagged instances; `versions`: the same by the
    name of each further meaning of base that proxies know.
    """
    applications = applications_of(service, override)
    protocol = protocol_of(service)
    if protocol is Protocol.TCP:  # passed as it is, never routed by lanes
        defined = known = promoted = versions = ()
    lanes: dict[str, Target] = {}
    wanted: set[Target] = set()
    for lane in known:
        target = target_of(applications, lane)
        if target is not None:
            lanes[lane.name] = target
            wanted.add(target)
    for lane in defined:
        target = target_of(applications, lane)
        if target is not None:
            wanted.add(target)
    targets: dict[Target, tuple[Instance, ...]] = {}
    for target in sorted(wanted):
        targets[target] = tuple(
            instance
            for instance in service.instances
            if instance.tag == target.tag
            and (override or instance.application or service.name) in target.applications
        )
    return ServicePlan(
        id=service.id,
        name=service.name,
        protocol=protocol,
        base=base_set(service, override, promoted),
        targets=targets,
        lanes=dict(sorted(lanes.items())),
        applications=applications,
        addresses=tuple(sorted((i.address, i.port) for i in service.instances)),
        former=service.former,
        upstream=upstream,
        hosts=service.hosts,
        versions={name: base_set(service, override, tags) for name, tags in versions},
    )
