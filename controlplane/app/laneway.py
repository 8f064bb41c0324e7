"""The running control plane: it plans from the store and the catalog, and publishes the plan to the streams.

Changes of definitions go through the rollout, which keeps the order over all proxies. Changes of the registry
are published at once, together with the definitions that the rollout has deployed so far.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from controlplane.admin.control import ExplainRequest, StoreStatus
from controlplane.admin.proxy_answers import Compose, Proxy, ResourceFilter
from controlplane.app import proxies
from controlplane.app.held_gateways import HeldGateways
from controlplane.app.loading import open_store
from controlplane.app.looking import Looking
from controlplane.app.patch_check import PatchCheck
from controlplane.app.peers import Peers, PeerSettings
from controlplane.app.promoted import PromotedInstances
from controlplane.app.releasing import Look, Releasing
from controlplane.app.secrets import check_secrets, follow, secret_warnings
from controlplane.app.times import Clock, LaneTimes
from controlplane.app.traffic import Counting, TrafficBounds
from controlplane.app.unreachable import Unreachable
from controlplane.app.wanted import Wanted
from controlplane.app.watching import Watching, applications_met
from controlplane.callouts.client import Callouts
from controlplane.model.definitions import Definitions
from controlplane.model.documents import Lane
from controlplane.model.kinds import Key
from controlplane.model.releases import Release
from controlplane.plan.lanes import meaning_of
from controlplane.plan.moves import Moves
from controlplane.plan.planner import Plan
from controlplane.plan.preview import Explanation, ServiceMatch, explain, matches, matches_of_tag
from controlplane.plan.promotion import Action, ServiceVersions, versions
from controlplane.plan.request import Request
from controlplane.plan.rollout import Deployed
from controlplane.plan.warnings import Warnings
from controlplane.registry.catalog import Catalog
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Service, SourceStatus
from controlplane.rpc.transport import Call, MakeTransport
from controlplane.secrets.directory import Secrets
from controlplane.snapshot.publisher import Publisher
from controlplane.snapshot.rollout import Rollout
from controlplane.snapshot.view import NodeView
from controlplane.store.history import changes_between
from controlplane.store.interface import DefinitionStore, Stored, StoreUnavailable
from controlplane.tracing.propagation import Observed
from controlplane.tracing.service import AccessLogService
from controlplane.tracing.watches import TooMany, Watch
from controlplane.traffic.exchange import Everywhere, Interest
from controlplane.traffic.figures import Seen, Traffic, Window
from controlplane.xds.bounds import Bounds
from controlplane.xds.identities import Identities
from controlplane.xds.server import XdsServer

log = structlog.get_logger("laneway")

OBSERVED = 5.0
"""Seconds of an observation that nobody asked for."""


class Laneway:
    """All parts, wired. Implements `admin.control.ControlPlane`. `lane_drain`, `trial_wait`: seconds.

    `base_tags` are values of a tag that mean base. identities: how certificates of xDS clients are read; None
    where they show none. version_key: the metadata key of an instance's version.
    """

    def __init__(
        self,
        store: DefinitionStore,
        catalog: Catalog,
        transport: MakeTransport,
        lane_drain: float,
        trial_wait: float = 0.0,
        bounds: Bounds = Bounds(),  # noqa: B008
        base_tags: Collection[str] = (),
        identities: Identities | None = None,
        traffic: TrafficBounds = TrafficBounds(),  # noqa: B008
        propagation_every: float = 0.0,
        patch_check: PatchCheck | None = None,
        clock: Clock = time.time,
        secrets: Secrets | None = None,
        version_key: str = "version",
        peers: Peers | None = None,
        callouts: Callouts | None = None,
        denied: Callable[[Call, str], None] = lambda call, text: None,
    ) -> None:
        self.secrets = secrets or Secrets()
        self.peers = peers or Peers(PeerSettings())
        self._version_key = version_key
        self._patch_check = patch_check or PatchCheck()
        self._store = store
        self._propagation_every = propagation_every
        self.catalog = catalog
        self.publisher = Publisher(base_tags=base_tags, secret=self.secrets.get)
        self.watching = Watching(self.publisher, lambda: self.xds)
        self._names = ServiceNames()
        self.counting = Counting(
            lambda call, node: self.xds.view_of(call, node),
            self._names.resolve,
            traffic,
            shared=self.peers.there,
        )
        self.access_logs = AccessLogService(
            self.watching.watches, lambda call, node: self.xds.cluster_of(call, node), self.counting.seen
        )
        self.xds = XdsServer(
            self.publisher.classify,
            self.publisher.clock,
            transport=transport,
            identities=identities,
            trial_wait=trial_wait,
            bounds=bounds,
            more=self.access_logs.methods(),
            frequent=self.counting.receiver.methods(),
            denied=denied,
        )
        self._unreachable = Unreachable(self.counting.traffic)
        self._rollout = Rollout(self._publish, self.xds.acknowledged, lane_drain)
        self.times = LaneTimes(self._roll_out, clock)
        self.held_gateways = HeldGateways(
            lambda: self.store.current.definitions, self._attempt, self._roll_out
        )
        self.releasing = Releasing(lambda: self.store, lambda: self.traffic, clock, callouts)
        self._loaded = False
        self._promoted = PromotedInstances(catalog.hold_promoted)
        self.changes = 0
        """Changes of definitions since the start."""
        self.looking = Looking(
            lambda: self.catalog.services,
            lambda: self._rollout.pending,
            self.times,
            self._warnings_of_parts,
        )
        self._wanted = Wanted(
            lambda: self.store.current.definitions, lambda: self.catalog.services, self._names, self.times
        )

    @property
    def store(self) -> DefinitionStore:
        """Raises StoreUnavailable until the definitions are loaded, because an unread store is not an empty
        one.
        """
        if not self._loaded:
            raise StoreUnavailable(self._store.problem or "the definitions are not loaded yet")
        return self._store

    # Life.

    async def load(self, seed: bytes | None = None) -> None:
        """Open the store; try again until that succeeds. `seed` holds the documents for a store that is
        empty.

        Raises DefinitionError if the seed is wrong.
        """
        store = self._store
        await open_store(store, seed, self._attempt)
        self.times.take(store.current.definitions)
        self.held_gateways.start_with(store.current.definitions)
        self._rollout.start_with(store.current.definitions, self.times.resting)
        store.subscribe(self._definitions_changed)
        self._loaded = True
        log.info("definitions are loaded", revision=store.current.revision)

    async def run(self) -> None:
        """Follow sources and definitions until cancelled. Proxies get configuration once every source has
        synced.
        """
        self.catalog.subscribe(self._services_changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.catalog.run(), name="sources")
            group.create_task(self._begin(), name="first configuration")
            group.create_task(self.counting.run(), name="traffic")
            group.create_task(self.times.run(), name="times of lanes")
            group.create_task(
                follow(self.secrets, lambda: self.store.current.definitions, self.publisher.renew_secrets),
                name="secrets",
            )
            group.create_task(self.releasing.run(), name="releases")
            group.create_task(self.peers.follow(self.traffic), name="other control planes")
            if self._propagation_every > 0:
                group.create_task(self._observe_again(), name="propagation")

    async def _observe_again(self) -> None:
        """Observe for a few seconds from time to time, so that metrics say who loses the lane."""
        while True:
            await asyncio.sleep(self._propagation_every)
            with contextlib.suppress(StoreUnavailable, TooMany):
                await self.observe(OBSERVED, None)

    async def _begin(self) -> None:
        await self.catalog.wait_synced()
        self._publish(self._rollout.deployed)
        self.xds.set_ready()
        log.info("ready", services=len(self.catalog.services))
        await self._rollout.run()

    # Changes.

    def _definitions_changed(self, old: Stored, new: Stored) -> None:
        self.changes += 1
        changes = changes_between(old.definitions, new.definitions)
        log.info("definitions changed", revision=new.revision, what=[change.what for change in changes])
        self.times.take(new.definitions)
        self.held_gateways.take(new.definitions)
        self._rollout.wanted(new.definitions, self.times.resting)

    def _roll_out(self) -> None:
        self._rollout.wanted(self._store.current.definitions, self.times.resting)

    def _services_changed(self, service_ids: frozenset[str]) -> None:
        services = self.catalog.services
        for service_id in service_ids:
            if service_id in services:
                self._names.add(service_id, services[service_id].aliases)
            else:
                self._names.discard(service_id)
        if self.xds.ready:
            self._publish(self._rollout.deployed)
            some = sorted(service_ids)[:5]
            log.info("services changed", services=some, more=max(0, len(service_ids) - len(some)))

    def _publish(self, deployed: Deployed, at_once: bool = False) -> None:
        with self.xds.at_once() if at_once else contextlib.nullcontext():
            self.publisher.publish(
                self.held_gateways.served(self.store.current.definitions),
                deployed,
                self.catalog.services,
                self._names.resolve,
                self.times.resting,
            )
        stale = self.publisher.stale()
        if stale and (ended := self.xds.end(stale, "what this client may call has changed: connect again")):
            log.info("the callers of services have changed: proxies connect again", streams=ended)
        self._promoted.hold(self.store.current.definitions, self.publisher.plan)
        self.counting.published(self.publisher.plan, self.store.current.definitions, self.catalog.services)

    # What the admin API asks.

    def resting(self) -> frozenset[str]:
        return self.times.resting

    def now(self) -> float:
        return self.times.clock()

    @property
    def traffic(self) -> Traffic:
        return self.counting.traffic

    @property
    def identity(self) -> str:
        return self.peers.identity

    def seen_in_lanes(self) -> Mapping[tuple[str, str], Seen]:
        return self._unreachable.seen(self._served())

    async def everywhere(self, window: Window, interest: Interest) -> Everywhere:
        return await self.peers.everywhere(self.traffic, self.reporters(), window, interest)

    def reporters(self) -> int:
        return sum(isinstance(view, NodeView) and view.node.role != "grpc" for view in self.xds.views())

    async def check(self, before: Definitions, after: Definitions, labelled: bool) -> None:
        services, resolve = self.catalog.services, self._names.resolve
        await check_secrets(self.secrets, before, after, labelled)
        await self._patch_check.check(before, after, services, resolve, labelled)
        self.held_gateways.passed(after)

    async def _attempt(self, before: Definitions, after: Definitions) -> None:
        """Try patches that may name services which the sources have not told of. Raises DefinitionError."""
        services, resolve = self.catalog.services, self._names.resolve
        await self._patch_check.check(before, after, services, resolve, labelled=True, fitting=False)

    def services(self) -> Mapping[str, Service]:
        return self.catalog.services

    def sources(self) -> Sequence[SourceStatus]:
        return self.catalog.status()

    def resolve_service(self, name: str) -> Service:
        return self.catalog.services[self._names.resolve(name)]

    def _served(self) -> Plan:
        """The plan that was sent to proxies; before the first publication, the wanted plan."""
        return self.publisher.plan if self.xds.ready else self._wanted.plan()

    def matches(self, lane_name: str) -> list[tuple[str, list[ServiceMatch]]]:
        return matches(self._served(), meaning_of(self.store.current.definitions, lane_name))

    def matches_of_tag(self, group: str, tag: str) -> list[tuple[str, list[ServiceMatch]]]:
        definitions, services = self.store.current.definitions, self.catalog.services
        return matches_of_tag(definitions, services, self._names.resolve, group, tag)

    def versions(
        self, definitions: Definitions, lane: Lane, action: Action
    ) -> list[tuple[str, list[ServiceVersions]]]:
        services = self.catalog.services
        return versions(definitions, services, self._names.resolve, lane, action, self._version_key)

    async def explain(self, request: ExplainRequest, wanted: bool, at: float | None = None) -> Explanation:
        if at is not None:
            plan = await self._wanted.plan_at(at)
        else:
            plan = self._wanted.plan() if wanted else self._served()
        asked = Request(
            request.method,
            request.host,
            request.path,
            request.headers,
            request.client_address,
            request.port or 0,
        )
        # Ten thousand lanes and the largest headers take seconds; the event loop serves proxies meanwhile.
        return await asyncio.to_thread(explain, plan, request.gateway, asked)

    def warnings(self, definitions: Definitions | None = None) -> Warnings:
        return self.looking.latest(definitions or self.store.current.definitions)

    async def look(self, definitions: Definitions | None = None) -> Warnings:
        return await self.looking.look(definitions or self.store.current.definitions)

    async def moves(self, definitions: Definitions) -> Moves:
        return await self.looking.moves(self.store.current.definitions, definitions)

    def _warnings_of_parts(self, definitions: Definitions) -> dict[Key, tuple[str, ...]]:
        """What the publisher, the secrets and the proxies' traffic say of the current definitions."""
        if definitions is not self.store.current.definitions:
            return {}
        of = {Key("Gateway", "", name): texts for name, texts in self.publisher.patch_failures().items()}
        for name, text in self.held_gateways.texts().items():
            of[Key("Gateway", "", name)] = (*of.get(Key("Gateway", "", name), ()), text)
        for name, gateway in definitions.gateways.items() if self._loaded else ():
            if texts := secret_warnings(self.secrets, gateway):
                of[Key("Gateway", "", name)] = (*of.get(Key("Gateway", "", name), ()), *texts)
        return of | self._unreachable.texts(self._served(), definitions)

    def proxies(self, node: str | None = None) -> list[Proxy]:
        return [proxies.shown(connected) for connected in self.xds.proxies(node)]

    def configuration(self, node: str, wanted: ResourceFilter) -> Compose | None:
        return proxies.configuration(self.xds.resources(node), wanted)

    def conflicts(self, service_id: str) -> list[str]:
        return [
            f"{conflict.address}:{conflict.port} is registered for {', '.join(conflict.services)}, too"
            for conflict in self.catalog.conflicts(service_id)
        ]

    def store_status(self) -> StoreStatus:
        return StoreStatus(self._store.problem, self._store.read_only)

    async def begin_trace(self, gateway: str, seconds: float) -> Watch:
        met = applications_met(gateway, self.store.current.definitions, self.publisher.plan)
        return await self.watching.begin(gateway, met, seconds, one=True)

    def watch(self, identity: str) -> Watch | None:
        return self.watching.get(identity)

    def end_watch(self, watch: Watch) -> None:
        self.watching.end(watch)

    async def observe(self, seconds: float, group: str | None) -> None:
        groups = self.store.current.definitions.groups.values()
        chosen = {a for g in groups if group in (None, g.name) for a in g.applications}
        await self.watching.observe(chosen, seconds)

    def end_observation(self) -> None:
        self.watching.end_observation()

    def refused_urls(self, release: Release) -> list[str]:
        return self.releasing.refused(release)

    def release_look(self, key: Key) -> Look | None:
        return self.releasing.looks.get(key)

    def propagation(self) -> Observed:
        return self.watching.observed

    def ready(self) -> list[str]:
        waiting: list[str] = []
        if not self._loaded:
            reason = f": {self._store.problem}" if self._store.problem else ""
            waiting.append(f"the store of definitions is not loaded{reason}")
        for status in self.catalog.status():
            if not status.synced:
                reason = f": {status.error}" if status.error else ""
                waiting.append(f"source {status.name} has not synced yet{reason}")
        if not waiting and not self.xds.ready:
            waiting.append("the first configuration is not published")
        return waiting
