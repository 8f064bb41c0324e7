"""The incremental variant: what a DeltaDiscoveryRequest changes and what a DeltaDiscoveryResponse carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from . import returning, wire
from .messages import DeltaResponse, Message
from .resource import VIRTUAL_HOST, Resource
from .returning import Recent
from .subscription import (
    LEGACY_WILDCARD,
    NOTHING,
    WILDCARD,
    Sent,
    Subscription,
    frozen,
    joined,
    measured,
    share,
    without,
)
from .wire import Response


@lru_cache(maxsize=64)
def _type_field(type_url: str) -> bytes:
    return wire.text(wire.DELTA_TYPE_URL, type_url)


@lru_cache(maxsize=64)
def _version_field(version: str) -> bytes:
    return wire.text(wire.DELTA_VERSION, version)


_NAMES_A_REQUEST = 64  # few enough to make a set of them for each request

Lacking = tuple[frozenset[str], frozenset[str]]
"""The resources that a client lacks, and the removed ones that it still has."""

_compared: Recent[Lacking] = Recent()


@dataclass(slots=True)
class DeltaSubscription(Subscription):
    """One type on a delta stream."""

    initial: frozenset[bytes] | None = None
    """What a reconnecting client has, as encoded entries, until the first reply is composed."""
    doubted: set[str] = field(default_factory=set)
    """Names about which the client has changed its mind until then."""
    unshared: int = 0
    """Requests since `names` became a set of its own."""

    @staticmethod
    def names_in(request: Message) -> int:
        """How many names a request has."""
        return (
            len(request.resource_names_subscribe)
            + len(request.resource_names_unsubscribe)
            + len(request.initial_resource_versions)
        )

    def receive(self, request: Message) -> Sent | None:
        """Apply a request. Returns the reply that it acknowledges or rejects, if it does."""
        answered = None
        if request.response_nonce:
            error = request.error_detail.message if request.HasField("error_detail") else None
            answered = self.acknowledge(request.response_nonce, error)
        # Subscriptions count whatever the nonce says: they are changes, not a state that could be stale.
        subscribe = request.resource_names_subscribe
        unsubscribe = request.resource_names_unsubscribe
        if not self.started:
            self._start(request)
        else:
            if unsubscribe:
                self._unsubscribe(frozenset(unsubscribe))
            if subscribe:
                self._subscribe(frozenset(subscribe))
        if isinstance(self.names, set):
            self.unshared += 1
            if self.unshared * _NAMES_A_REQUEST >= len(self.names):
                self.names, self.unshared = share(self.names), 0
        return answered

    def compose(self, *, hold: bool = False, asked_only: bool = False, now: float = 0.0) -> Response | None:
        """The next reply, None if there is nothing to send.

        hold: keep removals back (see `release`). asked_only: answer requests, but push no changes. now:
        seconds, for `Sent.at`.
        """
        before = self.cursor
        changed = (
            NOTHING if (asked_only and not self.pending_all) or self.initial is not None else self.changes()
        )
        asked = frozen(self.pending) if self.pending else NOTHING
        want: frozenset[str] | None = asked | changed if asked and changed else asked or changed
        removed: set[str] = set()
        returning = self.initial is not None
        if self.initial is not None:
            want, gone = self._lacking(self._trusted(self.initial))
            removed.update(gone)
            asked, self.initial = want, None
        elif self.pending_all:
            want, asked = None, frozen(self.names)
        if not asked_only or self.pending_all or not self.started:
            self.cursor = self.view.clock.now
        bodies: list[bytes] = []
        found = NOTHING
        if want is None or want:
            for part in self.parts:
                selection = part.select(want, delta=True)
                if selection.count:
                    bodies.append(selection.body)
                    found = found | selection.found if found else selection.found
        missing = (asked | changed if want is None else want) - found
        if want is None and missing:
            missing = frozenset(name for name in missing if self._lookup(name) is None)
        if missing:
            self._missing(missing, asked, hold, removed, bodies)
        for name in found & self.held.keys() if self.held else NOTHING:
            del self.held[name]
        self.pushed = changed & found
        due, self.owed, self.pending, self.pending_all = self.owed, False, NOTHING, False
        if not bodies and not removed and not due:
            if returning:  # The client has everything: nothing is sent, and that counts as acknowledged.
                self.sent = self.acked = self.view.version(self.type_url)
            return None
        return self._encode(bodies, removed, before, want, bool(asked) or due, now)

    def release(self, now: float = 0.0) -> Response | None:
        """The reply with the removals that were held back, as far as they still hold."""
        gone = [
            name
            for name in self.held
            if (self.wildcard or name in self.names) and not any(name in part for part in self.parts)
        ]
        self.held.clear()
        return self._encode([], set(gone), self.cursor, frozenset(gone), False, now) if gone else None

    def _start(self, request: Message) -> None:
        self.started = True
        names, initial = returning.asked(request)
        if self.view.on_demand:
            self.view.wanted(self.type_url, names.union(map(wire.entry_key, initial)))
        self.wildcard = (
            WILDCARD in names
            or (not names and self.type_url in LEGACY_WILDCARD)
            or self.type_url in self.view.whole
        )
        self.names, self.name_bytes = measured(names - {WILDCARD} if WILDCARD in names else names, self.parts)
        self.pending = self.names
        self.pending_all = self.wildcard
        self.initial = initial or None
        # A client that comes back with what it has waits for nothing; any other waits for its first answer,
        # also for an empty one (Envoy's empty VHDS subscription else delays its start by 15 s).
        self.owed = not initial
        self.cursor = self.view.clock.now

    def _doubt(self, names: frozenset[str]) -> None:
        """The client subscribed to `names` again, or unsubscribed, before its first answer: it may have
        dropped them.
        """
        if self.initial is not None:
            self.doubted |= names

    def _trusted(self, initial: frozenset[bytes]) -> frozenset[bytes]:
        """What the client has, without the versions of what it may have dropped."""
        doubted, self.doubted = self.doubted, set()
        if not doubted:
            return initial
        everything = WILDCARD in doubted
        keys = {entry: wire.entry_key(entry) for entry in initial}
        return frozenset(
            wire.entry(key, "") if everything or key in doubted else entry for entry, key in keys.items()
        )

    def _subscribe(self, names: frozenset[str]) -> None:
        self._doubt(names)
        if self.view.on_demand:
            self.view.wanted(self.type_url, names)
        if WILDCARD in names:
            names = names - {WILDCARD}
            self.wildcard = self.pending_all = self.owed = True
        for part in self.parts:
            names = part.own_strings(names)
        # A name that is subscribed already is answered too: the client may have dropped it.
        self.name_bytes += sum(map(len, names - self.names))
        self.names = joined(self.names, names)
        self.pending = joined(self.pending, names)

    def _unsubscribe(self, names: frozenset[str]) -> None:
        self._doubt(names - {WILDCARD})
        if WILDCARD in names:
            names = names - {WILDCARD}
            self.wildcard = self.pending_all = False
        dropped = names & self.names
        self.name_bytes -= sum(map(len, dropped))
        self.names = without(self.names, dropped)
        if self.wildcard:
            # Still subscribed by the wildcard: the client must learn what it has ("Unsubscribing From
            # Resources").
            self.pending = joined(self.pending, dropped)
        else:
            self.pending = without(self.pending, names)

    def _lacking(self, initial: frozenset[bytes]) -> Lacking:
        names = frozen(self.names)
        key = self.parts, tuple(part.changed_at for part in self.parts), self.wildcard, names, initial
        found = _compared.get(key)
        if found is None:
            found = self._compare(names, initial)
            _compared.put(key, found)
        return found

    def _compare(self, names: frozenset[str], initial: frozenset[bytes]) -> Lacking:
        want: set[str] = set()
        chosen = None if self.wildcard else names
        unnamed, strange = names, initial
        for part in self.parts:
            lacking, unknown = part.compare(chosen, initial)
            want |= lacking
            strange = unknown if strange is initial else strange & unknown
            unnamed = part.unnamed(unnamed) if unnamed else NOTHING
        for name in unnamed:
            resource = self._lookup(name)
            if resource is None or resource.entry not in initial:
                want.add(name)
        had = {wire.entry_key(entry) for entry in strange}
        if not self.wildcard:
            had &= names
        gone = {name for name in had if self._lookup(name) is None}
        if self.type_url == VIRTUAL_HOST:
            gone -= names  # answered as a resource without body; Envoy rejects a name in both
        return share(want), frozenset(gone)

    def _lookup(self, name: str) -> Resource | None:
        return self.view.get(self.type_url, name)

    def _missing(
        self,
        missing: frozenset[str],
        asked: frozenset[str],
        hold: bool,
        removed: set[str],
        bodies: list[bytes],
    ) -> None:
        """Tell the client about each name that it does not exist, or hold that back."""
        answers = missing & asked
        if self.type_url == VIRTUAL_HOST:
            for name in answers:
                # Envoy answers the waiting request with 404 at once for a resource without body that names
                # what was asked among its aliases; removed_resources would leave it waiting.
                wrapper = wire.text(wire.RESOURCE_NAME, name) + wire.text(wire.RESOURCE_ALIASES, name)
                bodies.append(wire.field(wire.DELTA_RESOURCES, wrapper))
        else:
            removed |= answers
        for name in missing - answers:
            former = next((gone for part in self.parts if (gone := part.former(name)) is not None), None)
            if hold and former is not None:
                self.held[former.name] = former
            else:
                removed.add(former.name if former is not None else name)

    def _encode(
        self,
        bodies: list[bytes],
        removed: set[str],
        before: int,
        names: frozenset[str] | None,
        asked: bool,
        now: float,
    ) -> Response:
        version = self.view.version(self.type_url)
        nonce = self._remember(version, before, names, asked, now)
        return wire.response(
            [
                *bodies,
                _removed(removed) if removed else b"",
                _version_field(version),
                _type_field(self.type_url),
                wire.field(wire.DELTA_NONCE, nonce),
            ]
        )


def _removed(names: set[str]) -> bytes:
    """The encoded names of what is gone."""
    return DeltaResponse(removed_resources=sorted(names)).SerializeToString() if names else b""
