"""One instance in several registries: what each of them, and its pod, say of it is put together. Pure.

An application in a pod may be an endpoint of a Service and register itself in Nacos, with the same ip:port.
It has a tag in both if it has one in either: by an untagged registration, a canary would get the traffic of
base. Where two of them say different tags, the instance is refused in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from controlplane.registry.metadata import Conventions, MetadataError, read_address, read_tag
from controlplane.registry.source import RawInstance, RawService

Address = tuple[str, int]
Metadata = Mapping[str, str]


class Shared:
    """What is said of addresses, by source, and of pods."""

    def __init__(self, conventions: Conventions) -> None:
        self._conventions = conventions
        self._said: dict[Address, dict[str, dict[str, Metadata]]] = {}  # by source, by service
        self._pods: dict[str, Metadata] = {}
        self._services_at: dict[str, set[str]] = {}
        self._addresses: dict[str, frozenset[Address]] = {}

    def set(self, source: str, service_id: str, raw: RawService | None) -> set[str]:
        """A source says this of a service; None: it is gone. Returns the other services that it concerns."""
        said = {at: self._telling(one) for one in (raw.instances if raw else ()) if (at := _address(one))}
        before = self._addresses.get(service_id, frozenset())
        touched: set[str] = set()
        for at in before | said.keys():
            by_source = self._said.setdefault(at, {})
            by_service = by_source.setdefault(source, {})
            old, new = by_service.pop(service_id, None), said.get(at)
            if new is not None:
                by_service[service_id] = new
            if not by_service:
                del by_source[source]
            if not by_source:
                del self._said[at]
            if old != new:
                touched |= {id_ for other, ids in by_source.items() if other != source for id_ in ids}
        for address in {ip for ip, _ in before}:
            self._services_at[address].discard(service_id)
            if not self._services_at[address]:
                del self._services_at[address]
        for address, _ in said:
            self._services_at.setdefault(address, set()).add(service_id)
        self._addresses[service_id] = frozenset(said)
        if not said:
            del self._addresses[service_id]
        return touched - {service_id}

    def set_pod(self, address: str, metadata: Metadata | None) -> set[str]:
        """The pod at an IP address has this metadata. Returns the services that this concerns."""
        told = self._told(metadata) if metadata is not None else None
        if self._pods.get(address) == told:
            return set()
        if told is None:
            del self._pods[address]
        else:
            self._pods[address] = told
        return set(self._services_at.get(address, ()))

    def whole(self, source: str, raw: RawService) -> RawService:
        """The service, each instance with what other registries and its pod say of it."""
        instances = tuple(self._whole(source, one) for one in raw.instances)
        return raw if instances == raw.instances else replace(raw, instances=instances)

    def _whole(self, source: str, one: RawInstance) -> RawInstance:
        at = _address(one)
        if at is None or one.refused:
            return one
        others = [
            (f"in {other}", metadata)
            for other, services in sorted(self._said.get(at, {}).items())
            if other != source
            for _, metadata in sorted(services.items())
        ]
        if at[0] in self._pods:
            others.append(("its pod", self._pods[at[0]]))
        return put_together(one, source, others, self._conventions) if others else one

    def _telling(self, one: RawInstance) -> Metadata:
        return self._told(one.metadata)

    def _told(self, metadata: Metadata) -> Metadata:
        """The part of metadata that counts for other registrations, too."""
        c = self._conventions
        return {k: v for k, v in metadata.items() if c.tells_tag(k) or k in c.application_keys}


def put_together(
    one: RawInstance, source: str, others: Iterable[tuple[str, Metadata]], conventions: Conventions
) -> RawInstance:
    """The instance with the tag and the application that `others` say of it, as (who, metadata).

    Its own application counts. It is refused where two say different tags, or one says a tag that cannot be
    read.
    """
    metadata = dict(one.metadata)
    tag, by = None, source
    for who, said in ((f"in {source}", one.metadata), *others):
        try:
            other = read_tag(said, conventions.tag_keys, conventions.base_tags)[0]
        except MetadataError as error:
            return replace(one, refused=f"{who}: {error}")
        if other is None:
            metadata = {**said, **metadata}
        elif tag is None:
            tag, by = other, who
            # The tag of one counts against values of the others that mean base.
            metadata = {**said, **{k: v for k, v in metadata.items() if not conventions.tells_tag(k)}}
            metadata |= {k: v for k, v in one.metadata.items() if not conventions.tells_tag(k)}
        elif other != tag:
            return replace(
                one, refused=f"it has the tag {tag} ({by}) and the tag {other} ({who}); make them equal"
            )
        else:
            metadata = {**said, **metadata}
    return one if metadata == one.metadata else replace(one, metadata=MappingProxyType(metadata))


def _address(one: RawInstance) -> Address | None:
    try:
        return read_address(one.address), one.port
    except MetadataError:
        return None
