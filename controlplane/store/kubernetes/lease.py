"""Which of several control planes acts: the holder of a Lease (coordination.k8s.io/v1).

As in client-go, clocks of machines are not compared: a lease is over when nobody has renewed it for its
duration, by the clock of the one who watches. Who cannot renew it in time stops before another may begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

import structlog

from controlplane.kubernetes.client import Client, Json
from controlplane.kubernetes.errors import KubernetesError, NotFound

log = structlog.get_logger("laneway.kubernetes")

NAME = "laneway"
DURATION = 15
"""Seconds after which a lease that nobody renews is over."""
RENEWED = 10.0
"""Seconds without a renewal after which its holder stops acting."""
EVERY = 2.0
"""Seconds between two looks at it."""


class Lease:
    """The lease in `namespace`; `identity` is this process. `changed` is called when it is got or lost."""

    def __init__(
        self,
        namespace: str,
        identity: str,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = identity
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._collection}/{NAME}"
        self._changed = changed
        self._clock = clock
        self._renewed = float("-inf")
        self._seen = ("", "")
        self._seen_at = 0.0
        self._was = False

    @property
    def held(self) -> bool:
        """Whether this process acts."""
        return self._clock() - self._renewed < RENEWED

    async def keep(self, client: Client) -> None:
        """Get the lease, and renew it, until cancelled. Raises KubernetesError where the server is away."""
        while True:
            await self.look(client)
            await asyncio.sleep(EVERY)

    async def look(self, client: Client) -> None:
        """Get or renew the lease if it can be had now. Raises KubernetesError."""
        began = self._clock()
        try:
            found: Json | None = await client.get(self._path)
        except NotFound:
            found = None
        spec: Json = (found or {}).get("spec") or {}
        holder, renewed = spec.get("holderIdentity") or "", spec.get("renewTime") or ""
        if (holder, renewed) != self._seen:
            self._seen, self._seen_at = (holder, renewed), began
        over = self._clock() - self._seen_at >= (spec.get("leaseDurationSeconds") or DURATION)
        if holder in ("", self.identity) or over:
            await self._take(client, found, spec, holder, began)
        self.tell()

    async def _take(self, client: Client, found: Json | None, spec: Json, holder: str, began: float) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = holder == self.identity
        wanted = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": DURATION,
            "renewTime": now,
            "acquireTime": spec.get("acquireTime", now) if mine else now,
            "leaseTransitions": spec.get("leaseTransitions", 0) + (0 if mine else 1),
        }
        metadata = {"name": NAME}
        if found is not None:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": wanted}
        method, path = ("PUT", self._path) if found is not None else ("POST", self._collection)
        try:
            await client.change(method, path, body)
        except KubernetesError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            return  # another was first
        self._renewed = began
        self._seen, self._seen_at = (self.identity, now), began

    def tell(self) -> None:
        """Say whether the lease was got or lost since the last time."""
        if self.held != self._was:
            self._was = self.held
            log.info("this control plane writes the status" if self._was else "another one writes the status")
            self._changed()

    async def give_up(self, client: Client) -> None:
        """Let another have it at once. A failure is not told: the lease is over by itself, later."""
        if not self.held:
            return
        self._renewed = float("-inf")
        with contextlib.suppress(KubernetesError):
            found = await client.get(self._path, within=2.0)
            if (found.get("spec") or {}).get("holderIdentity") == self.identity:
                found["spec"]["holderIdentity"] = ""
                await client.change("PUT", self._path, found, within=2.0)
