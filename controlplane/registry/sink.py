"""What one source reports: whether its registry can be reached, and whether all of its services are known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog

from controlplane.registry import hold
from controlplane.registry.last_known import LastKnown
from controlplane.registry.source import RawService
from controlplane.registry.types import SourceStatus

log = structlog.get_logger("laneway.registry")

SETTLING = "the registry has just come up; Laneway waits until its clients have registered again"


class Reports(Protocol):
    """Who takes the reports of sources: the catalog."""

    last_known: LastKnown | None

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...

    def reported(self, sink: SourceSink, service_id: str, raw: RawService | None) -> set[str]:
        """Take what a registry reports of a service. Returns the ids of the services that follow from it."""
        ...

    def restored(self, sink: SourceSink, service_id: str, raw: RawService, at: float) -> None:
        """Take what was saved of a service. at: seconds since the epoch, when its registry reported it."""
        ...

    def pod_changed(self, address: str, metadata: Mapping[str, str] | None) -> None:
        """The pod at an IP address has this metadata; None: there is none."""
        ...

    def reachability_changed(self, sink: SourceSink) -> None:
        """Decide again what is served of the services of a source."""
        ...

    def source_synced(self) -> None:
        """A source has reported all of its services."""
        ...


class SourceSink:
    """Takes the reports of one source into the catalog; implements `source.Sink`.

    `times` say how long what is lost is kept, `connectivity` whether the registry can be reached.
    """

    def __init__(self, reports: Reports, name: str, times: hold.Times) -> None:
        self.name = name
        self.times = times
        self.connectivity = hold.Connectivity()
        self.is_synced = False
        self._reports = reports
        self._updated = 0.0
        self._version = ""
        self._problem = ""
        self._unreachable = ""
        self._unreachable_since = 0.0
        self._restored: set[str] | None = None
        self._was_down = False
        self._settling: asyncio.TimerHandle | None = None

    def update(self, service_id: str, service: RawService) -> None:
        self._updated = self._reports.wall()
        made = self._reports.reported(self, service_id, service)
        if self._restored:
            self._restored -= made

    def remove(self, service_id: str) -> None:
        self._updated = self._reports.wall()
        self._reports.reported(self, service_id, None)

    def synced(self) -> None:
        for service_id in self._restored or ():
            self.remove(service_id)
        self._restored = set()
        if not self._was_down:
            self._set_synced()
        elif not self.is_synced and self._settling is None:
            # Its clients register again one by one: until then proxies should keep what they have.
            wait = self.times.start_wait
            self._settling = asyncio.get_running_loop().call_later(wait, self._set_synced)
            log.info(
                "the registry came up after the control plane; waiting for its clients to register",
                seconds=wait,
            )

    def _set_synced(self) -> None:
        if not self.is_synced:
            self.is_synced = True
            self.close()
            self._reports.source_synced()

    def unreachable(self, reason: str) -> None:
        if self.connectivity.unreachable_since is None:
            log.warning("the registry cannot be reached", source=self.name, reason=reason)
            self.connectivity = hold.Connectivity(self._reports.now(), self.connectivity.removals_wait_until)
            self._unreachable_since = self._reports.wall()
            self._reports.reachability_changed(self)
        self._unreachable = reason
        if not self.is_synced:
            self._was_down = True
            self.close()
        if not self.is_synced and self._restored is None:
            self._restore()

    def close(self) -> None:
        """Stop the timer of `synced`."""
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    def _restore(self) -> None:
        """Serve the services known before the start until the registry can be reached."""
        known = self._reports.last_known.load(self.name) if self._reports.last_known else {}
        self._restored = set(known)
        for service_id, (raw, at) in known.items():
            self._reports.restored(self, service_id, raw, at)
            self._updated = max(self._updated, at)
        if known:
            log.warning("services known before the start are served", source=self.name, services=len(known))
            self._set_synced()

    def reconnected(self) -> None:
        if self.connectivity.unreachable_since is None:
            return
        until = self._reports.now() + self.times.reconnect_wait if self.is_synced else None
        self.connectivity = hold.Connectivity(None, until)
        self._unreachable, self._unreachable_since = "", 0.0
        log.info("the registry can be reached again", source=self.name, removals_wait=self.is_synced)
        self._reports.reachability_changed(self)

    def problem(self, text: str) -> None:
        if text and text != self._problem:
            log.error("the registry reports something that cannot be used", source=self.name, problem=text)
        self._problem = text

    def pod(self, address: str, metadata: Mapping[str, str] | None) -> None:
        self._reports.pod_changed(address, metadata)

    def version(self, text: str) -> None:
        self._version = text

    def status(self, services: int, instances: int, held_services: int, held: int) -> SourceStatus:
        return SourceStatus(
            name=self.name,
            connected=self.connectivity.unreachable_since is None and (self.is_synced or self._updated > 0),
            synced=self.is_synced,
            unreachable_since=self._unreachable_since,
            updated=self._updated,
            services=services,
            instances=instances,
            held_services=held_services,
            held=held,
            version=self._version,
            error=self._unreachable or self._problem or (SETTLING if self._settling else ""),
        )
