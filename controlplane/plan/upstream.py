"""How proxies treat the instances of an application, as far as its definition says."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Application, HealthCheck
from controlplane.model.fields import seconds

KEEP_ALIVE = seconds(Application.model_fields["keep_alive"].default)


@dataclass(frozen=True, slots=True)
class Upstream:
    """`keep_alive`: seconds for which a connection may be idle before the proxy closes it; 0 keeps none."""

    health_check: HealthCheck | None = None
    keep_alive: float = KEEP_ALIVE


DEFAULT = Upstream()


def upstreams(definitions: Definitions) -> dict[str, Upstream]:
    """By application: what differs from the default."""
    found = {
        a.name: Upstream(a.health_check, seconds(a.keep_alive)) for a in definitions.applications.values()
    }
    return {name: upstream for name, upstream in found.items() if upstream != DEFAULT}
