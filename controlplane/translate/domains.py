"""Which service answers for which host name and ip:port. Kept up to date one service at a time.

No domain may come twice in a route configuration. A live address beats a remembered one; a name that several
services have is the first's by canonical id; an address that several have live is shared.

A Service of Kubernetes has longer names, too (`sc-a.default.svc`). Its further ports are meant by a name with
that port alone, which Envoy prefers to a name with any port.

Envoy takes no underscore in the host of a URL, so a service whose name has some is also called by hyphens in
their place, unless that is the name of another service.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from controlplane.ip import authority
from controlplane.plan.services import ServicePlan
from controlplane.registry.types import Protocol

_WITH_PORT = re.compile(r"(.*):\d+$")
_ADDRESS = re.compile(r"\d+(\.\d+){3}$|\[.*\]$")


def key_of(host: str) -> str:
    """The key of a request's host (lower case): an ip:port is looked up whole, a name without its port."""
    found = _WITH_PORT.match(host)
    return found[1] if found and not _ADDRESS.match(found[1]) else host


def keys_of(plan: ServicePlan | None) -> frozenset[str]:
    """Every key that a service claims. Plain TCP is passed, whatever its host."""
    if plan is None or plan.protocol is Protocol.TCP:
        return frozenset()
    return frozenset((*_names(plan), *_aliases(plan), *_live(plan), *_former(plan)))


def host_names(plan: ServicePlan) -> tuple[str, ...]:
    """The hosts that mean a service by its name, in lower case and without a dot at the end."""
    name = plan.name.lower().removesuffix(".")
    return (name, name.replace("_", "-")) if "_" in name else (name,)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a service claims, and against whom.

    `domains` are those of its own virtual host where no rival is in reach, sorted. `rivals` are the other
    services that claim one of its keys, `contested` are these keys.
    """

    domains: tuple[str, ...]
    rivals: frozenset[str]
    contested: frozenset[str]


class Domains:
    """Claims of services to keys."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        self._aliases: dict[str, set[str]] = {}
        self._live: dict[str, set[str]] = {}
        self._former: dict[str, set[str]] = {}

    def update(self, before: ServicePlan | None, after: ServicePlan | None) -> set[str]:
        """One service changes from `before` to `after`. Returns the keys whose claims change."""
        changed: set[str] = set()
        for claims, of in (
            (self._names, _names),
            (self._aliases, _aliases),
            (self._live, _live),
            (self._former, _former),
        ):
            old = frozenset(of(before)) if before is not None else frozenset[str]()
            new = frozenset(of(after)) if after is not None else frozenset[str]()
            if before is not None:
                for key in old - new:
                    claims[key].discard(before.id)
                    if not claims[key]:
                        del claims[key]
            if after is not None:
                for key in new - old:
                    claims.setdefault(key, set()).add(after.id)
            changed |= old ^ new
        return changed

    def claimants(self, keys: Iterable[str]) -> set[str]:
        """Every service that has, or remembers, one of `keys`."""
        found: set[str] = set()
        for key in keys:
            for claims in (self._names, self._aliases, self._live, self._former):
                found |= claims.get(key, set())
        return found

    def claims(self, plan: ServicePlan) -> Claims:
        """What a service claims. It holds until `update` returns one of its keys."""
        rivals: set[str] = set()
        contested: set[str] = set()
        for key in keys_of(plan):
            others = self.claimants((key,)) - {plan.id}
            if others:
                rivals |= others
                contested.add(key)
        return Claims(self.of(plan, (plan.id,)), frozenset(rivals), frozenset(contested))

    def owners(self, key: str, among: Container[str]) -> tuple[str, ...]:
        """Whose `key` is, of the services `among`: several for a shared address, none for a stranger."""
        live = sorted(service for service in self._live.get(key, ()) if service in among)
        if live:
            return tuple(live)
        for claims in (self._names, self._aliases, self._former):
            found = sorted(service for service in claims.get(key, ()) if service in among)
            if found:
                return (found[0],)
        return ()

    def of(self, plan: ServicePlan, among: Container[str]) -> tuple[str, ...]:
        """The domains of the service's own virtual host, sorted."""
        names = {*_names(plan), *_aliases(plan)}
        domains: list[str] = []
        for key in keys_of(plan):
            if self.owners(key, among) == (plan.id,):
                any_port = key in names and not _WITH_PORT.match(key)
                domains += [key, f"{key}:*"] if any_port else [key]
        return tuple(sorted(domains))


def _names(plan: ServicePlan) -> Iterator[str]:
    # To Envoy an asterisk stands for any host, and one domain that is there twice takes all routes with it.
    if plan.protocol is not Protocol.TCP and "*" not in plan.id:
        yield host_names(plan)[0]
        yield plan.id.lower()


def _aliases(plan: ServicePlan) -> Iterator[str]:
    if plan.protocol is not Protocol.TCP and "*" not in plan.id:
        yield from host_names(plan)[1:]
        yield from plan.hosts


def _live(plan: ServicePlan) -> Iterator[str]:
    if plan.protocol is not Protocol.TCP:
        for address, port in plan.addresses:
            yield authority(address, port)


def _former(plan: ServicePlan) -> Iterator[str]:
    if plan.protocol is not Protocol.TCP:
        for address, port in plan.former:
            yield authority(address, port)
