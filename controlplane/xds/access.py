"""Who may call which method of the port, and as which node: the one place for all methods.

A client is what its certificate says. A call is admitted, or ended with PERMISSION_DENIED, before anything
of it is read; the node that a request names is compared with the certificate as soon as it is decoded. A
port that asks for no certificates knows nobody: then everybody who reaches it may be any proxy, and only
callers on the same machine see what other proxies have.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import grpc

from controlplane.net.crowd import sender
from controlplane.net.lines import host_of
from controlplane.rpc.transport import Call, CallEnd, Handler, Methods

from .bounds import shown
from .identities import Identities
from .identity import Identity, Kind
from .node import DeniedNode, Node

PROXIES: frozenset[Kind] = frozenset({"gateway", "application"})
EVERYONE: frozenset[Kind] = frozenset({"gateway", "application", "operator"})

#: By service: who may call its methods. A service that is not here cannot be served.
SERVICES: Mapping[str, frozenset[Kind]] = {
    "envoy.service.accesslog.v3.AccessLogService": PROXIES,
    "envoy.service.cluster.v3.ClusterDiscoveryService": PROXIES,
    "envoy.service.discovery.v3.AggregatedDiscoveryService": PROXIES,
    "envoy.service.endpoint.v3.EndpointDiscoveryService": PROXIES,
    "envoy.service.extension.v3.ExtensionConfigDiscoveryService": PROXIES,
    "envoy.service.listener.v3.ListenerDiscoveryService": PROXIES,
    "envoy.service.route.v3.RouteDiscoveryService": PROXIES,
    "envoy.service.route.v3.VirtualHostDiscoveryService": PROXIES,
    "envoy.service.runtime.v3.RuntimeDiscoveryService": PROXIES,
    "envoy.service.secret.v3.SecretDiscoveryService": PROXIES,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": PROXIES,
    # Whose status is told to whom: see `Access.sees`.
    "envoy.service.status.v3.ClientStatusDiscoveryService": EVERYONE,
}

#: What a proxy of that role is a part of.
_OF_ROLE: Mapping[str, Kind] = {"edge": "gateway", "sidecar": "application", "grpc": "application"}

Refused = Callable[[Call, CallEnd], None]


class Access:
    """identities: how certificates are read; None where the port asks for none. refused: is told of each call
    that is not admitted.
    """

    def __init__(self, identities: Identities | None, refused: Refused) -> None:
        self._identities = identities
        self._refused = refused

    def guard(self, methods: Methods) -> Methods:
        """The methods, each behind its permission. Raises ValueError for one that has none."""
        unknown = sorted(path for path in methods if _service(path) not in SERVICES)
        if unknown:
            raise ValueError(f"nothing says who may call {', '.join(unknown)}: add it to access.SERVICES")
        return {
            path: partial(self._admit, SERVICES[_service(path)], serve) for path, serve in methods.items()
        }

    def as_node(self, call: Call, node: Node) -> Node:
        """The node with the identity by which the caller may speak for it. Raises DeniedNode."""
        who = self._who(call)
        if who is None:
            return node
        role = node.metadata.get("role")
        kind = _OF_ROLE.get(role) if isinstance(role, str) else None
        own = [one for one in who if one.kind in PROXIES]
        of_kind = [one for one in own if one.kind == kind]
        if not of_kind:
            text = f"the certificate is of {_listed(own)}, but node.metadata.role is {shown(str(role), 80)!r}"
            raise DeniedNode(text)
        named = [one for one in of_kind if one.name == node.cluster]
        if not named:
            text = (
                f"the certificate is of {_listed(of_kind)}, but node.cluster is {shown(node.cluster, 80)!r}"
            )
            raise DeniedNode(text)
        for identity in named:
            if identity.node in ("", node.id):
                return replace(node, identity=identity, addresses=self._addresses(call))
        text = f"the certificate is of node {named[0].node}, but node.id is {shown(node.id, 80)!r}"
        raise DeniedNode(text)

    def client(self, call: Call) -> str:
        """Whom bounds count by: a gateway, an application or an operator, or an address."""
        who = self._who(call)
        return who[0].party if who else sender(host_of(call.peer))

    def sees(self, call: Call, node: Node) -> bool:
        """Whether the caller may see what that node has: an operator all, a proxy those of its own gateway or
        application, and a caller whom no certificate names all if it is on this machine.
        """
        who = self._who(call)
        if who is None:
            return _local(call)
        parties = {one.party for one in who}
        return any(one.kind == "operator" for one in who) or (
            node.identity is not None and node.identity.party in parties
        )

    def _admit(self, kinds: frozenset[Kind], serve: Callable[[Call], Handler], call: Call) -> Handler:
        who = self._who(call)
        if who is None or any(one.kind in kinds for one in who):
            return serve(call)
        if who:
            text = f"{_listed(who)} may not call {call.method}"
        elif call.certificate is None:
            text = "a certificate is needed"
        else:
            names = [shown(name, 200) for name in (*call.certificate.uris, *call.certificate.names)[:5]]
            text = f"the certificate's names ({', '.join(names)}) fit no pattern of xds_identities"
        end = CallEnd(grpc.StatusCode.PERMISSION_DENIED, text)
        self._refused(call, end)
        raise end

    def _who(self, call: Call) -> tuple[Identity, ...] | None:
        """Who calls; None where the port does not ask."""
        if self._identities is None:
            return None
        return () if call.certificate is None else self._identities.of(call.certificate)

    def _addresses(self, call: Call) -> tuple[str, ...]:
        return () if call.certificate is None else call.certificate.addresses


def _service(path: str) -> str:
    return path.removeprefix("/").partition("/")[0]


def _listed(who: list[Identity] | tuple[Identity, ...]) -> str:
    return " and ".join(one.party for one in who[:5]) or "no proxy"


def _local(call: Call) -> bool:
    try:
        return ipaddress.ip_address(host_of(call.peer)).is_loopback
    except ValueError:
        return False
