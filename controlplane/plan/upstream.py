"""How proxies treat the instances of an application, as far as its definition says."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Application
from controlplane.model.fields import seconds
from controlplane.model.upstream_fields import CircuitBreaking, HealthCheck, LoadBalancing

KEEP_ALIVE = seconds(Application.model_fields["keep_alive"].default)


@dataclass(frozen=True, slots=True)
class Upstream:
    """How proxies treat the instances of an application.

    `keep_alive`: seconds for which a connection may be idle before the proxy closes it; 0 keeps no idle
    connections. `request_timeout`: seconds until the whole response must have arrived; 0: no limit.
    `idle_timeout`: seconds for which a request may be idle; 0: no limit; None: the proxy's default.
    """

    health_check: HealthCheck | None = None
    keep_alive: float = KEEP_ALIVE
    request_timeout: float = 0.0
    idle_timeout: float | None = None
    balancing: LoadBalancing | None = None
    circuit: CircuitBreaking | None = None


DEFAULT = Upstream()


def upstreams(definitions: Definitions) -> dict[str, Upstream]:
    """The applications whose definitions differ from the default, by name."""
    found = {a.name: upstream_of(a) for a in definitions.applications.values()}
    return {name: upstream for name, upstream in found.items() if upstream != DEFAULT}


def upstream_of(application: Application) -> Upstream:
    """What the definition of one application says of its instances."""
    request = application.timeouts and application.timeouts.request
    idle = application.timeouts and application.timeouts.idle
    return Upstream(
        health_check=application.health_check,
        keep_alive=seconds(application.keep_alive),
        request_timeout=seconds(request) if request else 0.0,
        idle_timeout=seconds(idle) if idle else None,
        balancing=application.load_balancing,
        circuit=application.circuit_breaking,
    )
