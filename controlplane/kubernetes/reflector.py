"""Follows one collection of the API server: a list, then a watch from its version.

When the server does not know that version any more (410, the rule after its restart), the collection is
listed again and compared: what was deleted meanwhile is in no event. That is why a client library that only
repeats the watch loses deletions, see docs/decisions/0033.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Generic, Protocol, TypeVar

import structlog

from controlplane.kubernetes.client import ANSWER_WITHIN, Client, Json
from controlplane.kubernetes.errors import Expired, Forbidden, KubernetesError, NotFound

log = structlog.get_logger("laneway.kubernetes")

REFUSED_RETRY = 15.0
"""Most seconds until a collection that the server refuses is asked for again; roles may change."""
SHORT = 1.0
"""A watch that ends sooner than this many seconds was of no use: the next one waits."""
LONGEST_PAUSE = 5.0
"""Most seconds between two lists of a collection whose watches end at once."""

TEMPORARY = (0, 401, 408, 429, 503)
"""Statuses that say nothing about the version from which a watch should resume; 0: no answer at all."""

Key = tuple[str, str]
"""Namespace and name of an object; the namespace of those that have none is ""."""
T = TypeVar("T")
Taken = TypeVar("Taken", contravariant=True)


class _Broken(Exception):
    """A connection broke after its watch had lasted for a while."""

    def __init__(self, lasted: float) -> None:
        super().__init__()
        self.lasted = lasted


class Taker(Protocol[Taken]):
    """Receives what a reflector learns. No method may wait."""

    def listed(self, records: Mapping[Key, Taken]) -> None:
        """The collection has these records now, and no others."""
        ...

    def changed(self, key: Key, record: Taken | None) -> None:
        """One record is new or different; None: it was deleted."""
        ...

    def refused(self, reason: str) -> None:
        """The server does not let Laneway read the collection; "" ends that."""
        ...


@dataclass(frozen=True, slots=True)
class Collection(Generic[T]):
    """A collection of the API server.

    `read` makes a record of an object, None for one that is not used; it raises LookupError, TypeError,
    ValueError or AttributeError for one that it cannot read, which is then left out.
    """

    path: str
    read: Callable[[Json], T | None]
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])


class Reflector(Generic[T]):
    """Keeps a taker up to date with a collection. It may run again with another client, and resumes then."""

    def __init__(self, collection: Collection[T], taker: Taker[T]) -> None:
        self.collection = collection
        self.version = ""
        """The version of the collection that the taker has; "" where it has to be listed."""
        self.lists = 0
        """How often the collection was listed."""
        self._taker = taker
        self._listed = asyncio.Event()
        self._again = asyncio.Event()
        self._new_list = asyncio.Event()

    @property
    def has_answered(self) -> bool:
        """Whether the collection was listed, or refused, since the process began."""
        return self._listed.is_set()

    async def answered(self) -> None:
        """Return when the collection was listed once, or refused."""
        await self._listed.wait()

    async def listed_after(self, lists: int) -> None:
        """Return when the collection was listed more than `lists` times."""
        while self.lists <= lists:
            self._new_list.clear()
            await self._new_list.wait()

    def renew(self) -> None:
        """List the collection again, soon."""
        self._again.set()

    async def run(self, client: Client) -> None:
        """Follow the collection until cancelled. Raises KubernetesError when the server cannot be used."""
        pause = 0.0
        while True:
            try:
                if not self.version or self._again.is_set():
                    await self._list(client)
                lasted = await self._watch(client)
            except Expired:
                lasted, self.version = 0.0, ""
            except _Broken as broken:
                lasted = broken.lasted
            except (Forbidden, NotFound) as error:
                # What the taker has of it stays: it is not known to be gone.
                self._taker.refused(str(error))
                self._listed.set()
                pause = min(REFUSED_RETRY, max(0.5, 2 * pause))
                await asyncio.sleep(pause * random.uniform(0.75, 1.0))
                self.version = ""
                continue
            if lasted >= SHORT:
                pause = 0.0
                continue
            pause = min(LONGEST_PAUSE, max(0.02, 2 * pause))
            await asyncio.sleep(pause * random.uniform(0.75, 1.0))

    async def _list(self, client: Client) -> None:
        self._again.clear()
        records: dict[Key, T] = {}
        version = ""
        async with contextlib.aclosing(
            client.pages(self.collection.path, self.collection.parameters)
        ) as pages:
            async for page in pages:
                version = version or page["metadata"]["resourceVersion"]
                for found in page.get("items") or ():
                    record = self._read(found)
                    if record is not None:
                        records[key_of(found)] = record
        self.version = version
        self.lists += 1
        self._taker.refused("")
        self._taker.listed(records)
        self._listed.set()
        self._new_list.set()

    async def _watch(self, client: Client) -> float:
        """Follow one watch until the server ends it. Returns how many seconds it lasted."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        events = client.watch(self.collection.path, self.version, self.collection.parameters)
        reading = asyncio.create_task(self._events(events))
        renewing = asyncio.create_task(self._again.wait())
        try:
            longest = client.watch_for + ANSWER_WITHIN
            await asyncio.wait({reading, renewing}, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            elif not renewing.done():
                raise KubernetesError(f"the server does not end the watch of {self.collection.path}")
        except KubernetesError as error:
            if error.status not in TEMPORARY:
                self.version = ""  # whatever is wrong with it, a list does not depend on it
            if not error.status and loop.time() - began >= SHORT:
                log.info("a watch broke; it is resumed", path=self.collection.path, reason=str(error))
                raise _Broken(loop.time() - began) from error
            raise
        finally:
            for task in (reading, renewing):
                task.cancel()
            await asyncio.gather(reading, renewing, return_exceptions=True)
        return loop.time() - began

    async def _events(self, events: AsyncGenerator[Json, None]) -> None:
        async with contextlib.aclosing(events) as stream:
            async for event in stream:
                self._take(event)

    def _take(self, event: Json) -> None:
        kind, found = event["type"], event["object"]
        if kind == "ERROR":  # the status of the answer was 200
            text = f"{self.collection.path}: {found.get('code')} {found.get('message')}"
            if found.get("code") == HTTPStatus.GONE:
                raise Expired(text)
            raise KubernetesError(text, status=int(found.get("code") or 500))
        version = found["metadata"]["resourceVersion"]
        if kind != "BOOKMARK":
            record = None if kind == "DELETED" else self._read(found)
            self._taker.changed(key_of(found), record)
        self.version = version

    def _read(self, found: Json) -> T | None:
        try:
            return self.collection.read(found)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            log.error(
                "an object cannot be read and is left out",
                path=self.collection.path,
                name="/".join(key_of(found)),
                reason=repr(error),
            )
            return None


def key_of(found: Json) -> Key:
    """Namespace and name of an object."""
    metadata = found["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
