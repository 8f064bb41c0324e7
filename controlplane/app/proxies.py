"""Connected proxies as the admin API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from controlplane.admin import proxy_answers
from controlplane.snapshot.view import NodeView
from controlplane.translate.shown import Unreadable, fields_of
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

MOST_BYTES = 2 << 20
"""Of a resource whose content is shown: as JSON it is several times as large."""
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


def configuration(
    streams: Sequence[tuple[float, Sequence[ResourceStatus]]], wanted: proxy_answers.ResourceFilter
) -> proxy_answers.Compose | None:
    """GET /v1/configuration/{node}, as ControlPlane.configuration describes it."""
    if not streams:
        return None

    def picked(found: ResourceStatus) -> bool:
        return wanted.type in (None, _type_name(found)) and wanted.name in (None, found.name)

    def compose() -> proxy_answers.Configurations:
        return proxy_answers.Configurations(
            items=[
                proxy_answers.Configuration(
                    connected=datetime.fromtimestamp(connected, UTC).isoformat(),
                    resources=[_sent(one, wanted.name is not None) for one in resources if picked(one)],
                )
                for connected, resources in streams
            ]
        )

    return compose


def _type_name(found: ResourceStatus) -> str:
    return TYPE_NAMES.get(found.type_url, found.type_url)


def _sent(found: ResourceStatus, with_content: bool) -> proxy_answers.SentResource:
    resource = found.resource
    content, omitted = None, ""
    if with_content and resource is not None:
        # Not even to admins: a key that nobody is shown can be lost by nobody.
        if found.type_url == SECRET:
            omitted = "Keys and certificates are shown to nobody."
        elif len(resource.body) > MOST_BYTES:
            omitted = f"It has more than {MOST_BYTES} bytes: see /config_dump of the proxy's own admin port."
        else:
            try:
                content = fields_of(found.type_url, resource.body)
            except Unreadable as error:
                omitted = str(error)
    return proxy_answers.SentResource(
        type=_type_name(found),
        name=found.name,
        version=found.version,
        state=found.state,
        size=0 if resource is None else len(resource.body),
        nack=_nack(found.nack),
        content=content,
        omitted=omitted,
    )
