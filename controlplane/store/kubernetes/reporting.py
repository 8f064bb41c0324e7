"""Writes the status of custom resources, and Events: one control plane does, and no more than needed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog

from controlplane.kubernetes.client import Client
from controlplane.kubernetes.errors import KubernetesError, NotFound
from controlplane.model.definitions import Key
from controlplane.store.kubernetes.patches import difference
from controlplane.store.kubernetes.resources import API, CustomObject, Json, path_of
from controlplane.store.kubernetes.shared_store import KubernetesStore
from controlplane.store.kubernetes.status import (
    Facts,
    Paced,
    Said,
    about_object,
    event_object,
    events,
    is_urgent,
    status_of,
)
from controlplane.store.kubernetes.writing import MERGE

log = structlog.get_logger("laneway.store.kubernetes")

PAUSE = 0.5
"""Least seconds between two rounds over all objects."""
LOOK = 5.0
"""Most seconds between two rounds: instances and proxies change without news of definitions."""
QUIET = 10.0
"""Least seconds between two writes into one object that change only instances, proxies and warnings."""
WRITES = 50
"""Most writes of a round; the rest waits for the next one."""

Ask = Callable[[], Awaitable[Callable[[Key], Facts]]]
"""Gives what is known of all definitions at one moment."""


class Reporting:
    """ask: see Ask. clock: seconds since the epoch."""

    def __init__(self, store: KubernetesStore, ask: Ask, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._ask = ask
        self._clock = clock
        self._news = asyncio.Event()
        self._paced = Paced(QUIET)
        self._kept: Mapping[Key, str] = {}
        self.writes = 0
        """Status and Events that were written."""
        store.told = self._news.set

    async def run(self) -> None:
        """Write until cancelled. What cannot be written now is written in a later round."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK)
            self._news.clear()
            try:
                if not await self.turn():
                    self._news.set()
            except KubernetesError as error:
                log.warning("the status of custom resources cannot be written", reason=str(error))
            await asyncio.sleep(PAUSE)

    async def turn(self) -> bool:
        """Bring every status up to date. False if some are left. Raises KubernetesError."""
        store, client = self._store, self._store.client
        if client is None or not store.lease.held or not store.verdicts:
            return True
        facts = await self._ask()
        definitions = store.current.definitions
        left = WRITES
        for ref, verdict in sorted(store.verdicts.items()):
            await asyncio.sleep(0)  # proxies are served meanwhile
            found = store.objects.get(ref)
            if found is None or found.generation != verdict.generation:
                continue
            wanted = status_of(found, verdict, definitions, facts(found.key), self._clock())
            if wanted == found.status:
                continue
            if not is_urgent(found, wanted) and not self._paced.due(ref, self._clock()):
                continue
            if left <= 0:
                return False
            left -= 1
            await self._write(client, found, wanted)
        await self._tell_kept(client)
        return True

    async def _write(self, client: Client, found: CustomObject, wanted: Json) -> None:
        path = path_of(self._store.namespace, *found.ref) + "/status"
        patch = {"status": difference(found.status, wanted)}
        try:
            await client.change("PATCH", path, patch, MERGE)
        except NotFound:
            return
        self.writes += 1
        about = about_object(found, self._store.namespace)
        for said in events(found, wanted):
            await self._event(client, about, said)

    async def _tell_kept(self, client: Client) -> None:
        """Say of what was deleted why it stays in force."""
        kept, before = self._store.kept, self._kept
        self._kept = kept
        for key, reason in kept.items():
            ref = self._store.ref_of(key)
            if before.get(key) == reason or ref is None:
                continue
            namespace = self._store.namespace
            about = {"apiVersion": API, "kind": key.kind, "namespace": namespace, "name": ref.name}
            text = f"{key} was deleted and stays in force: {reason}"
            log.warning("a deleted definition stays in force", definition=str(key), reason=reason)
            await self._event(client, about, Said("Warning", "StillNeeded", text))

    async def _event(self, client: Client, about: Json, said: Said) -> None:
        namespace = self._store.namespace
        made = event_object(namespace, about, said, self._clock(), self._store.lease.identity)
        await client.change("POST", f"/api/v1/namespaces/{namespace}/events", made)
        self.writes += 1
