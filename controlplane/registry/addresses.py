"""Which services are registered at an ip:port, or were. Updated one service at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.registry.types import Instance

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Conflict:
    """One ip:port that is registered for several services. `services` are the others' ids, sorted."""

    address: str
    port: int
    services: tuple[str, ...]


class AddressIndex:
    """Services by the addresses of their live registrations, and of their held and former instances."""

    def __init__(self) -> None:
        self._live: dict[Address, set[str]] = {}
        self._live_of: dict[str, frozenset[Address]] = {}
        self._remembered: dict[Address, set[str]] = {}
        self._remembered_of: dict[str, frozenset[Address]] = {}

    def set(self, service_id: str, instances: Iterable[Instance]) -> set[str]:
        """Replace the addresses at which the service is registered.

        Returns the ids of other services that remember an address that was added or removed.
        """
        addresses = frozenset((i.address, i.port) for i in instances)
        changed = _replace(self._live, self._live_of, service_id, addresses)
        touched: set[str] = set()
        for address in changed:
            touched |= self._remembered.get(address, set())
        return touched - {service_id}

    def remember(self, service_id: str, addresses: frozenset[Address]) -> None:
        """Replace the addresses of the service's held and former instances, registered or not."""
        _replace(self._remembered, self._remembered_of, service_id, addresses)

    def elsewhere(self, address: Address, service_id: str) -> bool:
        """Whether another service than `service_id` is registered at `address`."""
        services = self._live.get(address)
        return bool(services) and services != {service_id}

    def conflicts(self, service_id: str, instances: Iterable[Instance]) -> tuple[Conflict, ...]:
        """For each of `instances` whose address other services share: the address and these services."""
        return tuple(
            Conflict(i.address, i.port, tuple(sorted(others)))
            for i in instances
            if (others := self._live.get((i.address, i.port), set()) - {service_id})
        )


def _replace(
    by_address: dict[Address, set[str]],
    by_service: dict[str, frozenset[Address]],
    service_id: str,
    addresses: frozenset[Address],
) -> frozenset[Address]:
    """Replace one service's addresses in both mappings. Returns the addresses that were added or removed."""
    before = by_service.get(service_id, frozenset())
    for address in before - addresses:
        by_address[address].discard(service_id)
        if not by_address[address]:
            del by_address[address]
    for address in addresses - before:
        by_address.setdefault(address, set()).add(service_id)
    if addresses:
        by_service[service_id] = addresses
    else:
        by_service.pop(service_id, None)
    return before ^ addresses
