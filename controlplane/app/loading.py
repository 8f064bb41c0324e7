"""The store of definitions is opened when the control plane starts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_documents
from controlplane.model.problems import DefinitionError
from controlplane.store.interface import DefinitionStore, StoreUnavailable

_log = structlog.get_logger("laneway")

STORE_RETRY = 1.0
"""Seconds between two tries to load the definitions."""


Try = Callable[[Definitions, Definitions], Awaitable[None]]
"""Try the gateways that differ. Raises DefinitionError."""


async def open_store(store: DefinitionStore, seed: bytes | None, attempt: Try) -> None:
    """Open the store; try again until that succeeds. `seed` holds the documents for a store that is empty;
    `attempt` tries them.

    Raises DefinitionError if the seed is wrong.
    """
    await _patiently(store.open)
    await store.align()
    if seed is None:
        return
    if any(store.current.definitions.documents()):
        _log_ignored(seed, store.current.definitions)
        return
    documents = parse_documents(seed)
    empty = store.current.definitions
    await attempt(empty, empty.apply(documents).definitions)
    await _patiently(lambda: store.change(lambda empty: empty.apply(documents).definitions, note="at start"))


async def _patiently(act: Callable[[], Awaitable[object]]) -> None:
    """Call `act` until the store answers, and log the reason while it does not."""
    logged = ""
    while True:
        try:
            await act()
            return
        except StoreUnavailable as error:
            if str(error) != logged:
                logged = str(error)
                _log.error("the definitions cannot be loaded; trying again", reason=logged)
        await asyncio.sleep(STORE_RETRY)


def _log_ignored(seed: bytes, definitions: Definitions) -> None:
    """Log what the documents of `--definitions` would change: they are not read while there are others."""
    remedy = "apply them with `laneway apply -f FILE`"
    try:
        applied = definitions.apply(parse_documents(seed))
    except DefinitionError as error:
        _log.warning("--definitions are ignored: the store has definitions", wrong=error.title, remedy=remedy)
        return
    if applied.created or applied.changed:
        _log.warning(
            "--definitions are ignored: the store has definitions, and these differ from them",
            would_create=list(applied.created),
            would_change=list(applied.changed),
            remedy=remedy,
        )
