"""Definitions as custom resources, shared by several control planes and by whoever uses kubectl.

What all control planes serve is one ConfigMap (`head.py`), replaced by compare and set (`accepted.py`). Then
a change is written into the custom resources (`writing.py`). What others write into these is taken by the
control plane that holds the lease (`taking.py`): what breaks a rule gets a verdict, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import structlog

from controlplane.kubernetes.client import Client, Json
from controlplane.kubernetes.errors import KubernetesError
from controlplane.model.definitions import Definitions, Key, key_of
from controlplane.model.problems import DefinitionError, Problem
from controlplane.store.base import BaseStore
from controlplane.store.history import changes_between
from controlplane.store.interface import (
    Revision,
    Served,
    Stored,
    StoreDamaged,
    StoreUnavailable,
    Transform,
)
from controlplane.store.kubernetes import head as heads
from controlplane.store.kubernetes.accepted import Accepted
from controlplane.store.kubernetes.fitting import take_what_fits
from controlplane.store.kubernetes.following import Cluster, Following
from controlplane.store.kubernetes.head import Head
from controlplane.store.kubernetes.lease import Lease
from controlplane.store.kubernetes.resources import BY_PLURAL, CustomObject, Ref, new_ref, spec_of
from controlplane.store.kubernetes.taking import Taken, Verdict, unjudged
from controlplane.store.kubernetes.writing import Writer, missing, to_write
from controlplane.store.rows import Unreadable

log = structlog.get_logger("laneway.store.kubernetes")

OPEN_WITHIN = 20.0
"""Seconds that `open` waits for the first lists."""
PATIENCE = 30.0
"""Seconds for which a change is tried again after others were first."""
GATHER = 0.1
"""Seconds for which news are gathered: what kubectl applies at once is mostly one revision."""
SETTLE = 1.0
"""Seconds until the ConfigMap is written only to note which generations it has."""
STALE = 5.0
"""Seconds after which what another control plane was about to write is written by the one that acts."""
TURN = 2.0
"""Most seconds for which a change waits until the one that acts has taken newer objects."""
RETRY = 1.0
"""Seconds until what failed is tried again."""
Further = Callable[[Definitions], Awaitable[None]]
"""Checks of the control plane beside the model's. Raises DefinitionError whose problems name documents."""


async def _nothing(_: Definitions) -> None:
    return


class KubernetesStore(BaseStore):
    """A DefinitionStore in the custom resources of one namespace.

    `further` may be set before `open`. `verdicts` and `kept` are those of the control plane that acts, and
    `told` is called whenever they, or the objects, may have changed.
    """

    def __init__(self, cluster: Cluster, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self.namespace = cluster.namespace
        self.further: Further = _nothing
        self.verdicts: Mapping[Ref, Verdict] = {}
        self.kept: Mapping[Key, str] = {}
        self.told: Callable[[], None] = lambda: None
        identity = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(3)}"
        self.lease = Lease(cluster.namespace, identity, self._look_again)
        self._accepted = Accepted(cluster.namespace, clock, self._adopt, self._say)
        self._following = Following(cluster, self._accepted.accepted, self._look_again, self._work)
        self._news = asyncio.Event()
        self._waiting: set[asyncio.Event] = set()
        self._follower: asyncio.Task[None] | None = None
        self._since: dict[Ref, float] = {}
        self._noted = float("-inf")
        self._relisted = False
        self._expected = False
        self._closed = False

    @property
    def objects(self) -> Mapping[Ref, CustomObject]:
        """The custom resources as they were read last."""
        return self._following.objects

    @property
    def client(self) -> Client | None:
        """The connection that works now."""
        return self._following.client

    def ref_of(self, key: Key) -> Ref | None:
        """The object that defines, or defined, what is in force under `key`."""
        return next((ref for ref, record in self._accepted.head.records.items() if record.key == key), None)

    # Life.

    async def _open(self, served: Served | None) -> None:
        # A lost ConfigMap must not be taken for a new store.
        self._expected = served is not None and served.revision > 0
        if self._follower is None:
            self._follower = asyncio.create_task(self._following.run(), name="definitions in Kubernetes")
        loop = asyncio.get_running_loop()
        end = loop.time() + OPEN_WITHIN
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            while not self._following.whole:
                if wrong := self._following.refusals():
                    raise StoreUnavailable("; ".join(wrong[:3]))
                if self._following.problem:
                    raise StoreUnavailable(self._following.problem)
                changed.clear()
                try:
                    await asyncio.wait_for(changed.wait(), end - loop.time())
                except TimeoutError:
                    raise StoreUnavailable("the custom resources could not be listed in time") from None
        finally:
            self._waiting.discard(changed)
        if self.problem:
            raise StoreUnavailable(self.problem)
        if self.objects and not self._accepted.head.version and served is None:
            await self._first(end)
        if served is not None and served.revision and not self._accepted.head.version:
            raise StoreDamaged(
                f"the ConfigMap {heads.NAME} of namespace {self.namespace} is missing, although revision "
                f"{served.revision} was served ({served.path}); restore it from a backup, or remove the "
                "snapshot to begin from the custom resources as they are"
            )
        self._look_again()

    async def _first(self, end: float) -> None:
        """Wait until the custom resources were taken for the first time, by whoever acts."""
        loop = asyncio.get_running_loop()
        self._look_again()
        while not self._accepted.head.version:
            if loop.time() > end:
                raise StoreUnavailable("the custom resources were not taken in time; is the Lease free?")
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        self._closed = True
        async with self._accepted.lock:
            if self._follower is not None:
                client = self._following.client
                if client is not None:
                    await self.lease.give_up(client)
                self._follower.cancel()
                await asyncio.wait({self._follower})
        self._subscribers.clear()

    async def _work(self, client: Client) -> None:
        """What runs as long as a connection does."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.lease.keep(client), name="lease of the store")
            group.create_task(self._act(client), name="taking custom resources")
            group.create_task(self._accepted.verify(client), name="definitions in doubt")

    # Reading.

    def _look_again(self) -> None:
        self._say()
        self._news.set()
        for event in self._waiting:
            event.set()
        self.told()

    def _say(self) -> None:
        problem = (
            self._following.problem or "; ".join(self._following.refusals()[:3]) or self._accepted.damage
        )
        if problem != self.problem:
            self.problem = problem

    def _adopt(self, head: Head) -> None:
        self.aligned = head.aligned
        if head.stored != self._current:
            self._advance(head.stored)

    # Changes of the API.

    async def change(self, transform: Transform, author: str = "", note: str = "") -> Stored:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await asyncio.shield(asyncio.ensure_future(self._change(transform, author, note)))

    async def _change(self, transform: Transform, author: str, note: str) -> Stored:
        async with self._accepted.lock:
            client = self._usable()
            try:
                return await self._commit(client, transform, author, note)
            except KubernetesError as error:
                raise StoreUnavailable(str(error)) from error

    def _usable(self) -> Client:
        client = self._following.client
        if client is None or not self._following.whole or self.problem:
            raise StoreUnavailable(self.problem or "the custom resources are not read yet")
        return client

    async def _commit(self, client: Client, transform: Transform, author: str, note: str) -> Stored:
        loop = asyncio.get_running_loop()
        end, soon = loop.time() + PATIENCE, loop.time() + TURN
        while True:
            await self._accepted.refresh(client)
            objects = dict(self.objects)
            taken = Taken(self._accepted.head, {})
            if self._acts:
                taken = await self._judged(objects)  # what was written into objects before counts before
            base = taken.head.stored
            definitions = transform(base.definitions.judged_at(self._clock()))
            if definitions == base.definitions:
                if base == self._accepted.head.stored or await self._accepted.store(client, taken.head):
                    return base
                continue
            changes = changes_between(base.definitions, definitions)
            if not self._acts and loop.time() < soon:
                keys = {one.key for one in changes}
                if unjudged(self._accepted.head, objects, keys):
                    await asyncio.sleep(0.05)
                    continue
            after = Stored(definitions, base.revision + 1)
            head = replace(
                taken.head,
                stored=after,
                aligned=self.aligned,
                pending=to_write(taken.head, changes, definitions),
            )
            if await self._accepted.store(client, head, author, note, base):
                break
            if loop.time() > end:
                raise StoreUnavailable(f"others changed the definitions for {PATIENCE:g} s; try again")
        mine = {
            ref: patch for ref, patch in head.pending.items() if taken.head.pending.get(ref, ...) != patch
        }
        await self._write(client, mine, objects)
        return after

    async def _write(
        self, client: Client, pending: Mapping[Ref, Json | None], objects: Mapping[Ref, CustomObject]
    ) -> None:
        """Bring the objects to what was stored. Raises DefinitionError 409 where somebody else's change of
        the same fields counts; what the server does not take now is written later.
        """
        try:
            lost = await Writer(client, self.namespace).write(
                pending, objects, _kind_of, self._accepted.head.stored.revision
            )
        except KubernetesError as error:
            log.warning("a change is stored; its custom resources are written later", reason=str(error))
            self._news.set()
            return
        if not lost:
            return
        left = {ref: patch for ref, patch in self._accepted.head.pending.items() if ref not in lost}
        await self._accepted.store(client, replace(self._accepted.head, pending=left))
        message = "was changed through Kubernetes at the same moment; that change counts"
        wrong = [Problem("", message, None, "look at it, and try again", str(ref)) for ref in lost]
        raise DefinitionError(409, f"{lost[0]} {message}", wrong)

    async def revisions(self, limit: int = 100) -> list[Revision]:
        client = self._usable()
        names = self._accepted.head.revisions[-limit:] if limit > 0 else ()
        try:
            found = [await self._accepted.revision(client, name) for name in reversed(names)]
        except KubernetesError as error:
            raise StoreUnavailable(str(error)) from error
        return [one for one in found if one is not None]

    async def _revision(self, number: int) -> Revision | None:
        client = self._usable()
        try:
            async with self._accepted.lock:
                await self._accepted.refresh(client)
            name = next(
                (one for one in self._accepted.head.revisions if heads.number_of(one) == number), None
            )
            revision = None if name is None else await self._accepted.revision(client, name)
        except KubernetesError as error:
            raise StoreUnavailable(str(error)) from error
        if revision is not None and not revision.changes:
            message = "was too large to be kept with what undoing needs"
            wrong = Problem("revision", message, number, "undo it by hand, with `laneway apply`")
            raise DefinitionError(409, f"Revision {number} cannot be undone: it {message}", [wrong])
        return revision

    # What others write into custom resources.

    async def _judged(self, objects: Mapping[Ref, CustomObject]) -> Taken:
        """What is taken of the objects, after all checks."""
        denied: dict[str, DefinitionError] = {}
        while True:
            try:
                taken = take_what_fits(self._accepted.head, objects, self._clock(), denied)
            except Unreadable as error:
                raise StoreUnavailable(f"what is accepted {error}") from error
            if taken.head.stored.revision == self._accepted.head.stored.revision:
                return taken
            try:
                await self.further(taken.head.stored.definitions)
                return taken
            except DefinitionError as error:
                named = {one.document: DefinitionError(error.status, "", [one]) for one in error.problems}
                if not named.keys() - denied.keys():
                    log.error("custom resources are refused, and it is not known which", reason=str(error))
                    return Taken(self._accepted.head, {})
                denied |= named

    async def _act(self, client: Client) -> None:
        """Take what is written into custom resources, as long as this process holds the lease."""
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER)
            self._news.clear()
            if not self.lease.held:
                self._relisted = False
            lost = self._expected and not self._accepted.head.version
            if lost or not self.lease.held or not self._following.whole or self.problem or self._closed:
                continue
            if not self._relisted:
                await self._following.relist()  # who acted before may have seen more
                self._relisted = True
            try:
                async with self._accepted.lock:
                    again = await self._turn(client)
            except (StoreUnavailable, DefinitionError) as error:
                log.warning("custom resources are not taken now; trying again", reason=str(error))
                again = RETRY
            if again is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), again)
                self._news.set()

    @property
    def _acts(self) -> bool:
        """Whether this process takes what is written into custom resources."""
        return self.lease.held and self._relisted

    async def _turn(self, client: Client) -> float | None:
        """Take the objects as they are now. Returns after how many seconds to look again, None: at news."""
        loop = asyncio.get_running_loop()
        objects = dict(self.objects)
        taken = await self._judged(objects)
        head = taken.head
        stale = self._stale(head, loop.time())
        late = [] if stale else missing(head, head.stored.definitions)
        if late:
            made = {new_ref(key_of(one)): spec_of(one, new_ref(key_of(one))) for one in late}
            head = replace(head, pending={**head.pending, **made})
        if head.stored.revision != self._accepted.head.stored.revision or late:
            if await self._keep(client, head):
                self._tell(taken)
            return 0.0 if late else None
        self._tell(taken)
        if stale:
            lost = await Writer(client, self.namespace).write(stale, objects, _kind_of, head.stored.revision)
            left = {ref: patch for ref, patch in head.pending.items() if ref not in lost}
            head = replace(head, pending=left)
        if not self._accepted.head.version:
            await self._keep(client, head)
            return None
        if head != self._accepted.head:
            if loop.time() - self._noted < SETTLE:
                return SETTLE
            self._noted = loop.time()
            await self._keep(client, head)
            return None
        return STALE if head.pending else None

    def _tell(self, taken: Taken) -> None:
        self.verdicts, self.kept = taken.verdicts, taken.kept
        self.told()

    async def _keep(self, client: Client, head: Head) -> bool:
        """Store `head`. False if another was first: then what is known is read again."""
        if await self._accepted.store(client, head):
            return True
        await self._accepted.refresh(client)
        self._news.set()
        return False

    def _stale(self, head: Head, now: float) -> dict[Ref, Json | None]:
        """What was to be written into objects for a while."""
        self._since = {ref: self._since.get(ref, now) for ref in head.pending}
        return {ref: patch for ref, patch in head.pending.items() if now - self._since[ref] >= STALE}


def _kind_of(ref: Ref) -> str:
    return BY_PLURAL[ref.plural].name
