"""Definitions in Nacos's configuration service, shared by several control planes.

Readers follow one item, the index (`items.py`). A change reads it, runs on the definitions that it names,
writes new items, and then replaces the index by compare and set: at that moment the change is valid for
everybody, or it never is. Whether it is valid is read back, since an answer may be lost, and Nacos 2.1
answers yes to a comparison that failed. Changes that arrive while another is under way are written together,
each as a revision of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import secrets
import time
from collections.abc import Callable, Iterable

import structlog

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import Parsed
from controlplane.model.problems import DefinitionError, Problem
from controlplane.nacos import NacosConnection
from controlplane.store.base import BaseStore
from controlplane.store.interface import (
    OutcomeUnknown,
    Revision,
    Served,
    Stored,
    StoreDamaged,
    StoreUnavailable,
    Transform,
)
from controlplane.store.nacos import items
from controlplane.store.nacos.api import ConfigApi
from controlplane.store.nacos.expected import contradiction, lost
from controlplane.store.nacos.item_session import ItemSession
from controlplane.store.nacos.items import INDEX, Attempt, Index, Unreadable
from controlplane.store.nacos.limits import ABSENT, BATCH, COMPANY, GROUP, LAG, PATIENCE, RETRY, SWEEP, TURN
from controlplane.store.nacos.pending import Pending, fail, run
from controlplane.store.nacos.unavailable import NotSent
from controlplane.store.nacos.waiting import Lagging, at_once, tries

log = structlog.get_logger("laneway.store.nacos")


class NacosStore(BaseStore):
    """A DefinitionStore in the group `group` of the namespace that `connection` names, in Nacos 2.1 or newer.

    `current` is what was read last, also while Nacos cannot be reached. Changes by other control planes are
    read without being asked for.

    `open` does not wait for a Nacos that cannot be reached: it raises StoreUnavailable and may be called
    again. It writes nothing; without an index, the store is empty. `clock` gives seconds since the epoch.
    """

    def __init__(
        self, connection: NacosConnection, group: str = GROUP, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(clock)
        self._api = ConfigApi(connection, group)
        self._index = Index()
        self._text: str | None = None  # the index as Nacos has it
        self._known: dict[str, Parsed] = {}  # by name of the item
        self._lock = asyncio.Lock()
        self._pending: list[Pending] = []
        self._committer: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._cleaners: set[asyncio.Task[None]] = set()
        self._until_sweep = 0
        self._others_wrote = float("-inf")  # on the event loop's clock
        self._closed = False

    async def _open(self, served: Served | None) -> None:
        async with self._lock, self._api.session() as session:
            await self._refresh(session)
        await self._check(served)
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch(), name="definitions in Nacos")

    async def _check(self, served: Served | None) -> None:
        """Raises StoreDamaged where the items that were read cannot be those of before, StoreUnavailable
        where Nacos does not serve them yet.
        """
        if self._text is None:
            names = await self._api.names_if_told()
            if INDEX in names:
                raise StoreUnavailable(
                    "Nacos does not serve the definitions yet that its database has; trying again"
                )
            wrong = lost(names, served)
            if not wrong and (missing := await self._api.missing_namespace()):
                log.warning("definitions are read from an empty namespace", reason=missing)
        else:
            wrong = contradiction(self._current, served)
        if wrong:
            raise StoreDamaged(f"definitions in Nacos: {wrong}")
        if served is not None and (known := served.revision) > (found := self._current.revision):
            log.warning("definitions in Nacos are older than the snapshot", revision=found, snapshot=known)

    async def restore(self, stored: Stored, note: str) -> Stored:
        """Store `stored` where there is no index, as the revision after its own. Raises StoreUnavailable."""
        async with self._lock, self._api.session() as session:
            await self._refresh(session)
        if self._text is not None:
            raise StoreUnavailable(
                f"Nacos has definitions (revision {self._current.revision}): change them with `laneway apply`"
            )
        self._index, self._current = Index(stored.revision), Stored(Definitions(), stored.revision)
        return await self.change(lambda _: stored.definitions, note=note)

    async def close(self) -> None:
        self._closed = True
        if self._committer is not None:
            await asyncio.wait({self._committer})
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait({self._watcher})
        if self._cleaners:
            await asyncio.wait(self._cleaners)
        self._subscribers.clear()
        await self._api.close()

    async def change(self, transform: Transform, author: str = "", note: str = "") -> Stored:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        pending = Pending(transform, author, note)
        self._pending.append(pending)
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_all(), name="changes of definitions")
        return await asyncio.shield(pending.result)

    async def revisions(self, limit: int = 100) -> list[Revision]:
        ids = reversed(self._index.revisions[-limit:] if limit > 0 else ())
        async with self._api.session() as session:
            found = await at_once(self._read_revision(session, id) for id in ids)
        return [revision for revision in found if revision is not None]

    async def _revision(self, number: int) -> Revision | None:
        async with self._api.session() as session:
            async with self._lock:
                await self._refresh(session)
            id = next((id for id in self._index.revisions if items.number_of(id) == number), None)
            revision = None if id is None else await self._read_revision(session, id)
        if revision is not None and not revision.changes:
            message = "was too large to be kept with what undoing needs"
            wrong = Problem("revision", message, number, "undo it by hand, with `laneway apply`")
            raise DefinitionError(409, f"Revision {number} cannot be undone: it {message}", [wrong])
        return revision

    async def _read_revision(self, session: ItemSession, id: str) -> Revision | None:
        """The revision with this id; None if it is not kept any more. Raises StoreUnavailable."""
        name = items.revision_item(id)
        text = None
        async for last in tries(LAG):
            text = await session.get(name)
            if text is not None or id not in self._index.revisions:
                break
            if last:
                raise StoreUnavailable(f"the item {name} is missing in Nacos; restore it from its history")
        if text is None:
            return None
        try:
            items.check(name, text)
            return items.decode_revision(text)
        except Unreadable as error:
            raise StoreUnavailable(str(error)) from error

    # Reading.

    async def _watch(self) -> None:
        """Follow the index until cancelled."""
        while True:
            try:
                if await self._api.wait(INDEX, self._seen()):
                    async with self._lock, self._api.session() as session:
                        if not await self._refresh(session):
                            await asyncio.sleep(RETRY / 10)  # the servers of a cluster disagree for a moment
                self._say("")
                continue
            except StoreUnavailable as error:
                self._say(str(error))
            except Exception as error:
                log.exception("reading definitions from Nacos failed unexpectedly; trying again")
                self._say(f"{type(error).__name__}: {error}")
            await asyncio.sleep(RETRY)

    def _seen(self) -> str:
        """The MD5 of the known index; after a problem one that no index has, so that Nacos answers
        at once.
        """
        if self.problem:
            return ABSENT
        return items.md5(self._text) if self._text is not None else ""

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            if problem:
                log.warning(
                    "definitions cannot be read from Nacos; the last known ones are served", reason=problem
                )
            else:
                log.info("definitions can be read from Nacos again", revision=self._current.revision)

    async def _refresh(self, session: ItemSession) -> bool:
        """Read the index and make it current; returns whether it had changed. Call it with the lock.

        An index older than the known one, or one that names items which are missing, is that of a server that
        lags behind: it is read again for a while. Raises StoreUnavailable.
        """
        async for last in tries(LAG):
            text = await session.get(INDEX)
            if text == self._text:
                return False
            try:
                await self._take(session, text)
                return True
            except Lagging as lagging:
                if last:
                    raise StoreUnavailable(str(lagging)) from None
        raise AssertionError

    async def _take(self, session: ItemSession, text: str | None) -> None:
        """Make the index `text`, and the items that it names, current. Raises Lagging, StoreUnavailable."""
        known = self._index.revision
        if text is None:
            raise Lagging(f"the item {INDEX} is missing in Nacos; restore it from its history")
        try:
            index = items.decode_index(text)
            if index.revision < known:
                raise Lagging(
                    f"Nacos has revision {index.revision}, but revision {known} was read before; if it was "
                    "restored from a backup, restart the control planes"
                )
            found = await self._load(session, index)
            definitions = Definitions(at=math.inf).change(found.values())  # as in `store.rows`
        except Unreadable as error:
            raise StoreUnavailable(f"definitions in Nacos: {error}; restore it from its history") from error
        except DefinitionError as error:
            raise StoreUnavailable(f"the definitions in Nacos break a rule: {error}") from error
        self._adopt(index, text, Stored(definitions, index.revision), found)
        self._others_wrote = asyncio.get_running_loop().time()

    async def _load(self, session: ItemSession, index: Index) -> dict[str, Parsed]:
        """The definitions that the index names, by the name of the item. Raises Lagging, Unreadable."""
        names = {items.document_item(key, id): key for key, id in index.documents.items()}

        async def load(name: str) -> tuple[str, Parsed]:
            text = await session.get(name)
            if text is None:
                raise Lagging(f"the item {name} is missing in Nacos; restore it from its history")
            items.check(name, text)
            parsed = items.decode_document(names[name], text)
            known = self._current.definitions.get(names[name])
            if known is not None and known == parsed.document:  # kept results are found by document
                parsed = Parsed(known, parsed.slots)
            return name, parsed

        loaded = dict(await at_once(load(name) for name in names if name not in self._known))
        return {name: loaded.get(name) or self._known[name] for name in names}

    def _adopt(self, index: Index, text: str, stored: Stored, known: dict[str, Parsed]) -> None:
        self._index, self._text, self._known = index, text, known
        self.aligned = index.aligned
        if stored.revision != self._current.revision or stored.definitions != self._current.definitions:
            self._advance(stored)

    # Writing.

    async def _commit_all(self) -> None:
        while self._pending:
            batch, self._pending = self._pending[:BATCH], self._pending[BATCH:]
            async with self._lock:
                try:
                    await self._commit(batch)
                except DefinitionError:  # one of them is too large: write them one by one
                    for pending in batch:
                        await self._commit_one(pending)
                except Exception as error:
                    fail(batch, error)
            if asyncio.get_running_loop().time() - self._others_wrote < COMPANY:
                await asyncio.sleep(random.uniform(0.0, TURN))

    async def _commit_one(self, pending: Pending) -> None:
        try:
            await self._commit([pending])
        except Exception as error:
            fail([pending], error)

    async def _commit(self, batch: list[Pending]) -> None:
        """Store all changes of `batch` that are not refused. Call it with the lock. Raises
        StoreUnavailable.
        """
        listed = await self._listed()
        async with self._api.session() as session:
            async for last in tries(PATIENCE):
                await self._refresh(session)
                stored, revisions, outcomes = run(batch, self._current, self._clock)
                if not revisions or await self._prevails(session, stored, revisions, listed):
                    for pending, outcome in zip(batch, outcomes, strict=True):
                        pending.settle(outcome)
                    return
                if last:
                    raise StoreUnavailable(
                        f"other control planes changed the definitions for {PATIENCE:g} s; try again"
                    )

    async def _prevails(
        self, session: ItemSession, stored: Stored, revisions: list[Revision], listed: set[str]
    ) -> bool:
        """Try to store `stored`; False if another change was first. Raises StoreUnavailable."""
        name = secrets.token_hex(4)
        attempt = items.attempt(self._index, stored.definitions, revisions, name, self.aligned)
        try:
            await at_once(session.publish(name, text, "yaml") for name, text in attempt.items.items())
            won = await self._replace(session, attempt)
        except OutcomeUnknown:
            raise
        except StoreUnavailable:
            self._clean(attempt.items)
            raise
        if not won:
            self._clean(attempt.items)
            return False
        known = {name: parsed for name, parsed in self._known.items() if name not in attempt.garbage}
        for key, id in attempt.index.documents.items():
            if (name := items.document_item(key, id)) in attempt.items:
                known[name] = items.parsed(stored.definitions, key)
        self._adopt(attempt.index, attempt.text, stored, known)
        self._clean(attempt.garbage | (listed - attempt.index.items()))
        return True

    async def _replace(self, session: ItemSession, attempt: Attempt) -> bool:
        """Compare and set the index; returns whether it was replaced. Raises StoreUnavailable,
        OutcomeUnknown.
        """
        old = self._text
        refused = ""
        try:
            cas = ABSENT if old is None else items.md5(old)
            if not await session.publish(INDEX, attempt.text, "json", cas):
                refused = "Nacos does not accept the new index"
        except NotSent:
            raise
        except StoreUnavailable as error:
            refused = str(error)  # it may have been written all the same
        async for last in tries(LAG):
            text = await self._look(session, old)
            if text == attempt.text:
                return True
            if text != old and text is not None and (found := items.contains(text, attempt)) is not None:
                return found
            if last:
                break
        raise OutcomeUnknown(refused or f"Nacos does not show the new index after {LAG:g} s")

    async def _look(self, session: ItemSession, known: str | None) -> str | None:
        """The index as Nacos has it; `known` where it cannot be read."""
        try:
            return await session.get(INDEX)
        except StoreUnavailable:
            with contextlib.suppress(StoreUnavailable):  # the server may be back, or another one can be used
                async with self._api.session() as other:
                    return await other.get(INDEX)
        return known

    async def _listed(self) -> set[str]:
        """The names of all items, once in SWEEP calls; else none.

        Items that are listed here and are not named by the index that this store writes next belong to
        attempts that began earlier. Those cannot succeed any more, so the items are garbage.
        """
        if self._until_sweep > 0:
            self._until_sweep -= 1
            return set()
        self._until_sweep = SWEEP
        return {name for name in await self._api.names_if_told() if items.is_ours(name)}

    def _clean(self, names: Iterable[str]) -> None:
        """Delete items in the background; what cannot be deleted, a later search finds."""

        doomed = list(names)

        async def clean() -> None:
            with contextlib.suppress(StoreUnavailable):
                async with self._api.session() as session:
                    await at_once(session.delete(name) for name in doomed)

        if doomed:
            task = asyncio.create_task(clean())
            self._cleaners.add(task)
            task.add_done_callback(self._cleaners.discard)
