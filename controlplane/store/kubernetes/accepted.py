"""Reads and replaces the ConfigMap with the accepted definitions, and writes the history beside it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from http import HTTPStatus

import structlog

from controlplane.kubernetes.client import Client, Json
from controlplane.kubernetes.errors import KubernetesError, NotFound
from controlplane.model.problems import DefinitionError, Problem
from controlplane.store.history import changes_between, diff_of
from controlplane.store.interface import OutcomeUnknown, Revision, Stored, StoreUnavailable
from controlplane.store.kubernetes import head as heads
from controlplane.store.kubernetes.head import Head
from controlplane.store.kubernetes.resources import path_of
from controlplane.store.rows import Unreadable

log = structlog.get_logger("laneway.store.kubernetes")

RETRY = 1.0
"""Seconds until what is in doubt is asked for again."""
AUTHOR = "kubernetes"
"""The author of what was taken from custom resources."""


class Accepted:
    """The head that is known, in `namespace`. adopted: called with each head that follows on the one before.
    said: called when `damage` may have changed. lock: held by whoever changes something.
    """

    def __init__(
        self,
        namespace: str,
        clock: Callable[[], float],
        adopted: Callable[[Head], None],
        said: Callable[[], None],
    ) -> None:
        self.namespace = namespace
        self.head = Head()
        self.damage = ""
        """Why what is there cannot be what follows on the head that is known."""
        self.lock = asyncio.Lock()
        self._clock = clock
        self._adopted = adopted
        self._said = said
        self._doubtful = asyncio.Event()
        self._path = f"/api/v1/namespaces/{namespace}/configmaps/{heads.NAME}"

    def accepted(self, found: Json | None) -> None:
        """The ConfigMap as it was read. What is older than what is known may be late, or a server restored
        from a backup: it is asked for once more.
        """
        version = found["metadata"]["resourceVersion"] if found is not None else "0"
        if int(version) < int(self.head.version or 0):
            self._doubtful.set()
            return
        with contextlib.suppress(StoreUnavailable):
            self._adopt(self._read(found))

    async def verify(self, client: Client) -> None:
        """Ask for the ConfigMap again whenever it was in doubt."""
        while True:
            await self._doubtful.wait()
            self._doubtful.clear()
            async with self.lock:
                with contextlib.suppress(StoreUnavailable):
                    await self.refresh(client)
            if self.damage:
                await asyncio.sleep(RETRY)
                self._doubtful.set()

    def _read(self, found: Json | None) -> Head:
        """Raises StoreUnavailable where it cannot be what follows on what is known."""
        try:
            head, self.damage = self._following_on(found), ""
        except StoreUnavailable as error:
            if str(error) != self.damage:
                log.error("accepted definitions cannot be used; the last are served", reason=str(error))
            self.damage = str(error)
            raise
        finally:
            self._said()
        return head

    def _following_on(self, found: Json | None) -> Head:
        known = self.head
        where = f"the ConfigMap {heads.NAME} of namespace {self.namespace}"
        if found is None:
            if known.version:
                raise StoreUnavailable(f"{where} is missing; restore it, or restart all control planes")
            return known
        if found["metadata"]["resourceVersion"] == known.version:
            return known
        try:
            head = heads.decoded(found, known.stored.definitions.documents())
        except Unreadable as error:
            raise StoreUnavailable(f"{where} {error}; restore it from a backup") from error
        if head.stored.revision < known.stored.revision:
            raise StoreUnavailable(
                f"{where} has revision {head.stored.revision}, but revision {known.stored.revision} was read "
                "before; if it was restored from a backup, restart the control planes"
            )
        return head

    def _adopt(self, head: Head) -> None:
        if int(head.version or 0) >= int(self.head.version or 0):  # else the watch was faster
            self.head = head
            self._adopted(head)

    async def refresh(self, client: Client) -> Head:
        """The head as it is now. Call it with the lock. Raises StoreUnavailable, KubernetesError."""
        while True:
            known = self.head.version
            try:
                found: Json | None = await client.get(self._path)
            except NotFound:
                found = None
            if self.head.version == known:  # else the watch was faster
                self._adopt(self._read(found))
                return self.head

    async def store(
        self, client: Client, head: Head, author: str = "", note: str = "", between: Stored | None = None
    ) -> bool:
        """Replace the head that is known by `head`; False if another was first. Raises KubernetesError,
        OutcomeUnknown.

        between: the state after what was taken from custom resources, before the change of `author`.
        """
        before = self.head
        steps = [(before.stored, between or head.stored, AUTHOR, "")]
        if between is not None:
            steps.append((between, head.stored, author, note))
        made: list[str] = []
        try:
            for old, new, who, why in steps:
                if new.revision != old.revision:
                    made.append(await self._note(client, old, new, who, why))
            kept = (*before.revisions, *made)
            head = replace(head, revisions=kept[-heads.REVISIONS_KEPT :], version=before.version)
            stored = await self._put(client, head)
        except KubernetesError as error:
            if error.status:
                await self._forget(client, made)
                raise
            return await self._found_out(client, head, error)
        if stored is None:
            await self._forget(client, made)
            return False
        self._adopt(replace(head, version=stored["metadata"]["resourceVersion"]))
        await self._forget(client, kept[: -heads.REVISIONS_KEPT])
        return True

    async def _put(self, client: Client, head: Head) -> Json | None:
        """None if another was first. Raises KubernetesError and DefinitionError 413."""
        try:
            body = heads.encoded(head, self.namespace)
        except Unreadable as error:
            wrong = Problem("", str(error), None, "delete what is not used any more")
            raise DefinitionError(413, f"The definitions are too large: they {error}", [wrong]) from error
        collection = self._path.rpartition("/")[0]
        method, path = ("PUT", self._path) if head.version else ("POST", collection)
        try:
            return await client.change(method, path, body)
        except KubernetesError as error:
            if error.status == HTTPStatus.CONFLICT:
                return None
            raise

    async def _found_out(self, client: Client, head: Head, cause: KubernetesError) -> bool:
        """Whether `head`, to which there was no answer, is stored. Raises OutcomeUnknown."""
        try:
            await self.refresh(client)
        except (KubernetesError, StoreUnavailable):
            raise OutcomeUnknown(f"it is not known whether the change was made: {cause}") from cause
        if head.revisions and head.revisions[-1] in self.head.revisions:
            return True
        return head.stored == self.head.stored and head.pending == self.head.pending

    async def _note(self, client: Client, old: Stored, new: Stored, author: str, note: str) -> str:
        """Write the revision that leads from `old` to `new`. Returns its name."""
        changes = changes_between(old.definitions, new.definitions)
        revision = Revision(new.revision, self._clock(), author, note, changes, diff_of(changes))
        name = f"r{new.revision}-{secrets.token_hex(4)}"
        await client.change(
            "POST", path_of(self.namespace, "revisions"), heads.revision_object(name, revision)
        )
        return name

    async def _forget(self, client: Client, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(KubernetesError):
                await client.change("DELETE", path_of(self.namespace, "revisions", name), {})

    async def revision(self, client: Client, name: str) -> Revision | None:
        """A revision by its name; None if it is not kept. Raises KubernetesError, StoreUnavailable."""
        try:
            return heads.read_revision(await client.get(path_of(self.namespace, "revisions", name)))
        except NotFound:
            return None
        except Unreadable as error:
            raise StoreUnavailable(f"the revision {name} {error}") from error
