"""The collections that hold resources.

Nothing here does I/O, nothing waits. Everything belongs to one thread, that of the event loop.

One clock numbers the changes of all collections of a server, so that a stream needs a single cursor per type
however many collections its view has, and "everything up to now" is one number. A collection remembers for
every name the number of its last change; what changed since a cursor is read from the end of that record and
costs what changed, not what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import Protocol

from . import wire
from .resource import TRIED, TYPE_PREFIX, Identity, Resource, ResponseCache, Selection, identity

_HISTORY = 8  # changes remembered for one name: enough to see that a flap came back to where it was
_TOMBSTONES = 1_000  # removed names remembered at least, before the oldest are forgotten
_WEIGHT = (1 << 64) - 1


class Clock:
    """Numbers the changes of all collections that one server serves. `now`: the number of the last change."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0

    def tick(self) -> int:
        """The number of a change that happens now."""
        self.now += 1
        return self.now


class Overrun(Exception):
    """A cursor is older than what the collection remembers of removals: the stream must start again."""


class Subscriber(Protocol):
    """What a stream subscribes to of one type."""

    @property
    def wildcard(self) -> bool: ...

    @property
    def names(self) -> Set[str]: ...


class Gate(Protocol):
    """Asked before a resource changes, and before the change is pushed: see `trial`."""

    def allows(self, collection: Collection, before: Resource | None, after: Resource | None) -> bool:
        """Whether the collection may take this change."""
        ...

    def keeps_from(self, collection: Collection, subscriber: Subscriber) -> bool:
        """Whether this subscriber has to wait for a change, even if it asks for the resource."""
        ...

    def withholds(self, collection: Collection) -> bool:
        """Whether there are subscribers that have, and use, what was before a change."""
        ...


class Collection:
    """A mutable set of resources of one type, shared by any number of views. `clock` numbers its changes.

    `label`, when set, is shown as the version in state-of-the-world replies in place of the content's hash.
    `tried`: whether its changes are tried with a few clients first; None: they never are.
    """

    gate: Gate | None = None

    def __init__(self, clock: Clock, type_url: str, resources: Iterable[Resource] = ()) -> None:
        self.clock = clock
        self.type_url = type_url
        self.label: str | None = None
        self.tried: bool | None = True if type_url in TRIED else None
        self.changed_at = 0
        self._resources: dict[str, Resource] = {}
        self._aliases: dict[str, str] = {}
        self._entries: dict[bytes, str] | None = None
        self._log: dict[str, int] = {}  # name (or alias) -> number of its last change, oldest first
        self._history: dict[str, list[tuple[int, Identity]]] = {}
        self._tombstones: dict[str, Resource] = {}
        self._floor = 0
        self._sum = 0
        self._responses = ResponseCache()
        self._changes: dict[int, frozenset[str]] = {}
        self._firsts: dict[int, int] = {}
        self._weights: dict[frozenset[str], int] = {}
        self._listeners: dict[Callable[[Collection], None], None] = {}
        self._filled = 0
        """The number of the change with which it was made: of what has not changed since, nothing is kept."""
        self._fill(resources)

    def __len__(self) -> int:
        return len(self._resources)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources.values())

    def __contains__(self, name: str) -> bool:
        return name in self._resources or name in self._aliases

    def __repr__(self) -> str:
        return f"Collection({self.type_url.removeprefix(TYPE_PREFIX)!r}, {len(self)} resources)"

    def get(self, name: str) -> Resource | None:
        """The resource of that name or alias."""
        found = self._resources.get(name)
        if found is None and self._aliases:
            found = self._resources.get(self._aliases.get(name, ""))
        return found

    def names(self) -> tuple[str, ...]:
        return tuple(self._resources)

    def put(self, resource: Resource) -> bool:
        """Add a resource or replace the one of that name. True if that was a change."""
        before = self._resources.get(resource.name)
        if not self._may_change(before, resource):
            return False
        self._record(resource.name, before, resource)
        self._notify()
        return True

    def restore(self, resource: Resource) -> None:
        """Revert a change of a resource; `resource` is its state before the change."""
        self._record(resource.name, self._resources.get(resource.name), resource)
        self._notify()

    def remove(self, name: str) -> bool:
        """Remove the resource of that name. True if there was one."""
        before = self._resources.get(name)
        if before is None:
            return False
        self._remove(before)
        self._notify()
        return True

    def replace(self, resources: Iterable[Resource]) -> bool:
        """Make the collection hold exactly these. A resource whose version is the same is no change."""
        wanted = {resource.name: resource for resource in resources}
        at = self.changed_at
        for name in [name for name in self._resources if name not in wanted]:
            self._remove(self._resources[name])
        for name, resource in wanted.items():
            before = self._resources.get(name)
            if self._may_change(before, resource):
                self._record(name, before, resource)
        if self.changed_at != at:
            self._notify()
        return self.changed_at != at

    def watch(self, listener: Callable[[Collection], None]) -> None:
        """Call `listener` after each change, in the same turn of the event loop. It must not wait."""
        self._listeners[listener] = None

    def unwatch(self, listener: Callable[[Collection], None]) -> None:
        self._listeners.pop(listener, None)

    @property
    def weight(self) -> int:
        """The sum of all digests, the content's contribution to a type's version."""
        return self._sum

    def changes_since(self, cursor: int) -> frozenset[str]:
        """Names and aliases whose resource is not what it was at `cursor`.

        A name that changed and came back is not among them: an unchanged resource is never sent again.
        Raises Overrun if removals of that time are forgotten.
        """
        if cursor >= self.changed_at:
            return frozenset()
        if cursor < self._floor:
            raise Overrun(self.type_url)
        known = self._changes.get(cursor)
        if known is None:
            if len(self._changes) > 256:
                self._changes.clear()
            known = self._changes[cursor] = frozenset(self._walk(cursor))
        return known

    def first_change(self, cursor: int) -> int:
        """The number of the first change after `cursor`, of those that none of the same name overtook; 0 if
        there is none.
        """
        first = self._firsts.get(cursor)
        if first is None:
            first = 0
            for at in reversed(self._log.values()):
                if at <= cursor:
                    break
                first = at
            if cursor < self._filled:
                first = self._filled
            if len(self._firsts) > 256:
                self._firsts.clear()
            self._firsts[cursor] = first
        return first

    def changed(self, name: str) -> int:
        """The number of the last change of that name."""
        return self._log.get(name, self._filled if name in self else 0)

    def former(self, name: str) -> Resource | None:
        """A recently removed resource, by its name or alias."""
        return self._tombstones.get(name)

    def select(self, names: frozenset[str] | None, *, delta: bool) -> Selection:
        """The encoded resources among `names` (None: all). Equal selections are encoded once and shared."""
        cached = self._responses.get(names, delta)
        if cached is not None:
            return cached
        chosen: dict[str, Resource] = {}
        found: list[str] = []
        if names is None:
            chosen = self._resources
        else:
            resources = self._resources
            for name in names:
                resource = resources.get(name)
                if resource is None and self._aliases:
                    resource = self.get(name)
                if resource is not None:
                    chosen[resource.name] = resource
                    found.append(name)
        encode = Resource.delta_field if delta else Resource.sotw_field
        selection = Selection(
            body=b"".join([encode(resource, self.type_url) for resource in chosen.values()]),
            found=frozenset(chosen) if names is None else frozenset(found),
            weight=sum(resource.digest for resource in chosen.values()),
            count=len(chosen),
        )
        self._responses.put(names, delta, selection)
        return selection

    def compare(
        self, names: frozenset[str] | None, initial: frozenset[bytes]
    ) -> tuple[set[str], frozenset[bytes]]:
        """The resources among `names` (None: all) that a client with the entries `initial` lacks, and
        those of its entries that are of no resource in its present version.
        """
        if names is not None and 2 * len(names) < len(self._resources):
            chosen = [(name, found) for name in names if (found := self._resources.get(name)) is not None]
            lacking = {name for name, found in chosen if found.entry not in initial}
            return lacking, initial.difference({found.entry for _, found in chosen})
        known = self._known()
        strange = initial.difference(known)
        unknown = len(known) - (len(initial) - len(strange))
        if not unknown:  # a client that comes back has it all, as a rule, or former versions
            return set(), strange
        former = (self._resources.get(wire.entry_key(entry)) for entry in strange)
        lacking = {found.name for found in former if found is not None and found.entry not in initial}
        if len(lacking) != unknown:
            lacking = {known[entry] for entry in known.keys() - initial}
        return lacking if names is None else lacking & names, strange

    def own_strings(self, names: Iterable[str]) -> frozenset[str]:
        """The same names; as the collection's own objects, those that it has. They take no memory then."""
        get = self._resources.get
        return frozenset([name if (found := get(name)) is None else found.name for name in names])

    def unnamed(self, names: frozenset[str]) -> frozenset[str]:
        """Those of `names` that are no resource's own name. They may be aliases."""
        return names.difference(self._resources)

    def _known(self) -> dict[bytes, str]:
        if self._entries is None:
            self._entries = {resource.entry: name for name, resource in self._resources.items()}
        return self._entries

    def weigh(self, names: frozenset[str]) -> int:
        """The sum of the digests of the resources among `names`."""
        known = self._weights.get(names)
        if known is None:
            if len(self._weights) > 256:
                self._weights.clear()
            known = self._weights[names] = sum(
                resource.digest for resource in map(self.get, names) if resource is not None
            )
        return known

    def _may_change(self, before: Resource | None, after: Resource) -> bool:
        allowed = self.gate is None or self.gate.allows(self, before, after)
        return allowed and identity(before) != identity(after)

    def _remove(self, resource: Resource) -> None:
        if self.gate is not None:
            self.gate.allows(self, resource, None)
        self._record(resource.name, resource, None)

    def _fill(self, resources: Iterable[Resource]) -> None:
        self._resources = {resource.name: resource for resource in resources}
        if not self._resources:
            return
        self._filled = self.changed_at = self.clock.tick()
        for resource in self._resources.values():
            self._sum += resource.digest
            for alias in resource.aliases:
                self._aliases[alias] = resource.name
        self._sum &= _WEIGHT

    def _walk(self, cursor: int) -> Iterator[str]:
        for name, changed_at in reversed(self._log.items()):
            if changed_at <= cursor:
                return
            if not self._came_back(name, cursor):
                yield name
        if cursor < self._filled:
            yield from (name for name in (*self._resources, *self._aliases) if name not in self._log)

    def _came_back(self, name: str, cursor: int) -> bool:
        for at, then in reversed(self._history.get(name, ())):
            if at <= cursor:
                return then == identity(self._resources.get(name))
        return False

    def _record(self, name: str, before: Resource | None, after: Resource | None) -> None:
        at = self.clock.tick()
        # An alias has no history of its own: it is in the log so that who asked by it is told.
        for changed in (name, *(before.aliases if before else ()), *(after.aliases if after else ())):
            self._log.pop(changed, None)
            self._log[changed] = at
        history = self._history.get(name)
        if history is None:
            history = self._history[name] = [(0, None)]
            if before is not None:
                history.append((self._filled, identity(before)))
        history.append((at, identity(after)))
        del history[:-_HISTORY]
        if before is not None:
            self._sum = (self._sum - before.digest) & _WEIGHT
            for alias in before.aliases:
                self._aliases.pop(alias, None)
            if self._entries is not None:
                self._entries.pop(before.entry, None)
        if after is None:
            del self._resources[name]
            if before is not None:
                for known in (name, *before.aliases):
                    self._tombstones.pop(known, None)
                    self._tombstones[known] = before
        else:
            self._resources[name] = after
            if self._entries is not None:
                self._entries[after.entry] = name
            self._sum = (self._sum + after.digest) & _WEIGHT
            for known in (name, *after.aliases):
                self._tombstones.pop(known, None)
            for alias in after.aliases:
                self._aliases[alias] = name
        self.changed_at = at
        if len(self._tombstones) > 2 * max(_TOMBSTONES, len(self._resources)):
            self._forget()

    def _forget(self) -> None:
        """Drop the older half of the tombstones; cursors from before them are overrun."""
        for name in list(self._tombstones)[: len(self._tombstones) // 2]:
            del self._tombstones[name]
            self._floor = max(self._floor, self._log.pop(name, 0))
            self._history.pop(name, None)

    def _notify(self) -> None:
        self._responses.clear()
        self._changes.clear()
        self._firsts.clear()
        self._weights.clear()
        for listener in tuple(self._listeners):
            listener(self)


def version_of(weight: int) -> str:
    """A sum of digests as a version."""
    return f"{weight & _WEIGHT:016x}"
