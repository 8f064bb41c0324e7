"""What one stream holds of one type: its names, what it was sent, what it acknowledged. No I/O.

The rules are those of https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol; each stands beside
the line that follows it. The state is a cursor into the collections and not a copy of what was sent:
composing is done when the stream can take a message, so whoever reads slowly gets one merged update.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

from .bounds import shown, without_keys
from .resource import CLUSTER, LISTENER, SECRET, Resource
from .resources import Collection
from .view import View

WILDCARD = "*"
#: The types for which no names in the first request means all, for historical reasons ("How the client
#: specifies what resources to return"), and whose state-of-the-world replies carry the full set.
LEGACY_WILDCARD = frozenset({CLUSTER, LISTENER})
MOST_OUTSTANDING = 64  # replies that a client may leave unacknowledged before the oldest is forgotten

NOTHING: frozenset[str] = frozenset()


_shared: WeakKeyDictionary[frozenset[str], tuple[ref[frozenset[str]], int]] = WeakKeyDictionary()


def share(names: Iterable[str]) -> frozenset[str]:
    """The one frozenset with these names: a thousand streams that subscribe to the same hold it once."""
    return measured(names)[0]


def measured(names: Iterable[str], parts: Iterable[Collection] = ()) -> tuple[frozenset[str], int]:
    """The one frozenset with these names, and the characters they have together, which are counted once.

    parts: collections that may have these names already. Thousands of clients with a thousand names each, no
    two of which have the same, then hold their sets alone and not the names in them.
    """
    wanted = frozenset(names)
    if not wanted:
        return NOTHING, 0
    known = _shared.get(wanted)
    found = known[0]() if known is not None else None
    if known is None or found is None:
        for part in parts:
            wanted = part.own_strings(wanted)
        size = sum(map(len, wanted))
        _shared[wanted] = ref(wanted), size
        return wanted, size
    return found, known[1]


_FEW = 64  # names that are cheap to make a set of again


def joined(known: Set[str], more: Set[str]) -> Set[str]:
    """`known` with `more`, at the cost of `more` alone where that is little. A set in it is changed."""
    if isinstance(known, set):
        known |= more
        return known
    if len(known) < _FEW or 8 * len(more) >= len(known):
        return share(known | more)
    return set(known) | more


def without(known: Set[str], less: Set[str]) -> Set[str]:
    """`known` without `less`, as `joined`."""
    if isinstance(known, set):
        known.difference_update(less)
        return known
    if len(known) < _FEW or 8 * len(less) >= len(known):
        return share(known - less)
    return set(known) - less


def frozen(names: Set[str]) -> frozenset[str]:
    """The names as they are now."""
    return names if isinstance(names, frozenset) else frozenset(names)


class TooManyNames(Exception):
    """A client subscribes to more names, or to longer ones, than it may."""


@dataclass(frozen=True, slots=True)
class Nack:
    """A rejection: the version that was rejected, the client's words as shown, when (epoch seconds)."""

    version: str
    message: str
    at: float


class Sent(NamedTuple):
    """A reply without an answer yet. It took the client from state `before` to `after` (numbers of the
    clock). A tuple, because one is made for each response, and a frozen dataclass takes four times as long.
    """

    nonce: str
    version: str
    before: int
    after: int
    names: frozenset[str] | None
    asked: bool
    """It answers a request and does not only carry changes."""
    at: float
    """When it was composed, in seconds of the clock of `StreamState.next`."""
    since: int = 0
    """The number of the first change that it carries; 0 if it answers a request."""


@dataclass(slots=True)
class Subscription:
    """State of one type on one stream; `DeltaSubscription` and `SotwSubscription` are the two variants."""

    type_url: str
    view: View
    parts: tuple[Collection, ...] = ()
    started: bool = False
    wildcard: bool = False
    names: Set[str] = NOTHING
    """One frozenset for all who subscribe to the same; a set of its own while that is changed by little."""
    name_bytes: int = 0
    pending: Set[str] = NOTHING
    """Names to answer whether they changed or not."""
    pending_all: bool = False
    owed: bool = False
    """An answer is due even if it is empty: the first, which ends the client's wait."""
    cursor: int = 0
    nonce: int = 0
    outstanding: deque[Sent] = field(default_factory=lambda: deque(maxlen=MOST_OUTSTANDING))
    sent: str = ""
    acked: str = ""
    nack: Nack | None = None
    rejected: frozenset[str] | None = NOTHING
    held: dict[str, Resource] = field(default_factory=dict)
    """Removed resources whose removal the client is not told yet."""
    pushed: frozenset[str] = NOTHING
    """Names in the last composed reply that were sent because they had changed."""

    def __post_init__(self) -> None:
        self.parts = self.view.of(self.type_url)

    def changes(self) -> frozenset[str]:
        """What the client subscribes to and does not have in its present form. Raises Overrun."""
        changed = NOTHING
        for part in self.parts:
            if part.changed_at > self.cursor:
                more = part.changes_since(self.cursor)
                changed = changed | more if changed else more
        if not changed or self.wildcard:
            return changed
        return changed & self.names

    def dirty(self) -> bool:
        """Whether there may be something to compose. Moves the cursor on if there is not."""
        if not self.started:
            return False
        if self.pending or self.pending_all or self.owed:
            return True
        cursor = self.cursor
        for part in self.parts:
            if part.changed_at > cursor:
                break
        else:
            return False
        if self.changes():
            return True
        self.cursor = self.view.clock.now
        return False

    def waits(self) -> bool:
        """Whether changes go to another client first."""
        return any(part.gate is not None and part.gate.keeps_from(part, self) for part in self.parts)

    def withheld(self) -> bool:
        """Whether the client may have, and use, a state before a change that not everyone has."""
        return any(part.gate is not None and part.gate.withholds(part) for part in self.parts)

    def settled(self, mark: int) -> bool:
        """Whether everything up to `mark` was sent to the client and answered by it."""
        if not self.started:
            return True
        if self.pending or self.pending_all or self.owed or (self.cursor < mark and self.dirty()):
            return False
        return all(
            reply.before >= mark and not (reply.asked and reply.after <= mark) for reply in self.outstanding
        )

    def resend(self, names: frozenset[str]) -> None:
        """Answer those of `names` that are subscribed and exist once more."""
        again = names if self.wildcard else names & self.names
        again = frozenset(name for name in again if any(name in part for part in self.parts))
        if again and self.started:
            self.pending = joined(self.pending, again)

    def acknowledge(self, nonce: str, error: str | None) -> Sent | None:
        """Take the answer to a reply. Returns that reply, or None for one that is not awaited."""
        outstanding = self.outstanding
        if not outstanding or (
            outstanding[0].nonce != nonce and not any(reply.nonce == nonce for reply in outstanding)
        ):
            return None
        while True:
            reply = outstanding.popleft()
            if reply.nonce == nonce:
                break
        if error is None:
            self.acked = reply.version
            if self.nack is not None and reply.version != self.nack.version:
                self.nack, self.rejected = None, NOTHING
        else:
            text = error if self.type_url != SECRET else without_keys(error)
            self.nack = Nack(reply.version, shown(text), time.time())
            self.rejected = reply.names
        return reply

    def _remember(
        self, version: str, before: int, names: frozenset[str] | None, asked: bool, now: float
    ) -> bytes:
        """Number the reply that is being composed; the nonce's bytes."""
        self.nonce += 1
        nonce = str(self.nonce)
        self.sent = version
        since = 0
        if not asked:
            for part in self.parts:
                if part.changed_at > before and (first := part.first_change(before)):
                    since = min(since or first, first)
        self.outstanding.append(Sent(nonce, version, before, self.cursor, names, asked, now, since))
        return nonce.encode()
