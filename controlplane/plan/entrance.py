"""Where a request enters a gateway: the listener, the certificate that a client gets there, and redirects to
TLS. Envoy gets the same from translate/front.py.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from controlplane.model.gateway_fields import Certified, Listener
from controlplane.plan.gateways import GatewayPlan
from controlplane.plan.hosts import asked_host, strip_port, without_dot

HTTPS = 443
ALT_SVC_AGE = 86400
"""Seconds for which a client remembers that there is HTTP/3."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """`certificate`: the file or the secret that a client gets who asks for the host by TLS; "" without TLS,
    None if the edge has none for that name and takes no connection.
    """

    listener: Listener
    certificate: str | None


def listener_of(plan: GatewayPlan, port: int) -> Listener | None:
    """The listener at `port`, or the only one if `port` is 0; None if that does not say which."""
    if port:
        return next((one for one in plan.listeners if one.port == port), None)
    return plan.listeners[0] if len(plan.listeners) == 1 else None


def entrance(plan: GatewayPlan, port: int, host: str) -> Entrance | None:
    """Where a request to `host` enters; None if it is not known which listener that is."""
    listener = listener_of(plan, port)
    return listener and Entrance(listener, _certificate(listener, _server_name(host)))


def scheme_of(plan: GatewayPlan, port: int) -> str:
    """`https` or `http`. If the listener is not known, it is https at a gateway with TLS on any port, because
    the others usually redirect.
    """
    listener = listener_of(plan, port)
    found = plan.listeners if listener is None else (listener,)
    return "https" if any(one.tls is not None for one in found) else "http"


def _server_name(host: str) -> str:
    """The name that clients ask for by TLS: an address is none (RFC 6066, section 3)."""
    name = asked_host(host)
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name
    return ""


def _certificate(listener: Listener, name: str) -> str | None:
    tls = listener.tls
    if tls is None:
        return ""
    exact = {host: one for one in tls.sni or () for host in one.hosts}
    suffixes = [host for host in exact if host.startswith("*.") and name.endswith(host[1:])]
    best = name if name in exact else max(suffixes, key=len, default="")
    return _named(exact[best]) if best else _named(tls)


def _named(one: Certified) -> str | None:
    return f"secret {one.secret}" if one.secret is not None else one.certificate


def to_https(listener: Listener, host: str, path: str, query: str) -> str | None:
    """The Location of the listener's redirect to TLS; None if it has none. `path` has no query."""
    port = listener.redirect_to_https
    if port is None:
        return None
    whole = f"{path}?{query}" if query else path
    return f"https://{strip_port(without_dot(host))}{'' if port == HTTPS else f':{port}'}{whole}"


def alt_svc(listener: Listener) -> str:
    """Where clients find HTTP/3 (Alt-Svc, RFC 7838); "" where the listener has none."""
    if listener.http3 is None:
        return ""
    return f'h3=":{listener.http3.port or listener.port}"; ma={ALT_SVC_AGE}'
