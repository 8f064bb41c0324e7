"""The state-of-the-world variant: what a DiscoveryRequest changes and what a DiscoveryResponse carries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from . import returning, wire
from .messages import Message
from .resources import version_of
from .subscription import LEGACY_WILDCARD, NOTHING, WILDCARD, Sent, Subscription, frozen, measured, share
from .wire import Response


@lru_cache(maxsize=64)
def _type_field(type_url: str) -> bytes:
    return wire.text(wire.SOTW_TYPE_URL, type_url)


@dataclass(slots=True)
class SotwSubscription(Subscription):
    """One type on a state-of-the-world stream."""

    named: bool = False
    """The client has sent names: from then on an empty list means none."""

    @staticmethod
    def names_in(request: Message) -> int:
        """How many names a request has."""
        return len(request.resource_names)

    def receive(self, request: Message) -> Sent | None:
        """Apply a request. Returns the reply that it acknowledges or rejects, if it does."""
        answered = None
        if self.started and request.response_nonce:
            error = request.error_detail.message if request.HasField("error_detail") else None
            answered = self.acknowledge(request.response_nonce, error)
            if request.response_nonce != str(self.nonce):
                # Stale: the client speaks of an older reply and will speak of the newest, with its names,
                # again.
                return answered
        version = request.version_info
        names = returning.names(request)
        wildcard = WILDCARD in names
        if names:
            self.named = True
        elif not self.named and self.type_url in LEGACY_WILDCARD:
            wildcard = True
        names, size = measured(names - {WILDCARD} if WILDCARD in names else names, self.parts)
        if self.view.on_demand and names != self.names:
            self.view.wanted(self.type_url, names - self.names)
        if not self.started:
            self.started = True
            self.wildcard, self.names = wildcard, names
            self.name_bytes = size
            self.cursor = self.view.clock.now
            if self._has(version):
                self.sent = self.acked = version
            else:
                self.pending, self.pending_all = names, wildcard
                self.owed = self._full()
            return answered
        if names != self.names:
            # New names are answered even if those resources did not change; dropped ones need no answer.
            self.pending = share((self.pending & names) | (names - self.names))
            self.names, self.name_bytes = names, size
        if wildcard != self.wildcard:
            self.pending_all = wildcard
            self.wildcard = wildcard
        return answered

    def compose(self, *, hold: bool = False, asked_only: bool = False, now: float = 0.0) -> Response | None:
        """The next reply, None if there is nothing to say. The arguments are those of DeltaSubscription."""
        before = self.cursor
        changed = NOTHING if asked_only else self.changes()
        due, self.owed = self.owed, False
        asked, self.pending = frozen(self.pending), NOTHING
        everything, self.pending_all = self.pending_all, False
        full = self._full()
        if full and not asked and not everything and not due and not changed:
            return None
        if hold and changed:
            self._hold(changed)
        want: frozenset[str] | None = asked | changed if asked and changed else asked or changed
        if full:
            want = None if self.wildcard else frozen(self.names)
        if full or not asked_only:
            self.cursor = self.view.clock.now
        bodies: list[bytes] = []
        weight = 0
        found = NOTHING
        for part in self.parts:
            selection = part.select(want, delta=False)
            bodies.append(selection.body)
            found = found | selection.found if found else selection.found
            weight += selection.weight
        self.pushed = changed & found
        if full:
            for name in [name for name in self.held if name in found]:
                del self.held[name]
            for resource in self.held.values():
                bodies.append(resource.sotw_field(self.type_url))
                weight += resource.digest
        elif not found:
            return None  # a client that asked for what is not there waits for it
        version = self._label() or version_of(weight if full else self._weigh())
        nonce = self._remember(version, before, want, bool(asked) or everything or due, now)
        return wire.response(
            [
                *bodies,
                wire.text(wire.SOTW_VERSION_INFO, version),
                _type_field(self.type_url),
                wire.field(wire.SOTW_NONCE, nonce),
            ]
        )

    def release(self, now: float = 0.0) -> Response | None:
        """The full set without the removed resources that were kept in it."""
        if not self.held:
            return None
        self.held.clear()
        self.owed = True
        return self.compose(now=now)

    def _full(self) -> bool:
        return self.wildcard or self.type_url in LEGACY_WILDCARD

    def _hold(self, changed: frozenset[str]) -> None:
        if not self._full():
            return
        for name in changed:
            if not any(name in part for part in self.parts):
                former = next((gone for part in self.parts if (gone := part.former(name)) is not None), None)
                if former is not None:
                    self.held[former.name] = former

    def _label(self) -> str | None:
        return next((part.label for part in self.parts if part.label is not None), None)

    def _weigh(self) -> int:
        return sum(part.weigh(frozen(self.names)) for part in self.parts)

    def _has(self, version: str) -> bool:
        """Whether a client that comes back with this version has all that it asks for: the version is the
        hash of it.

        A label is not a hash and proves nothing.
        """
        if not version or self._label() is not None:
            return False
        if self.wildcard:
            return version == self.view.version(self.type_url)
        return bool(self.names) and version == version_of(self._weigh())
