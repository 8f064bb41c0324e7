"""Where definitions live: what every store can do, and the values that it hands out.

A store is used from one event loop. Changes are pure functions of the definitions, so that a store with
several writers can run one again on what another wrote meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from controlplane.model.definitions import Definitions, Key

Transform = Callable[[Definitions], Definitions]
"""Pure; may run more than once. Raises DefinitionError to refuse, and then nothing is changed."""


class StoreUnavailable(Exception):
    """The store cannot be read or written now; what was answered before is kept, nothing is half-written."""


class StoreInUse(StoreUnavailable):
    """Another process has the store: what it holds may change at any time, and only that process knows."""


class StoreDamaged(StoreUnavailable):
    """What is there is not what was stored: somebody has to put it right, waiting alone does not help."""


class OutcomeUnknown(StoreUnavailable):
    """A change was sent and no answer came: once the revisions can be read, they tell whether it was made."""


@dataclass(frozen=True)
class Stored:
    """The definitions after revision number `revision` (0: nothing was ever changed)."""

    definitions: Definitions = field(default_factory=Definitions)
    revision: int = 0


@dataclass(frozen=True)
class Served:
    """What is remembered of a store: that it existed, and what was served from it last.

    `stored` is None where the memory itself cannot be read, for the reason in `problem`. `at` is in seconds
    since the epoch, `path` where the memory is.
    """

    path: Path
    stored: Stored | None
    at: float = 0.0
    problem: str = ""

    @property
    def revision(self) -> int:
        """The revision that a store must have at least; 0: there is nothing to lose."""
        return self.stored.revision if self.stored is not None else 1


Subscriber = Callable[[Stored, Stored], None]
"""Called with the old and the new state, in the event loop, after the change is durable. Must not raise."""


@dataclass(frozen=True)
class Change:
    """One document in a revision: as JSON values with `status`, None where it was or is absent."""

    key: Key
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def what(self) -> str:
        """`created Lane/gray`, `changed ...` or `deleted ...`."""
        verb = "created" if self.before is None else "deleted" if self.after is None else "changed"
        return f"{verb} {self.key}"


@dataclass(frozen=True)
class Revision:
    """One change: `at` in seconds since the epoch, `author` a token's name, `diff` a readable text."""

    number: int
    at: float
    author: str
    note: str
    changes: tuple[Change, ...]
    diff: str


class DefinitionStore(Protocol):
    """Every method raises StoreUnavailable where the store cannot be reached."""

    @property
    def current(self) -> Stored:
        """The last known state; also while the store is unavailable. Empty before `open`."""
        ...

    @property
    def problem(self) -> str:
        """Why `current` may not be what holds, or cannot be changed, in words; "" while all is well."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether changes are refused for now, for the reason that `problem` gives."""
        ...

    @property
    def snapshot_revision(self) -> int | None:
        """Revision of the snapshot that is served where the store cannot be opened; None: none is kept."""
        ...

    async def open(self) -> None:
        """Load the definitions. To be awaited before anything else, again where it failed."""
        ...

    async def change(self, transform: Transform, author: str = "", note: str = "") -> Stored:
        """Run `transform` on the current definitions and make the result durable; changes run one by one.

        Returns when the change is durable and the subscribers were called. A result that equals what was
        there makes no revision. Raises what `transform` raises.
        """
        ...

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call `callback` after every change. Returns a function that ends it."""
        ...

    async def revisions(self, limit: int = 100) -> list[Revision]:
        """The last revisions, the newest first."""
        ...

    async def undo(self, revision: int, author: str = "") -> Stored:
        """Take the change `revision` back, as a new change.

        Raises DefinitionError: 404 if the revision is not (or no longer) kept, 409 if what it changed was
        changed again since, or the result would break a rule.
        """
        ...

    async def close(self) -> None:
        """Release what the store holds; changes under way are finished first."""
        ...
