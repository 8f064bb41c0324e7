"""The owner of trials without a server: a test has the time in its hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from controlplane.xds.jury import Event
from controlplane.xds.resources import Collection
from controlplane.xds.standing import Client

C = TypeVar("C", bound=Client)


class Timer:
    """One that ends when the test says so."""

    def __init__(self, at: float, what: Callable[[], None]) -> None:
        self.at = at
        self.what: Callable[[], None] | None = what

    def cancel(self) -> None:
        self.what = None


class TrialOwner(Generic[C]):
    """The clients `members`, and the time, which a test sets."""

    def __init__(self) -> None:
        self.time = 0.0
        self.timers: list[Timer] = []
        self.members: list[C] = []

    def clients(self, collection: Collection) -> list[C]:
        return self.members

    def now(self) -> float:
        return self.time

    def later(self, seconds: float, what: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.time + seconds, what))
        return self.timers[-1]

    def ask(self, client: object) -> None:
        """Clients of a test look by themselves for what they may have."""

    def over(self, collection: Collection) -> None:
        """They do so then, too."""

    def tell(self, event: Event) -> None:
        """Nobody listens."""
