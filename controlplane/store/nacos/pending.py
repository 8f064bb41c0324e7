"""Changes that wait to be written, and what they make of the definitions."""

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
    """A change that someone waits for."""

    transform: Transform
    author: str
    note: str
    result: asyncio.Future[Stored] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, outcome: Stored | Exception) -> None:
        if self.result.done():
            return
        if isinstance(outcome, Exception):
            self.result.set_exception(outcome)
            self.result.exception()  # the caller may have been cancelled: then nobody else retrieves it
        else:
            self.result.set_result(outcome)


def run(
    batch: Iterable[Pending], stored: Stored, clock: Callable[[], float]
) -> tuple[Stored, list[Revision], list[Stored | Exception]]:
    """What the changes of `batch` make of `stored`, one after another: the last state, the revisions on the
    way to it, and for each change the state after it, or what it raised.
    """
    revisions: list[Revision] = []
    outcomes: list[Stored | Exception] = []
    for pending in batch:
        try:
            definitions = pending.transform(stored.definitions)
            if definitions is not stored.definitions and definitions != stored.definitions:
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
    """Tell everybody that waits for `batch` why it came to nothing."""
    if not isinstance(error, StoreUnavailable | DefinitionError):
        log.error("a change failed", exc_info=error)
    for pending in batch:
        pending.settle(error)
