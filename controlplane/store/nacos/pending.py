"""Changes that wait to be written, and their effect on the definitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from controlplane.model.problems import DefinitionError
from controlplane.store.history import changes_between, diff_of
from controlplane.store.interface import Revision, Stored, StoreUnavailable, Transform

log = structlog.get_logger("laneway.store.nacos")


@dataclass
class Pending:
    """A change whose caller waits for `result`."""

    transform: Transform
    author: str
    note: str
    result: asyncio.Future[Stored] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, outcome: Stored | Exception) -> None:
        """Give the caller the new state or the exception."""
        if self.result.done():
            return
        if isinstance(outcome, Exception):
            self.result.set_exception(outcome)
            self.result.exception()  # nobody else retrieves it if the caller was cancelled
        else:
            self.result.set_result(outcome)


def run(
    batch: Iterable[Pending], stored: Stored, clock: Callable[[], float]
) -> tuple[Stored, list[Revision], list[Stored | Exception]]:
    """Apply the changes of `batch` to `stored`, one after another. `clock` gives seconds since the epoch.

    Returns the last state, the revisions that lead to it, and for each change the state after it or the
    exception that it raised.
    """
    revisions: list[Revision] = []
    outcomes: list[Stored | Exception] = []
    for pending in batch:
        try:
            definitions = pending.transform(stored.definitions.judged_at(clock()))
            if definitions != stored.definitions:
                changes = changes_between(stored.definitions, definitions)
                stored = Stored(definitions, stored.revision + 1)
                revisions.append(
                    Revision(
                        stored.revision, clock(), pending.author, pending.note, changes, diff_of(changes)
                    )
                )
            outcomes.append(stored)
        except Exception as error:
            outcomes.append(error)
    return stored, revisions, outcomes


def fail(batch: Iterable[Pending], error: Exception) -> None:
    """Raise `error` for the callers of all changes of `batch`."""
    if not isinstance(error, StoreUnavailable | DefinitionError):
        log.error("a change of definitions failed unexpectedly", exc_info=error)
    for pending in batch:
        pending.settle(error)
