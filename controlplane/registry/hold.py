"""What is served when a registry falters. Pure: time and the registry's words come in, a decision goes out.

The unit is the base set of a service. It is *good* when it has a healthy instance. When it stops being good,
the last good one is served on for `empty_hold` seconds. While the source is unreachable what it said last is
served, marked as held. For `reconnect_wait` seconds after a reconnect, base instances that are
missing are kept: clients of a registry that restarted come back one by one. Tagged instances are never kept:
base is their fallback. A live registration of the same ip:port, for another service or with a tag, beats a
kept instance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from controlplane.registry.types import Health, Instance

Address = tuple[str, int]
Taken = Callable[[Address], bool]


@dataclass(frozen=True, slots=True)
class Times:
    """How long things are kept, in seconds.

    `start_wait` is for a registry that was down at the start: so long it may not know all of its clients yet.
    """

    empty_hold: float = 300.0
    reconnect_wait: float = 60.0
    start_wait: float = 35.0
    former: float = 120.0


@dataclass(frozen=True, slots=True)
class Connectivity:
    """How a source stands: since when it cannot be heard, until when removals wait. Seconds of a clock."""

    unreachable_since: float | None = None
    removals_wait_until: float | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of one service between two words of its registry.

    `good` are the healthy instances of the last good base set, by address; `emptied_at` is when the base set
    stopped being good; `served` are the addresses that were served last; `left` says when others went.
    """

    good: Mapping[Address, Instance] = field(default_factory=lambda: MappingProxyType({}))
    emptied_at: float | None = None
    served: frozenset[Address] = frozenset()
    left: Mapping[Address, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to serve now, and when to ask again although nobody said anything (None: never)."""

    instances: tuple[Instance, ...]
    former: tuple[Address, ...]
    held: bool
    memory: Memory
    deadline: float | None


def decide(
    memory: Memory,
    live: tuple[Instance, ...],
    connectivity: Connectivity,
    now: float,
    times: Times,
    taken: Taken = lambda _: False,
) -> Outcome:
    """What to serve of a service whose registry says `live`.

    `taken` tells whether an address is registered live for another service. Asking twice with the same words
    gives the same instances.
    """
    live_at = {(i.address, i.port): i for i in live}
    healthy_base = {a: i for a, i in live_at.items() if i.tag is None and i.health is Health.HEALTHY}
    good = {a: i for a, i in memory.good.items() if _may_stay(a, live_at, taken)}
    deadlines: list[float] = []
    served = dict(live_at)
    emptied_at: float | None = None

    if healthy_base:
        wait_until = connectivity.removals_wait_until
        if wait_until is not None and now < wait_until:
            missing = {a: i for a, i in good.items() if a not in live_at}
            served.update({a: _held(i) for a, i in missing.items()})
            if missing:
                deadlines.append(wait_until)
            good = healthy_base | missing
        else:
            good = healthy_base
        if connectivity.unreachable_since is not None:
            served.update({a: _held(i) for a, i in healthy_base.items()})
    elif good:
        emptied_at = memory.emptied_at if memory.emptied_at is not None else now
        until = emptied_at + times.empty_hold
        if connectivity.removals_wait_until is not None:
            until = max(until, connectivity.removals_wait_until)
        if now < until:
            deadlines.append(until)
            served.update({a: _held(i) for a, i in good.items()})
        else:
            good, emptied_at = {}, None

    left = dict.fromkeys(memory.served, now) | dict(memory.left)
    left = {a: at for a, at in left.items() if a not in served and not taken(a) and now < at + times.former}
    deadlines += [at + times.former for at in left.values()]
    instances = tuple(served[a] for a in sorted(served))
    return Outcome(
        instances=instances,
        former=tuple(sorted(left)),
        held=any(i.held for i in instances),
        memory=Memory(MappingProxyType(good), emptied_at, frozenset(served), MappingProxyType(left)),
        deadline=min(deadlines, default=None),
    )


def _may_stay(address: Address, live_at: Mapping[Address, Instance], taken: Taken) -> bool:
    """Whether a remembered base instance may be served although its registry does not say so."""
    here = live_at.get(address)
    return not taken(address) if here is None else here.tag is None


def _held(instance: Instance) -> Instance:
    return replace(instance, held=True, health=Health.HEALTHY)
