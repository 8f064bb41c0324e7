"""What is served of a service while its registry is unreachable or reports that instances vanished. Pure.

The unit is the base set of a service, its instances without a tag. It is *good* when it has a healthy
instance. When it stops being good, the last good base set is served for `empty_hold` seconds more. While the
registry is unreachable, its last report is served, marked as held. For `reconnect_wait` seconds after a
reconnect, missing base instances are kept: the clients of a registry that restarted register again one by
one. Tagged instances are not kept: base is their fallback. Those with a promoted tag are a base set of their
own. A live registration of the same ip:port, for another service or with another tag, replaces a kept
instance.
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

    `good` are the healthy instances of the last good base sets, by address; `emptied_at` has the tags (None
    for no tag) whose base set stopped being good, and when; `served` are the addresses that were served last;
    `left` has the addresses of former instances with the time when each left. Times are those of `now`.
    """

    good: Mapping[Address, Instance] = field(default_factory=lambda: MappingProxyType({}))
    emptied_at: Mapping[str | None, float] = field(default_factory=lambda: MappingProxyType({}))
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
    promoted: frozenset[str] = frozenset(),
) -> Outcome:
    """What to serve of a service whose registry reports the instances `live`.

    `memory` is that of the last decision, `now` is in seconds of a monotonic clock, `taken` tells whether an
    address is registered for another service, `promoted` are the tags that are base. Deciding twice on the
    same report gives the same instances.
    """
    live_at = {(i.address, i.port): i for i in live}
    served = dict(live_at)
    good: dict[Address, Instance] = {}
    emptied: dict[str | None, float] = {}
    deadlines: list[float] = []
    for tag in (None, *sorted(promoted)):
        before = {a: i for a, i in memory.good.items() if i.tag == tag and _may_stay(a, i, live_at, taken)}
        kept = _keep(tag, before, memory.emptied_at.get(tag), live_at, connectivity, now, times)
        good |= kept.good
        served |= kept.served
        deadlines += kept.deadlines
        if kept.emptied_at is not None:
            emptied[tag] = kept.emptied_at

    left = dict.fromkeys(memory.served, now) | dict(memory.left)
    left = {a: at for a, at in left.items() if a not in served and not taken(a) and now < at + times.former}
    deadlines += [at + times.former for at in left.values()]
    instances = tuple(served[a] for a in sorted(served))
    return Outcome(
        instances=instances,
        former=tuple(sorted(left)),
        held=any(i.held for i in instances),
        memory=Memory(
            MappingProxyType(good), MappingProxyType(emptied), frozenset(served), MappingProxyType(left)
        ),
        deadline=min(deadlines, default=None),
    )


@dataclass(frozen=True, slots=True)
class _Kept:
    """What becomes of one base set: what is served of it beside what is live, and what is remembered."""

    good: Mapping[Address, Instance]
    served: Mapping[Address, Instance]
    emptied_at: float | None
    deadlines: tuple[float, ...]


def _keep(
    tag: str | None,
    good: Mapping[Address, Instance],
    emptied_at: float | None,
    live_at: Mapping[Address, Instance],
    connectivity: Connectivity,
    now: float,
    times: Times,
) -> _Kept:
    """`good`: the last good base set with this tag, as far as it may stay."""
    healthy = {a: i for a, i in live_at.items() if i.tag == tag and i.health is Health.HEALTHY}
    wait_until = connectivity.removals_wait_until
    if healthy:
        served: dict[Address, Instance] = {}
        deadlines: tuple[float, ...] = ()
        if wait_until is not None and now < wait_until:
            missing = {a: i for a, i in good.items() if a not in live_at}
            served.update({a: _held(i) for a, i in missing.items()})
            deadlines = (wait_until,) if missing else ()
            good = healthy | missing
        else:
            good = healthy
        if connectivity.unreachable_since is not None:
            served.update({a: _held(i) for a, i in healthy.items()})
        return _Kept(good, served, None, deadlines)
    if good:
        emptied_at = emptied_at if emptied_at is not None else now
        until = emptied_at + times.empty_hold
        if wait_until is not None:
            until = max(until, wait_until)
        if now < until:
            return _Kept(good, {a: _held(i) for a, i in good.items()}, emptied_at, (until,))
    return _Kept({}, {}, None, ())


def _may_stay(
    address: Address, instance: Instance, live_at: Mapping[Address, Instance], taken: Taken
) -> bool:
    """Whether a remembered base instance may be served although its registry does not report it."""
    here = live_at.get(address)
    return not taken(address) if here is None else here.tag == instance.tag


def _held(instance: Instance) -> Instance:
    return replace(instance, held=True, health=Health.HEALTHY)
