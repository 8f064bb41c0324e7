"""Services on a second port: that of the gRPC server which an instance has in its metadata. Pure.

Spring's gRPC starters register the port of the web server and write that of the gRPC server into the
metadata. A service is a name on one port, so the second port makes a service of its own, `<id>:grpc`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controlplane.registry.metadata import read_grpc_port
from controlplane.registry.source import RawService
from controlplane.registry.types import Protocol

PORT_NAME = "grpc"


def grpc_service_id(service_id: str) -> str:
    """The id of the service on the gRPC port of `service_id`."""
    return f"{service_id}:{PORT_NAME}"


def grpc_service(raw: RawService, keys: Sequence[str]) -> RawService | None:
    """The service on the gRPC ports of the instances of `raw`; None if no instance has one.

    `keys` are the metadata keys of the port. An instance whose gRPC port is the registered one has no second
    port.
    """
    found = tuple(
        replace(one, port=port, protocol=Protocol.GRPC.value)
        for one in raw.instances
        if (port := read_grpc_port(one.metadata, keys)[0]) is not None and port != one.port
    )
    return RawService(raw.name, found, Protocol.GRPC.value) if found else None
