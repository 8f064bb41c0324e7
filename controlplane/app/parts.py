"""Builds the parts that the settings choose: the store, the registry sources, the transport."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from controlplane.app.peers import Peers, PeerSettings
from controlplane.app.settings import Settings
from controlplane.app.times import Clock
from controlplane.app.traffic import TrafficBounds
from controlplane.net.descriptors import Shares
from controlplane.net.tls import Tls, TlsFiles
from controlplane.registry.file import FileSource
from controlplane.registry.last_known import LastKnown
from controlplane.registry.metadata import DEFAULT_TAG_KEYS, Conventions
from controlplane.registry.nacos import NacosConfig, NacosSource
from controlplane.registry.source import Source
from controlplane.rpc.choice import transport
from controlplane.rpc.transport import Limits, MakeTransport
from controlplane.secrets.directory import Secrets
from controlplane.store.base import BaseStore
from controlplane.store.fallback import FallbackStore
from controlplane.store.interface import DefinitionStore
from controlplane.store.memory import MemoryStore
from controlplane.store.nacos import NacosStore
from controlplane.store.nacos.limits import GROUP
from controlplane.store.snapshots import Snapshots, beside, within
from controlplane.store.sqlite import SQLiteStore
from controlplane.xds.bounds import Bounds
from controlplane.xds.identities import Identities

if TYPE_CHECKING:
    from controlplane.kubernetes.access import Access

CONNECTION_AGE = 1800.0
"""Seconds after which a connection is asked to reconnect, so that proxies spread over replicas again."""


def store_of(settings: Settings, clock: Clock = time.time) -> DefinitionStore:
    """The store that `settings.store` names, not yet open, with its last snapshot."""
    if settings.store == "memory":
        return MemoryStore(clock)
    store: BaseStore
    if settings.store == "nacos":
        store = NacosStore(nacos_of(settings), clock=clock)
    elif settings.stores_in_kubernetes:
        store = kubernetes_store_of(settings, clock)
    else:
        store = SQLiteStore(sqlite_of(settings), clock=clock)
    snapshots = snapshots_of(settings)
    return FallbackStore(store, snapshots) if snapshots.paths else store


def kubernetes_store_of(settings: Settings, clock: Clock) -> BaseStore:
    """Definitions as custom resources, imported only now."""
    from controlplane.store.kubernetes.following import Cluster
    from controlplane.store.kubernetes.shared_store import KubernetesStore

    access = access_of(settings)
    return KubernetesStore(Cluster(access, _namespace_of(settings)), clock)


def access_of(settings: Settings) -> Callable[[], Access]:
    """How the API server is reached. Raises ValueError where that is not configured."""
    from controlplane.kubernetes.errors import ConfigurationError
    from controlplane.registry.kubernetes import KubernetesConfig

    config = KubernetesConfig(kubeconfig=settings.kubernetes_config, context=settings.kubernetes_context)
    try:
        config.access()
    except ConfigurationError as error:
        raise ValueError(f"Kubernetes: {error}") from error
    return config.access


def _namespace_of(settings: Settings) -> str:
    """The namespace of the custom resources: the one that is named, else that of this pod."""
    from controlplane.kubernetes.access import SERVICE_ACCOUNT

    named = settings.store.partition(":")[2]
    if named:
        return named
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text().strip()
    except OSError:
        return "laneway"


def sqlite_of(settings: Settings) -> Path:
    """The file of a store `sqlite:PATH`."""
    return Path(settings.store.removeprefix("sqlite:"))


def snapshots_of(settings: Settings) -> Snapshots:
    """Where the last snapshot of definitions is kept: beside the store, and in the state directory if one is
    set.

    Two places, because a whole directory or disk can be lost.
    """
    if settings.store == "nacos":
        name, paths = f"nacos:{nacos_of(settings).namespace}/{GROUP}", []
    elif settings.stores_in_kubernetes:
        name, paths = f"kubernetes:{_namespace_of(settings)}", []
    else:
        path = sqlite_of(settings)
        name, paths = f"sqlite:{path.absolute()}", [beside(path)]
    if settings.state_dir is not None:
        paths.append(within(settings.state_dir, name))
    return Snapshots(name, paths)


def sources_of(settings: Settings) -> list[Source]:
    """Every registry source that is configured. Without any, only the node metadata of sidecars names
    services.

    Raises ValueError where the access to one is not configured.
    """
    sources: list[Source] = []
    if settings.services is not None:
        sources.append(FileSource(settings.services))
    if settings.nacos:
        sources.append(NacosSource(nacos_of(settings)))
    if settings.reads_kubernetes:
        sources.append(_kubernetes_of(settings))
    return sources


def _kubernetes_of(settings: Settings) -> Source:
    """The source that reads Kubernetes, imported only now. Raises ValueError."""
    from controlplane.kubernetes.errors import ConfigurationError
    from controlplane.registry.kubernetes import KubernetesConfig, KubernetesSource

    config = KubernetesConfig(
        kubeconfig=settings.kubernetes_config,
        context=settings.kubernetes_context,
        namespaces=settings.kubernetes_namespaces,
        selector=settings.kubernetes_namespace_selector,
        conventions=conventions_of(settings),
    )
    try:
        config.access()
    except ConfigurationError as error:
        raise ValueError(f"Kubernetes: {error}") from error
    return KubernetesSource(config)


def tls_of(settings: Settings) -> Tls | None:
    """The certificate of the xDS port; None for plain text. Raises TlsError."""
    if settings.xds_certificate is None or settings.xds_key is None:
        return None
    return Tls(
        TlsFiles(certificate=settings.xds_certificate, key=settings.xds_key, client_ca=settings.xds_client_ca)
    )


def identities_of(settings: Settings) -> Identities | None:
    """How certificates of xDS clients are read; None where they show none."""
    return Identities(settings.xds_identities) if settings.xds_client_ca is not None else None


def secrets_of(settings: Settings) -> Secrets:
    """The certificates for listeners of gateways."""
    return Secrets(settings.secrets, mutual=settings.xds_client_ca is not None)


def transport_of(settings: Settings, share: Shares, tls: Tls | None = None) -> MakeTransport:
    """The factory of the gRPC server of the xDS port, for as many connections as it may have."""
    limits = Limits(
        max_connection_age=CONNECTION_AGE,
        largest_request=settings.xds_request_bytes,
        connections=min(settings.xds_connections, share.xds),
        entering=share.entering,
        connections_per_address=settings.xds_connections_per_address,
        waiting=settings.xds_waiting_bytes,
        cpu=settings.xds_connection_cpu,
        handshake_cpu=settings.xds_handshake_cpu,
    )
    return transport(settings.xds_transport, limits, tls)


def bounds_of(settings: Settings) -> Bounds:
    """What one client of the xDS server may cost."""
    return Bounds(
        node_bytes=settings.xds_node_bytes,
        streams=settings.xds_streams,
        streams_per_client=settings.xds_streams_per_client,
        stream_rate_per_client=settings.xds_stream_rate_per_client,
        streams_per_node=settings.xds_streams_per_node,
        names=settings.xds_names_per_stream,
        status_bytes=settings.xds_status_bytes,
    )


def traffic_of(settings: Settings) -> TrafficBounds:
    """What the traffic of all proxies may cost."""
    return TrafficBounds(
        series=settings.traffic_series,
        message_bytes=settings.traffic_message_bytes,
        waiting_bytes=settings.traffic_waiting_bytes,
    )


def peers_of(settings: Settings) -> Peers:
    """The other control planes. Raises OSError or ssl.SSLError where a file cannot be used."""
    return Peers(
        PeerSettings(
            urls=tuple(dict.fromkeys(one.rstrip("/") for one in settings.peers)),
            wait=settings.peers_wait,
            token_file=settings.peers_token_file,
            ca=settings.peers_ca,
            certificate=settings.admin_certificate,
            key=settings.admin_key,
        )
    )


def conventions_of(settings: Settings) -> Conventions:
    """How the metadata of instances are read, whatever the source."""
    return Conventions(
        settings.tag_keys or DEFAULT_TAG_KEYS,
        frozenset(settings.base_tags),
        settings.grpc_port_keys,
        settings.application_keys,
    )


def last_known_of(settings: Settings) -> LastKnown | None:
    """The file that keeps the last known services, or None if no state directory is set."""
    return LastKnown(settings.state_dir) if settings.state_dir is not None else None


def nacos_of(settings: Settings) -> NacosConfig:
    """Addresses of the Nacos servers, and credentials."""
    return NacosConfig(
        server_addresses=settings.nacos,
        namespace=settings.nacos_namespace,
        groups=settings.nacos_groups,
        services=settings.nacos_services,
        username=settings.nacos_username,
        password=settings.nacos_password,
        access_key=settings.nacos_access_key,
        secret_key=settings.nacos_secret_key,
        tls=settings.nacos_tls,
        ca_file=settings.nacos_ca_file,
        state_dir=settings.state_dir / "nacos" if settings.state_dir is not None else None,
    )
