"""What is served of a service while its registry is unreachable or reports that instances vanished. Pure.

The unit is the base set of a service, its instances without a tag. It is *good* when it has a healthy
instance. When it stops being good, the last good base set is served for `empty_hold` seconds more. While the
registry is unreachable, its last report is served, marked as held. For `reconnect_wait` seconds after a
reconnect, missing base instances are kept: the clients of a registry that restarted register again one by
one. Tagged instances are never kept: base is their fallback. A live registration of the same ip:port, for
another service or with a tag, replaces a kept instance.
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
    """Seconds for which things are kept.

    `empty_hold`: a base set that is not good any more. `reconnect_wait`: base instances that are missing
    after a reconnect. `start_wait`: how long a registry that was down at the start may lack clients that have
    yet to register. `former`: the addresses of instances that left.
    """

    empty_hold: float = 300.0
    reconnect_wait: float = 60.0
    start_wait: float = 35.0
    former: float = 120.0


@dataclass(frozen=True, slots=True)
class Connectivity:
    """Since when a registry is unreachable, and until when removals wait after a reconnect.

    Seconds of a monotonic clock, None where it is reachable or nothing waits.
    """

    unreachable_since: float | None = None
    removals_wait_until: float | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of one service between two reports of its registry.

    `good` are the healthy instances of the last good base set, by address; `emptied_at` is when the base set
    stopped being good, None if it is good; `served` are the addresses that were served last; `left` has the
    addresses of former instances with the time when each left. Times are those of `now`.
    """

    good: Mapping[Address, Instance] = field(default_factory=lambda: MappingProxyType({}))
    emptied_at: float | None = None
    served: frozenset[Address] = frozenset()
    left: Mapping[Address, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to serve, and when to decide again without a new report.

    `former` are addresses of instances that left, `held` whether any instance is held, `memory` is for the
    next decision, and `deadline` is the time of it, None for none.
    """

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
    """What to serve of a service whose registry reports the instances `live`.

    `memory` is that of the last decision, `now` is in seconds of a monotonic clock, `taken` tells whether an
    address is registered for another service. Deciding twice on the same report gives the same instances.
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
    """Whether a remembered base instance may be served although its registry does not report it."""
    here = live_at.get(address)
    return not taken(address) if here is None else here.tag is None


def _held(instance: Instance) -> Instance:
    return replace(instance, held=True, health=Health.HEALTHY)
