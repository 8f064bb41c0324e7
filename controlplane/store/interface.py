"""The interface of stores of definitions, its values and its errors.

A store is used from one event loop. Changes are pure functions of the definitions, so that a store with
several writers can run one again on what another writer stored meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from controlplane.model.definitions import Definitions, Key

Transform = Callable[[Definitions], Definitions]
"""From the present definitions to the changed ones. Pure; may be called more than once.

Raises DefinitionError to refuse the change; then nothing is changed.
"""


class StoreUnavailable(Exception):
    """The store cannot be read or written now. Earlier changes are kept, and none is written in part."""


class StoreInUse(StoreUnavailable):
    """Another process uses the store, and may change it at any time."""


class StoreDamaged(StoreUnavailable):
    """The store does not have what was stored: an operator has to repair it, waiting does not help."""


class OutcomeUnknown(StoreUnavailable):
    """A change was sent and not answered. Once the revisions can be read, they show whether it was made."""


@dataclass(frozen=True)
class Stored:
    """The definitions after revision `revision`; 0 means that nothing was ever changed."""

    definitions: Definitions = field(default_factory=Definitions)
    revision: int = 0


@dataclass(frozen=True)
class Served:
    """The snapshot of a store: it shows that the store existed, and what was served from it last.

    `path` is the file of the snapshot, `at` its time in seconds since the epoch. `stored` is None where the
    snapshot cannot be read, for the reason in `problem`.
    """

    path: Path
    stored: Stored | None
    at: float = 0.0
    problem: str = ""

    @property
    def revision(self) -> int:
        """The least revision that the store must have; 0 means that nothing can have been lost."""
        return self.stored.revision if self.stored is not None else 1


Check = Callable[[Definitions, Definitions], None]
"""Called with the definitions before and after a change; raises to refuse it."""

Subscriber = Callable[[Stored, Stored], None]
"""Called in the event loop with the old and the new state when a change is durable. Must not raise."""


@dataclass(frozen=True)
class Change:
    """One document of a revision, before and after it: JSON values with `status`, None where it
    does not exist.
    """

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
    """One change of the definitions.

    `at` is in seconds since the epoch, `author` the name of the token that was used, `note` a text of the
    author, `diff` a readable text.
    """

    number: int
    at: float
    author: str
    note: str
    changes: tuple[Change, ...]
    diff: str


class DefinitionStore(Protocol):
    """A store of definitions. Every method raises StoreUnavailable where the store cannot be used."""

    @property
    def current(self) -> Stored:
        """The last known definitions, also while the store is unavailable. Empty before `open`."""
        ...

    @property
    def problem(self) -> str:
        """Why `current` may be out of date or cannot be changed, for operators; "" if nothing is wrong."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether changes are refused for now; `problem` has the reason."""
        ...

    @property
    def snapshot_revision(self) -> int | None:
        """The revision of the snapshot that would be served if the store could not be opened; None
        without one.
        """
        ...

    async def open(self) -> None:
        """Load the definitions. Await this before anything else, and again after it failed."""
        ...

    async def change(self, transform: Transform, author: str = "", note: str = "") -> Stored:
        """Run `transform` on the current definitions and make the result durable; changes run one by one.

        `author` and `note` are kept with the revision. Returns the new state when it is durable and the
        subscribers were called; a result that equals the current definitions makes no revision. Raises what
        `transform` raises, and OutcomeUnknown where it cannot be found out whether the change was made.
        """
        ...

    async def align(self) -> None:
        """Bring tables of slots into line that a version of Laneway made which did not know of other routes.

        To be called once, after `open`. It is a change of its own, whose note says how many users move. Where
        it cannot be stored, the tables stay as they are, and the log says why.
        """
        ...

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call `callback` after every change. Returns a function that ends that."""
        ...

    async def revisions(self, limit: int = 100) -> list[Revision]:
        """The last `limit` revisions, the newest first."""
        ...

    async def undo(self, revision: int, author: str = "", check: Check | None = None) -> Stored:
        """Undo the change `revision` by a new change of `author`; returns the new state.

        Raises what `check` raises, and DefinitionError: 404 if the revision does not exist or is no longer
        kept, 409 if its documents were changed again since, or the result would break a rule.
        """
        ...

    async def close(self) -> None:
        """Finish the changes under way, and release the file or the connections."""
        ...
