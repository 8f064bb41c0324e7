"""Objects of the Gateway API for tests without an API server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controlplane.gatewayapi.objects import CONTROLLER, Record, World

GATEWAY = {
    "gatewayClassName": "laneway",
    "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
}


def record(
    plural: str,
    name: str,
    namespace: str = "default",
    *,
    spec: Any = None,
    status: Any = None,
    created: str = "",
) -> Record:
    return Record(
        namespace, name, 1, "7", created or "2026-01-01T00:00:00Z", spec or {}, status or {}, {"of": plural}
    )


def route(name: str, *, created: str = "", status: Any = None, **spec: Any) -> Record:
    """An HTTPRoute whose parent is the Gateway edge."""
    whole = {"parentRefs": [{"name": "edge"}], **spec}
    return record("httproutes", name, spec=whole, status=status, created=created)


def world(*routes: Record, gateways: Iterable[Record] = ()) -> World:
    """With the class and the Gateway edge; sc-a and sc-b have port 80."""
    edge = record("gateways", "edge", spec=GATEWAY)

    def service(namespace: str, name: str, port: int) -> str | None:
        return f"kubernetes/{namespace}//{name}" if name in ("sc-a", "sc-b") and port == 80 else None

    return World(
        {("", "laneway"): record("gatewayclasses", "laneway", "", spec={"controllerName": CONTROLLER})},
        {one.at: one for one in (edge, *gateways)},
        {one.at: one for one in routes},
        {},
        {},
        frozenset({"edge"}),
        service,
    )
