"""One process of the webhook that gives pods their sidecars: its port, its certificate, signals."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from controlplane.admin.connection import Limits
from controlplane.admin.port import AdminServer
from controlplane.app import logs
from controlplane.app.serving import StartError
from controlplane.app.settings import Settings, endpoint
from controlplane.injection.certificates import Certificates, Places
from controlplane.injection.pods import Sidecars
from controlplane.injection.port import Webhook
from controlplane.kubernetes.access import SERVICE_ACCOUNT
from controlplane.kubernetes.client import Client
from controlplane.kubernetes.errors import ConfigurationError
from controlplane.net.tls import Tls, TlsError, TlsFiles
from controlplane.registry.kubernetes import KubernetesConfig

log = structlog.get_logger("laneway.injection")

RETRY = 2.0
"""Seconds between two attempts to get the first certificate."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the process needs beside the settings.

    Either `certificate` and `key` are files that somebody else renews, or the certificate is kept in
    `secret` of `namespace` ("" means that of this process), and the configuration `webhook` is told whom to
    trust. `ca_file` signs the certificate of the xDS port.
    """

    listen: str
    hosts: tuple[str, ...] = ()
    secret: str = ""
    namespace: str = ""
    webhook: str = ""
    directory: Path = Path("/tmp/laneway-inject")
    certificate: Path | None = None
    key: Path | None = None
    ca_file: Path | None = None


async def run(settings: Settings, sidecars: Sidecars, options: Options) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartError."""
    logs.configure(settings.log_format, settings.log_level)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    kept = None if options.certificate is not None else _certificates(settings, options)
    ending = asyncio.create_task(stopped.wait(), name="signals")
    following: list[asyncio.Task[None]] = []
    server = None
    try:
        if kept is not None:
            await _first(kept, ending)
        if ending.done():
            return
        tls = _tls(options, kept)
        webhook = Webhook(lambda: replace(sidecars, ca=_ca(options)), lambda: tls.material.expires)
        host, port = endpoint(options.listen)
        server = AdminServer(webhook.app, host, port, tls=tls, limits=Limits(connections_per_address=256))
        try:
            await server.start()
        except OSError as error:
            raise StartError(f"cannot listen on {options.listen}: {error}") from error
        following.append(asyncio.create_task(tls.follow(), name="certificate"))
        if kept is not None:
            following.append(asyncio.create_task(kept.certificates.follow(), name="renewal"))
        log.info("ready to give pods their sidecars", listen=server.url, xds=sidecars.xds)
        await ending
        log.info("stopping")
    finally:
        for task in (ending, *following):
            task.cancel()
        if server is not None:
            await server.stop()


@dataclass(frozen=True, slots=True)
class _Kept:
    places: Places
    certificates: Certificates


def _certificates(settings: Settings, options: Options) -> _Kept:
    config = KubernetesConfig(kubeconfig=settings.kubernetes_config, context=settings.kubernetes_context)
    try:
        config.access().tls()
    except ConfigurationError as error:
        raise StartError(str(error)) from error
    places = Places(
        options.namespace or _own_namespace(),
        options.secret,
        options.webhook,
        options.hosts,
        options.directory,
    )
    return _Kept(places, Certificates(lambda: Client(config.access()), places))


def _own_namespace() -> str:
    file = SERVICE_ACCOUNT / "namespace"
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise StartError(f"cannot read the namespace of this pod: {error}; give --namespace") from error


async def _first(kept: _Kept, ending: asyncio.Task[bool]) -> None:
    """Wait for the first certificate: without it there is no port, and the pod is not ready."""
    while not await kept.certificates.attempt() and not ending.done():
        await asyncio.wait({ending}, timeout=RETRY)


def _tls(options: Options, kept: _Kept | None) -> Tls:
    certificate = kept.places.certificate if kept is not None else options.certificate
    key = kept.places.key if kept is not None else options.key
    assert certificate is not None
    assert key is not None
    try:
        return Tls(TlsFiles(certificate=certificate, key=key, protocols=("http/1.1",)))
    except TlsError as error:
        raise StartError(f"TLS of the webhook: {error}") from error


def _ca(options: Options) -> str:
    """Read for each pod: a mounted Secret is replaced while this process runs."""
    return options.ca_file.read_text(encoding="ascii") if options.ca_file is not None else ""
