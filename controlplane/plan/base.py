"""What base means: for applications of a group with a promoted lane, the instances with the lane's tag.

While proxies go from one meaning of base to another, edges colour base requests with a value that names the
new one, and sidecars know it as they know a lane. So a request meets one meaning of base from end to end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from controlplane.model.definitions import Definitions
from controlplane.registry.types import Health, Instance, Service

PREFIX = "Base"
"""Begins the value that names a meaning of base. Names of lanes have no capitals."""
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class BaseSet:
    """The base instances of a service. `spare` serve where none of `instances` can be reached."""

    instances: tuple[Instance, ...] = ()
    spare: tuple[Instance, ...] = ()


@dataclass(frozen=True, slots=True)
class Base:
    """A meaning of base: the promoted tag by application, and the lanes that are promoted.

    An application without a tag has its untagged instances as base. `name` is the value that edges colour
    base requests with; the same meaning has the same name in every control plane.
    """

    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType(dict[str, str]()))
    lanes: frozenset[str] = frozenset()
    name: str = PREFIX

    @classmethod
    def of(cls, tags: Mapping[str, str], lanes: Iterable[str]) -> Base:
        """The meaning in which instances with the tags are base."""
        named = frozenset(lanes)
        if not tags:
            return cls(lanes=named)
        text = "\n".join(f"{application} {tag}" for application, tag in sorted(tags.items()))
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        shown = ".".join(sorted(named))[:_SHOWN]
        return cls(MappingProxyType(dict(tags)), named, f"{PREFIX}.{shown}-{digest}")

    def __hash__(self) -> int:
        return hash(self.name)

    def within(self, applications: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """(application, promoted tag) of those of `applications` that have one."""
        return tuple((a, self.tags[a]) for a in applications if a in self.tags)


def promoted_base(definitions: Definitions) -> Base:
    """What base means by the definitions."""
    tags: dict[str, str] = {}
    lanes: list[str] = []
    for _, group in sorted(definitions.groups.items()):
        lane = definitions.lanes.get(group.promoted or "")
        if lane is not None:
            lanes.append(lane.name)
            tags.update(dict.fromkeys(group.applications, lane.tag))
    return Base.of(tags, lanes)


def names_base(value: str) -> bool:
    """Whether a request's colour names a meaning of base instead of a lane."""
    return value == PREFIX or value.startswith(f"{PREFIX}.")


def reachable(instance: Instance) -> bool:
    """Whether the registry lets an instance have requests. One that is held counts as healthy."""
    return instance.health is Health.HEALTHY or instance.held


def base_set(service: Service, override: str | None, promoted: Iterable[tuple[str, str]]) -> BaseSet:
    """The base of a service in whose applications these tags are promoted: (application, tag).

    `override`: the application of all its instances, where a definition says so.
    """
    tags = dict(promoted)
    if not tags:
        return BaseSet(tuple(i for i in service.instances if i.tag is None))

    def promoted_in(instance: Instance) -> str | None:
        application = override or instance.application or service.name
        return application if instance.tag is not None and instance.tag == tags.get(application) else None

    served = {promoted_in(i) for i in service.instances if reachable(i)}
    first: list[Instance] = []
    spare: list[Instance] = []
    for instance in service.instances:
        if instance.tag is None:
            application = override or instance.application or service.name
            (spare if application in served else first).append(instance)
        elif promoted_in(instance) is not None:
            first.append(instance)
    return BaseSet(tuple(first), tuple(spare))
