"""One process of the control plane: ports, signals, the order of start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from controlplane.admin.app import AdminSettings, create_app
from controlplane.admin.connection import Limits
from controlplane.admin.deployment_answers import PromotedDeployments
from controlplane.admin.exposure import is_loopback
from controlplane.admin.hosts import Hosts
from controlplane.admin.port import AdminServer
from controlplane.admin.port_metrics import AdminCollector
from controlplane.app import heap, logs, metrics, parts
from controlplane.app.callers import Callers
from controlplane.app.denials import Denials
from controlplane.app.laneway import Laneway
from controlplane.app.patch_check import PatchCheck
from controlplane.app.peers import Peers
from controlplane.app.settings import Settings, endpoint
from controlplane.app.times import Clock
from controlplane.callouts.client import Callouts
from controlplane.model.problems import DefinitionError
from controlplane.net import descriptors
from controlplane.net.tls import Tls, TlsError
from controlplane.registry import hold
from controlplane.registry.catalog import Catalog
from controlplane.registry.source import Source
from controlplane.store.interface import DefinitionStore

if TYPE_CHECKING:
    from controlplane.gatewayapi.following import GatewayApi
    from controlplane.store.kubernetes.reporting import Reporting

log = structlog.get_logger("laneway")

STREAM_GRACE = 1.0
"""Seconds that streams get to end when the process stops."""


class StartError(Exception):
    """The control plane cannot start; the text says what to change."""


async def run(settings: Settings, seed: bytes | None = None, clock: Clock = time.time) -> None:
    """Serve until SIGTERM or SIGINT. `seed` holds the documents for a store that is empty. `clock` is that
    of the times of lanes, in seconds since the epoch.

    Raises StartError if an address, a file or the seed cannot be used.
    """
    _no_core_dumps()
    logs.configure(settings.log_format, settings.log_level)
    heap.tune()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        store = parts.store_of(settings, clock)
        sources = parts.sources_of(settings)
    except ValueError as error:
        raise StartError(str(error)) from error
    catalog = Catalog(
        sources,
        conventions=parts.conventions_of(settings),
        times=hold.Times(empty_hold=settings.empty_hold),
        last_known=parts.last_known_of(settings),
    )
    share = _descriptors(settings)
    tls = _tls(settings)
    callers = _callers(settings)
    laneway = Laneway(
        store,
        catalog,
        parts.transport_of(settings, share, tls),
        settings.lane_drain,
        settings.trial_wait,
        parts.bounds_of(settings),
        settings.base_tags,
        parts.identities_of(settings),
        traffic=parts.traffic_of(settings),
        propagation_every=settings.propagation_every,
        version_key=settings.version_key,
        patch_check=PatchCheck(settings.allow_envoy_patches, settings.envoy_binary),
        clock=clock,
        secrets=parts.secrets_of(settings),
        peers=_peers(settings),
        callouts=Callouts(settings.release_urls, settings.release_ca),
        denied=Denials(callers.audit, callers.counters).told,
    )
    admin = _admin(settings, laneway, tls, callers, share.admin, _deployments(settings, sources))
    loop.add_signal_handler(signal.SIGHUP, _reload, callers, tls)
    try:
        await _listen(settings, laneway, admin)
        reporting = _reporting(settings, store, laneway)
        serving = asyncio.create_task(_serve(laneway, seed), name="control plane")
        freeing = asyncio.create_task(heap.give_back(), name="memory")
        waiting = asyncio.create_task(stopped.wait(), name="signals")
        following = [asyncio.create_task(callers.follow(), name="callers")]
        if reporting is not None:
            following.append(asyncio.create_task(reporting.run(), name="status of custom resources"))
        if (gateway_api := _gateway_api(settings, store, laneway)) is not None:
            following.append(asyncio.create_task(gateway_api.run(), name="HTTPRoutes"))
        if tls is not None:
            following.append(asyncio.create_task(tls.follow(), name="certificate"))
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            log.info("stopping")
        for task in (serving, waiting, freeing, *following):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        await asyncio.gather(laneway.xds.stop(STREAM_GRACE), admin.stop())
        await laneway.peers.close()
        await store.close()
        log.info("stopped")


def _reporting(settings: Settings, store: DefinitionStore, laneway: Laneway) -> Reporting | None:
    """What writes the status of custom resources, where definitions are such."""
    if not settings.stores_in_kubernetes:
        return None
    from controlplane.app.custom_resources import reporting_of

    return reporting_of(store, laneway)


def _gateway_api(settings: Settings, store: DefinitionStore, laneway: Laneway) -> GatewayApi | None:
    """What takes HTTPRoutes as routes, where that is wanted."""
    if not settings.gateway_api:
        return None
    from controlplane.app.gateway_routes import gateway_api_of

    return gateway_api_of(parts.access_of(settings), store, laneway)


def _no_core_dumps() -> None:
    """A core dump would hold passwords and keys.

    One byte is too few for a file, and the one value at which Linux starts no program either, such as
    systemd-coredump: those get dumps whatever else the limit is (fs/coredump.c).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0 if hard == 0 else 1, hard))


def _callers(settings: Settings) -> Callers:
    try:
        return Callers(settings)
    except TlsError as error:
        raise StartError(f"TLS of the admin API: {error}") from error
    except (OSError, ValueError) as error:
        raise StartError(str(error)) from error


def _peers(settings: Settings) -> Peers:
    try:
        return parts.peers_of(settings)
    except OSError as error:  # ssl.SSLError is one
        raise StartError(f"a file for the other control planes cannot be used (--peers): {error}") from error


def _tls(settings: Settings) -> Tls | None:
    try:
        tls = parts.tls_of(settings)
    except TlsError as error:
        raise StartError(f"TLS of the xDS server: {error}") from error
    if tls is not None and tls.files.client_ca is None:
        log.warning(
            "xDS clients show no certificates (xds_client_ca is not set): everyone who reaches the port "
            "may be any proxy"
        )
    elif tls is None and not is_loopback(endpoint(settings.xds)[0]):
        log.warning("xDS is served in plain text: everyone who reaches the port may be any proxy")
    return tls


def _reload(callers: Callers, tls: Tls | None) -> None:
    """Handle SIGHUP: read the files with secrets again. If one cannot be read, the former secrets stay in
    force.
    """
    if tls is not None:
        tls.refresh(force=True)
    callers.reload()


def _descriptors(settings: Settings) -> descriptors.Shares:
    """How many connections each port may have under the limit of open files."""
    share = descriptors.divided(settings.admin_connections)
    for port, given, wanted in (
        ("admin API", share.admin, settings.admin_connections),
        ("xDS server", share.xds, settings.xds_connections),
    ):
        if given < wanted:
            log.warning(
                f"open files are limited: the {port} takes fewer connections than set (raise `ulimit -n`)",
                connections=given,
                wanted=wanted,
            )
    return share


def _deployments(settings: Settings, sources: Sequence[Source]) -> PromotedDeployments | None:
    """What compares and replaces Deployments of a promotion, where that is wanted."""
    if settings.kubernetes_deployments == "off":
        return None
    from controlplane.app.deployments import behind_promotion

    return behind_promotion(settings, sources, parts.access_of(settings), parts.conventions_of(settings))


def _admin(
    settings: Settings,
    laneway: Laneway,
    tls: Tls | None,
    callers: Callers,
    connections: int,
    deployments: PromotedDeployments | None = None,
) -> AdminServer:
    host, port = endpoint(settings.admin)
    registry = metrics.registry_of(laneway, {"xds": tls, "admin": callers.tls}, settings.traffic_metrics)
    limits = Limits(
        connections=connections,
        connections_per_address=settings.admin_connections_per_address,
        header_time=settings.admin_header_time,
        body_time=settings.admin_body_time,
        answer_time=settings.admin_body_time,
        handshake_cpu=settings.admin_handshake_cpu,
    )
    known = Hosts(host, settings.admin_hosts)
    of = AdminSettings(
        callers.authentication,
        registry,
        known,
        settings.admin_failed_logins,
        certificates=settings.admin_client_ca is not None,
        origins=settings.admin_cors_origins,
        audit=callers.audit,
        counters=callers.counters,
        deployments=deployments,
    )
    server = AdminServer(
        create_app(laneway, of), host, port, tls=callers.tls, limits=limits, stopping=of.stopping
    )
    registry.register(AdminCollector(server.connections, of.counters))
    return server


async def _listen(settings: Settings, laneway: Laneway, admin: AdminServer) -> None:
    """Accept connections at once. Proxies wait for their configuration, and /readyz says for what."""
    try:
        await admin.start()
        await laneway.xds.start(settings.xds)
    except (OSError, RuntimeError) as error:
        raise StartError(f"{error} (see --admin and --xds)") from error
    log.info("listening", xds=settings.xds, admin=admin.url, docs=f"{admin.url}/docs")


async def _serve(laneway: Laneway, seed: bytes | None) -> None:
    try:
        await laneway.load(seed)
    except DefinitionError as error:
        problems = [
            f"{one.document} {one.field} {one.message}; {one.remedy}".strip() for one in error.problems
        ]
        raise StartError("\n  ".join([f"--definitions: {error.title}", *problems])) from error
    await laneway.run()
