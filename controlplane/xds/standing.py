"""Judges whether a client has shown that it works, and whether the server waits for it.

Anyone who reaches the port can open a stream, take part in a trial or leave responses unanswered. So a
client's answers count by its former behaviour: the trial of a change (see `trial`) goes to clients that have
been in sync for `PROOF` seconds, and the server does not wait for a client that does not answer.

No I/O. Times are seconds of the event loop's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

from .node import Node
from .subscription import MOST_OUTSTANDING, Subscription

PROOF = 10.0
"""Seconds in sync, without a rejection and without a late answer, after which a client has proved itself."""

SILENCE = 2.0
"""Seconds without an answer after which a client is silent."""

LATE = 1.0
"""Seconds after which an answer is late."""

FORGIVEN = 60.0
"""Seconds after which a late answer counts no more."""

State = Literal["proved", "new", "rejecting", "outvoted", "slow", "silent"]
STATES: tuple[State, ...] = ("proved", "new", "rejecting", "outvoted", "slow", "silent")


class ClientState(Protocol):
    """What a stream's client subscribes to (see `StreamState`)."""

    @property
    def subscriptions(self) -> Mapping[str, Subscription]: ...

    def settled(self, mark: int) -> bool: ...


class Client(Protocol):
    """A stream and who is at its end. `address`: what counts as one sender, see `net.crowd.sender`.
    `party`: its gateway or application, empty where no certificate says so.
    """

    @property
    def node(self) -> Node: ...

    @property
    def state(self) -> ClientState: ...

    @property
    def standing(self) -> Standing: ...

    @property
    def address(self) -> str: ...

    @property
    def party(self) -> str: ...


class Standing:
    """The record of one client. `since`: when it connected or last misbehaved."""

    __slots__ = (
        "_blocked",
        "_last_late",
        "_late_before",
        "_rejecting",
        "doubted",
        "outvoted",
        "since",
    )

    def __init__(self, now: float) -> None:
        self.since = now
        self.doubted = False
        """It has rejected something and has not proved itself since."""
        self.outvoted = False
        """Others accepted what it rejected, and it has not proved itself since."""
        self._rejecting = False
        self._blocked: float | None = None
        self._last_late = self._late_before = float("-inf")

    def answered(self, now: float, sent: float, subscriptions: Iterable[Subscription]) -> None:
        """It has accepted or rejected a reply that was sent at `sent`."""
        rejecting = False
        for one in subscriptions:
            if one.nack is not None:
                rejecting = True
        if rejecting or self._rejecting:
            self.doubted = True
            self.since = now
        self._rejecting = rejecting
        if now - sent > LATE:
            self.since = now
            self._late_before, self._last_late = self._last_late, now

    def demote(self, now: float) -> None:
        """Make it prove itself again."""
        self.since = now

    def outvote(self, now: float) -> None:
        """It rejected a change that others accept."""
        self.doubted = self.outvoted = True
        self.since = now

    def blocked(self, now: float) -> None:
        """It does not read what the server sends."""
        if self._blocked is None:
            self._blocked = now

    def taking(self) -> None:
        """It reads what the server sends."""
        self._blocked = None

    def of(self, subscriptions: Iterable[Subscription], now: float) -> State:
        """How the client stands; `subscriptions` are those of its stream."""
        if self._silent(subscriptions, now):
            return "silent"
        proved = not self._rejecting and not self.new(now)
        if proved:
            self.doubted = self.outvoted = False
        if self.outvoted:
            return "outvoted"
        if self.slow(now):
            return "slow"
        if proved:
            return "proved"
        return "rejecting" if self.doubted else "new"

    def new(self, now: float) -> bool:
        """Whether it connected or misbehaved less than PROOF seconds ago."""
        return now - self.since < PROOF

    def slow(self, now: float) -> bool:
        """Whether it has answered late twice recently."""
        return now - self._late_before < FORGIVEN

    def _silent(self, subscriptions: Iterable[Subscription], now: float) -> bool:
        if self._blocked is not None and now - self._blocked >= SILENCE:
            return True
        return any(
            now - one.outstanding[0].at >= SILENCE or len(one.outstanding) >= MOST_OUTSTANDING
            for one in subscriptions
            if one.outstanding
        )


def standing_of(client: Client, now: float) -> State:
    """How a client stands."""
    return client.standing.of(client.state.subscriptions.values(), now)
