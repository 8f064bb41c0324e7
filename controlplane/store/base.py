"""What all stores have in common, and what those have that one process uses alone."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import structlog

from controlplane.model.definitions import Definitions
from controlplane.model.problems import DefinitionError
from controlplane.store.history import changes_between, diff_of, undoing
from controlplane.store.interface import (
    Check,
    Revision,
    Served,
    Stored,
    StoreUnavailable,
    Subscriber,
    Transform,
)

log = structlog.get_logger(__name__)


class Subscribers:
    """The callbacks that are called after a change."""

    def __init__(self) -> None:
        self._callbacks: list[Subscriber] = []

    def add(self, callback: Subscriber) -> Callable[[], None]:
        """Call `callback` after each change from now on. Returns a function that ends that."""
        self._callbacks.append(callback)

        def end() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return end

    def tell(self, old: Stored, new: Stored) -> None:
        """Call each callback. An exception of one is logged, and the others are called."""
        for subscriber in list(self._callbacks):
            try:
                subscriber(old, new)
            except Exception:
                # The change is durable: a callback that fails must not make it look refused.
                log.exception(
                    "a subscriber of definitions failed; the others were told", revision=new.revision
                )

    def clear(self) -> None:
        """Call none of them any more."""
        self._callbacks.clear()


class BaseStore(ABC):
    """The part of a DefinitionStore that does not depend on where definitions live."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.problem = ""
        self.read_only = False
        self.snapshot_revision: int | None = None
        self.aligned = True
        self._clock = clock
        self._current = Stored()
        self._subscribers = Subscribers()

    @property
    def current(self) -> Stored:
        return self._current

    async def open(self, served: Served | None = None) -> None:
        """Load the definitions, see DefinitionStore. `served` is what is remembered of this store.

        Raises StoreUnavailable, and StoreDamaged where what is there now contradicts `served`.
        """
        self.problem = ""
        try:
            await self._open(served)
        except StoreUnavailable as error:
            self.problem = str(error)
            raise

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        return self._subscribers.add(callback)

    async def align(self) -> None:
        if self.aligned:
            return
        self.aligned = True  # what is written from now on says so
        _, moved = self._current.definitions.aligned()
        told = "; ".join(
            f"{number / 100:g} % of the requests on route {route} of gateway {gateway} change their lane"
            for (gateway, route), number in sorted(moved.items())
        )
        note = f"slots of ratio lanes aligned, so that one user is in one lane on all routes: {told}"
        try:
            await self.change(lambda now: now.aligned()[0], "laneway", note)
        except (StoreUnavailable, DefinitionError) as error:
            self.aligned = False
            log.warning("slots of an earlier version are served as they are", reason=str(error))
            return
        if told:
            log.warning("users of ratio lanes were moved once, to be in one lane on all routes", moved=told)

    def _advance(self, new: Stored) -> None:
        """Make `new`, which is durable, current, and call the subscribers."""
        old, self._current = self._current, new
        self._subscribers.tell(old, new)

    async def undo(self, revision: int, author: str = "", check: Check | None = None) -> Stored:
        undone = undoing(await self._revision(revision), revision)

        def transform(before: Definitions) -> Definitions:
            after = undone(before)
            if check is not None:
                check(before, after)
            return after

        return await self.change(transform, author, f"undo of revision {revision}")

    @abstractmethod
    async def _open(self, served: Served | None) -> None:
        """Load the definitions. Raises as `open` does."""

    @abstractmethod
    async def change(self, transform: Transform, author: str = "", note: str = "") -> Stored:
        """See DefinitionStore."""

    @abstractmethod
    async def revisions(self, limit: int = 100) -> list[Revision]:
        """See DefinitionStore."""

    @abstractmethod
    async def close(self) -> None:
        """See DefinitionStore."""

    @abstractmethod
    async def _revision(self, number: int) -> Revision | None:
        """The revision `number`; None if it is not kept. Raises DefinitionError 409 if it cannot be
        undone.
        """


class LocalStore(BaseStore):
    """A DefinitionStore with this process as its only writer.

    `_write` makes a revision durable; only then is it `current`. A change that was begun is finished even if
    its caller is cancelled: otherwise what is durable and what is served could differ.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._lock = asyncio.Lock()

    async def change(self, transform: Transform, author: str = "", note: str = "") -> Stored:
        return await asyncio.shield(asyncio.ensure_future(self._change(transform, author, note)))

    async def _change(self, transform: Transform, author: str, note: str) -> Stored:
        async with self._lock:
            old = self._current
            definitions = transform(old.definitions.judged_at(self._clock()))
            if definitions == old.definitions:
                return old
            changes = changes_between(old.definitions, definitions)
            new = Stored(definitions, old.revision + 1)
            revision = Revision(new.revision, self._clock(), author, note, changes, diff_of(changes))
            await self._write(old, new, revision)
            self._advance(new)
            return new

    @abstractmethod
    async def _write(self, old: Stored, new: Stored, revision: Revision) -> None:
        """Make `new` and its revision durable, both or neither. Raises StoreUnavailable."""
