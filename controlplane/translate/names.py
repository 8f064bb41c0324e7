"""Names of Envoy resources. They derive from canonical ids, applications and tags, and never change."""

from __future__ import annotations

from urllib.parse import unquote

from controlplane.plan.services import Target
from controlplane.translate.messages import safe

MARK_PREFIX = "x-laneway-"
UNREACHED_HEADER = "x-laneway-unreached"
TRY_HEADER = "x-laneway-try"
REFUSED = "refused"
"""The value of UNREACHED_HEADER that says that no connection to the application could be made."""
LANE_HEADER = "x-laneway-lane"
PHASE_HEADER = "x-laneway-phase"
"""How far a request has come on its way through the filters; absent once the router has taken it."""
OPEN_PHASE = "open"
"""At an edge, before any filter: the request's body is not whole. Else the phase is a number."""
LIFTED_PHASE = "lifted"
"""Lua has read what the routes depend on."""
RECEIVING_PHASE = "receiving"
REST_HEADER = "x-laneway-rest"
ORIGINAL_HEADER = "x-laneway-destination"
ELSEWHERE_HEADER = "x-laneway-elsewhere"
HOST_HEADER = "x-laneway-host"
OUTBOUND = "outbound"
PASS_THROUGH = "laneway-pass-through"
FORWARD_PROXY = "laneway-forward-proxy"
FALLS_BACK = ">base"
"""How the name of a lane's cluster ends, if base answers where no instance of the lane can be reached."""


def base_cluster(service: str) -> str:
    """The cluster of the untagged instances of a service, given by its canonical id."""
    return f"{safe(service)}|base"


def member_cluster(service: str, target: Target) -> str:
    """The cluster of the tagged instances alone."""
    applications = ",".join(quoted.replace(":", "%3A") for quoted in map(safe, target.applications))
    strict = "|strict" if target.strict else ""
    return f"{safe(service)}|{applications}|{safe(target.tag)}{strict}"


def lane_cluster(service: str, target: Target) -> str:
    """The aggregate that lane routes point at: tagged instances, then base (or nothing)."""
    return f"{member_cluster(service, target)}{'>none' if target.strict else FALLS_BACK}"


def version_member(service: str, version: str) -> str:
    """The base of a service as the meaning of base named `version` has it."""
    return f"{safe(service)}|{version}"


def version_cluster(service: str, version: str) -> str:
    """What base requests of that meaning go to: its instances, then what is base without a colour."""
    return f"{safe(service)}|{version},base"


def service_of_cluster(name: str) -> str | None:
    """The canonical id of the service that a cluster belongs to; None for clusters of no service."""
    service, bar, _ = name.partition("|")
    return unquote(service) if bar and "/" in service else None


def edge_routes(gateway: str) -> str:
    """The route configuration of a gateway."""
    return f"edge/{gateway}"


def inbound_cluster(port: int) -> str:
    """The cluster of the application behind a sidecar, by the port that callers use."""
    return f"inbound|{port}"
