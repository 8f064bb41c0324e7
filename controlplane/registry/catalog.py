"""The catalog: every registry source merged into one immutable mapping of services, and news of its changes.

Everything here runs in one event loop. Sources report through `SourceSink`. `hold.decide` decides what to
serve of a service, again after each report of a source and at the end of each period of `hold.Times`.
Subscribers get the ids of changed services: the first change at once, a burst of changes in batches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog

from controlplane.debounce import Debounce
from controlplane.registry import hold
from controlplane.registry.addresses import AddressIndex, Conflict
from controlplane.registry.grpc_ports import grpc_service, grpc_service_id
from controlplane.registry.last_known import LastKnown
from controlplane.registry.metadata import Conventions, Reading, read_service
from controlplane.registry.shared import Shared
from controlplane.registry.sink import SourceSink
from controlplane.registry.source import RawService, Source
from controlplane.registry.timers import Deadlines
from controlplane.registry.types import Service, Services, SourceStatus

log = structlog.get_logger("laneway.registry")

Callback = Callable[[frozenset[str]], None]

RESTART_MIN = 0.5
RESTART_MAX = 30.0
"""Seconds between the failure of a source and its next run: the first time and at most; doubled each time."""

SAVE_INTERVAL = 5.0
"""Least number of seconds between two writes of the last known services."""


@dataclass(slots=True)
class _Entry:
    """A service: what its registry reported last, what is remembered of it, and whether the
    registry dropped it.
    """

    source: SourceSink
    raw: RawService
    reading: Reading
    memory: hold.Memory = field(default_factory=hold.Memory)
    updated: float = 0.0
    gone: bool = False


class Catalog:
    """Every known service. `services` and `status()` may be read at any time in the event loop."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        conventions: Conventions = Conventions(),  # noqa: B008
        times: hold.Times | None = None,
        times_by_source: Mapping[str, hold.Times] | None = None,
        last_known: LastKnown | None = None,
        quiet: float = 0.005,
        at_most: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`conventions` are how metadata is read.

        `times_by_source` overrides `times` for the sources with these names. `last_known` has the services to
        serve, marked as held, of a source that cannot be reached at the start. During a burst of changes,
        subscribers are told after `quiet` seconds without a change, and after `at_most` seconds in any case.
        `clock` gives monotonic seconds, `wall` seconds since the epoch. Raises ValueError where two sources
        have the same name.
        """
        self.services: Services = MappingProxyType({})
        self._conventions = conventions
        self._clock, self._wall = clock, wall
        self._sources = tuple(sources)
        default = times or hold.Times()
        chosen = times_by_source or {}
        self.sinks = {s.name: SourceSink(self, s.name, chosen.get(s.name, default)) for s in sources}
        if len(self.sinks) != len(self._sources):
            raise ValueError("two sources have the same name")
        self._entries: dict[str, _Entry] = {}
        self._registered: set[str] = set()  # services that the registries themselves have
        self._index = AddressIndex()
        self._shared = Shared(conventions) if len(self._sources) > 1 else None
        self._deadlines = Deadlines(clock, self._wake)
        self._debounce: Debounce[str] = Debounce(self._flush, quiet=quiet, longest=at_most)
        self._callbacks: list[Callback] = []
        self.last_known = last_known
        self._unsaved = asyncio.Event()
        self._all_synced = asyncio.Event()
        self._promoted: Mapping[str, frozenset[str]] = {}
        if not sources:
            self._all_synced.set()

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback` with the ids of new, changed and removed services. Returns what ends that."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def synced(self) -> bool:
        """Whether each source has reported all of its services once, and `services` has them."""
        return self._all_synced.is_set()

    async def wait_synced(self) -> None:
        """Return when `synced`."""
        await self._all_synced.wait()

    def status(self) -> tuple[SourceStatus, ...]:
        """The status of each source, in the order in which they were given."""
        counts = {name: [0, 0, 0, 0] for name in self.sinks}
        for service in self.services.values():
            count = counts[service.source]
            count[0] += 1
            count[1] += len(service.instances)
            if service.held:
                count[2] += 1
                count[3] += sum(i.held for i in service.instances)
        return tuple(sink.status(*counts[name]) for name, sink in self.sinks.items())

    def conflicts(self, service_id: str) -> tuple[Conflict, ...]:
        """Addresses of this service at which other services are registered, too."""
        service = self.services.get(service_id)
        return self._index.conflicts(service_id, service.instances) if service else ()

    async def run(self) -> None:
        """Run all sources until cancelled. A source that fails is shown as unreachable and run again."""
        try:
            async with asyncio.TaskGroup() as group:
                for source in self._sources:
                    group.create_task(self._run(source))
                if self.last_known is not None:
                    group.create_task(self._save_changes(self.last_known))
        finally:
            self._deadlines.close()
            self._debounce.close()
            for sink in self.sinks.values():
                sink.close()

    async def _run(self, source: Source) -> None:
        pause = RESTART_MIN
        sink = self.sinks[source.name]
        while True:
            began = self._clock()
            try:
                await source.run(sink)
                reason = "the source stopped; it is started again"
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                log.exception("registry source failed; it is started again", source=source.name)
            sink.unreachable(reason)
            pause = RESTART_MIN if self._clock() - began > RESTART_MAX else min(pause * 2, RESTART_MAX)
            await asyncio.sleep(pause)

    async def _save_changes(self, last_known: LastKnown) -> None:
        """Save the services of each connected source after changes, and once more when cancelled."""
        try:
            while True:
                await self._unsaved.wait()
                await asyncio.sleep(SAVE_INTERVAL)
                await asyncio.to_thread(self._save(last_known))
        finally:
            if self._unsaved.is_set():
                self._save(last_known)()

    def _save(self, last_known: LastKnown) -> Callable[[], None]:
        """Returns a function that saves the present services; it may be called in any thread."""
        self._unsaved.clear()
        heard = {n for n, s in self.sinks.items() if s.is_synced and s.connectivity.unreachable_since is None}
        services = self.services

        def save() -> None:
            for name in heard:
                last_known.save(name, (one for one in services.values() if one.source == name))

        return save

    def hold_promoted(self, tags: Mapping[str, frozenset[str]]) -> None:
        """Keep instances with these tags, by service, as base instances are kept, and no others."""
        before, self._promoted = self._promoted, tags
        changed = {one for one in before.keys() | tags.keys() if before.get(one) != tags.get(one)}
        if changed:
            self._touch(changed)

    # For sinks, see `sink.Reports`.

    def now(self) -> float:
        return self._clock()

    def wall(self) -> float:
        return self._wall()

    def reported(self, sink: SourceSink, service_id: str, raw: RawService | None) -> set[str]:
        found: dict[str, RawService | None] = {service_id: raw}
        (self._registered.discard if raw is None else self._registered.add)(service_id)
        second = grpc_service_id(service_id)
        if second not in self._registered:  # a registry may have a service of the same name
            keys = self._conventions.grpc_port_keys
            found[second] = grpc_service(raw, keys) if raw is not None else None
        for id_, one in found.items():
            self._take(sink, id_, one, self._wall())
        return {id_ for id_, one in found.items() if one is not None}

    def restored(self, sink: SourceSink, service_id: str, raw: RawService, at: float) -> None:
        self._take(sink, service_id, raw, at)

    def pod_changed(self, address: str, metadata: Mapping[str, str] | None) -> None:
        if self._shared is not None:
            self._read_again(self._shared.set_pod(address, metadata))

    def reachability_changed(self, sink: SourceSink) -> None:
        self._touch(id_ for id_, entry in self._entries.items() if entry.source is sink)

    def source_synced(self) -> None:
        self._unsaved.set()
        self._touch(())
        self.flush()

    # What is served.

    def _take(self, sink: SourceSink, service_id: str, raw: RawService | None, at: float) -> None:
        entry = self._entries.get(service_id)
        if raw is None and (entry is None or entry.gone):
            return
        concerned = self._shared.set(sink.name, service_id, raw) if self._shared is not None else ()
        if raw is None:
            assert entry is not None
            entry.reading, entry.gone = Reading(), True
        else:
            reading = self._reading(sink, raw)
            if entry is None:
                entry = self._entries[service_id] = _Entry(sink, raw, reading)
            elif entry.reading == reading and not entry.gone and _same_names(entry.raw, raw):
                entry.raw = raw
                return self._read_again(concerned)
            entry.raw, entry.reading, entry.gone = raw, reading, False
        entry.updated = at
        self._read(service_id, entry)
        self._read_again(concerned)

    def _reading(self, sink: SourceSink, raw: RawService) -> Reading:
        whole = self._shared.whole(sink.name, raw) if self._shared is not None else raw
        return read_service(whole, self._conventions)

    def _read_again(self, service_ids: Iterable[str]) -> None:
        """Others say something else of instances of these services."""
        for service_id in service_ids:
            entry = self._entries.get(service_id)
            if entry is not None and not entry.gone:
                reading = self._reading(entry.source, entry.raw)
                if reading != entry.reading:
                    entry.reading = reading
                    self._read(service_id, entry)

    def _read(self, service_id: str, entry: _Entry) -> None:
        """Take a new reading of a service into account."""
        touched = self._index.set(service_id, entry.reading.instances)
        self._touch(touched)
        self._touch((service_id,))

    def _touch(self, service_ids: Iterable[str]) -> None:
        self._debounce.mark(*service_ids)

    def _wake(self, service_ids: Iterable[str]) -> None:
        self._touch(service_ids)
        self.flush()

    def flush(self) -> None:
        """Update `services` and tell the subscribers now, without waiting for the end of a burst."""
        self._debounce.now()

    def _flush(self, dirty: set[str]) -> None:
        now = self._clock()
        changed: dict[str, Service | None] = {}
        for service_id in sorted(dirty):
            entry = self._entries.get(service_id)
            if entry is None:
                continue
            service = self._decide(service_id, entry, now)
            if service != self.services.get(service_id):
                changed[service_id] = service
        if changed:
            services = {**self.services, **{k: v for k, v in changed.items() if v is not None}}
            for service_id, service in changed.items():
                if service is None:
                    services.pop(service_id, None)
            self.services = MappingProxyType(services)
            self._unsaved.set()
        if not self._all_synced.is_set() and all(sink.is_synced for sink in self.sinks.values()):
            self._all_synced.set()
        if changed:
            ids = frozenset(changed)
            for callback in tuple(self._callbacks):
                try:
                    callback(ids)
                except Exception:  # an error in one subscriber must stop neither the others nor a source
                    log.exception("a subscriber of the catalog failed; the others were told")

    def _decide(self, service_id: str, entry: _Entry, now: float) -> Service | None:
        """The service as it is served; None, and its entry removed, where nothing is left of it."""
        outcome = hold.decide(
            entry.memory,
            entry.reading.instances,
            entry.source.connectivity,
            now,
            entry.source.times,
            lambda address: self._index.elsewhere(address, service_id),
            self._promoted.get(service_id, frozenset()),
        )
        entry.memory = outcome.memory
        live = {(i.address, i.port) for i in entry.reading.instances}
        remembered = outcome.memory.left.keys() | (outcome.memory.good.keys() - live)
        self._index.remember(service_id, frozenset(remembered))
        self._deadlines.set(service_id, outcome.deadline)
        if entry.gone and not outcome.instances and not outcome.former:
            del self._entries[service_id]
            return None
        reading = entry.reading
        return Service(
            id=service_id,
            source=entry.source.name,
            name=entry.raw.name,
            instances=outcome.instances,
            refused=reading.refused,
            former=outcome.former,
            held=outcome.held,
            updated=entry.updated,
            warnings=reading.warnings,
            protocol=reading.protocol,
            aliases=entry.raw.aliases,
            hosts=entry.raw.hosts,
        )


def _same_names(one: RawService, other: RawService) -> bool:
    return (one.name, one.aliases, one.hosts) == (other.name, other.aliases, other.hosts)
