"""Connected proxies as the admin API shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from controlplane.admin import proxy_answers
from controlplane.snapshot.view import NodeView
from controlplane.xds.client_status import ResourceStatus
from controlplane.xds.held import Held
from controlplane.xds.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION_CONFIG,
    LISTENER,
    ROUTE,
    SECRET,
    VIRTUAL_HOST,
)
from controlplane.xds.server import ConnectedProxy, TypeState
from controlplane.xds.subscription import Nack

TYPE_NAMES = {
    CLUSTER: "cluster",
    ENDPOINT: "endpoint",
    LISTENER: "listener",
    ROUTE: "route",
    EXTENSION_CONFIG: "extension",
    SECRET: "secret",
    VIRTUAL_HOST: "virtual_host",
}


def _nack(nack: Nack | None) -> proxy_answers.Nack | None:
    if nack is None:
        return None
    at = datetime.fromtimestamp(nack.at, UTC).isoformat()
    return proxy_answers.Nack(version=nack.version, message=nack.message, at=at)


def _type(state: TypeState) -> proxy_answers.TypeState:
    return proxy_answers.TypeState(sent=state.sent, acked=state.acked, nack=_nack(state.nack))


def _drift(found: ResourceStatus) -> proxy_answers.Drift:
    return proxy_answers.Drift(
        type=TYPE_NAMES.get(found.type_url, found.type_url),
        name=found.name,
        version=found.version,
        state=found.state,
        nack=_nack(found.nack),
    )


def _held(held: Held) -> proxy_answers.HeldChange:
    return proxy_answers.HeldChange(
        type=TYPE_NAMES.get(held.type_url, held.type_url),
        name=held.resource.name,
        version=held.resource.version,
        node=held.node,
        nack=_nack(held.nack),
        confirmed=list(held.confirmed),
    )


def shown(connected: ConnectedProxy) -> proxy_answers.Proxy:
    """One item of GET /v1/proxies."""
    view = connected.view
    types = {TYPE_NAMES.get(url, url): _type(state) for url, state in connected.types.items()}
    for name in ("cluster", "endpoint", "listener", "route"):
        types.setdefault(name, proxy_answers.TypeState(sent="", acked="", nack=None))
    return proxy_answers.Proxy(
        node=connected.id,
        cluster=connected.cluster,
        role=view.node.role if isinstance(view, NodeView) else "",
        envoy=connected.version,
        variant=connected.variant,
        identity=connected.node.identity.party if connected.node.identity is not None else "",
        connected=datetime.fromtimestamp(connected.connected, UTC).isoformat(),
        types=types,
        standing=connected.standing,
        held=[_held(one) for one in connected.held],
        warnings=list(view.warnings()) if isinstance(view, NodeView) else [],
        drift=None if connected.drift is None else [_drift(found) for found in connected.drift],
    )
