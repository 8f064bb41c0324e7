"""Whether what a sidecar says of its place agrees with its certificate and with the registry."""

from __future__ import annotations

from controlplane.ip import ip_address
from controlplane.snapshot.mesh import Mesh
from controlplane.snapshot.nodes import SidecarNode
from controlplane.snapshot.places import Places
from controlplane.xds.node import DeniedNode, Node

_REMEDY = (
    "give the instance the metadata key `app` with the application's name, or define an Application that "
    "lists its service"
)


def check(node: Node, parsed: SidecarNode, places: Places, mesh: Mesh) -> None:
    """Raises DeniedNode where the address is another one than the certificate's, or where the registry has
    the address or a service for other applications alone. What it does not know is not disputed: a sidecar
    may start before its application is registered.
    """
    identity = node.identity
    if identity is None:
        return
    address = parsed.place.address
    allowed = {identity.address} if identity.address else set(node.addresses)
    if allowed and address not in {_normal(one) for one in allowed}:
        raise DeniedNode(
            f"the certificate is for address {', '.join(sorted(allowed))}, but node.metadata.address is "
            f"{address}"
        )
    for own in parsed.place.services:
        registered = places.at(address, [own.port])
        if registered is not None and registered[0] != identity.name:
            raise DeniedNode(
                f"the registry has {address}:{own.port} for application {registered[0]}, but the certificate "
                f"is of {identity.party}: {_REMEDY}"
            )
        if registered is None and _of_others(own.service, identity.name, mesh):
            raise DeniedNode(
                f"service {own.service} belongs to other applications, but the certificate is of "
                f"{identity.party}: {_REMEDY}"
            )


def _of_others(service: str, application: str, mesh: Mesh) -> bool:
    try:
        plan = mesh.services.get(mesh.resolve(service))
    except LookupError:
        return False
    return plan is not None and bool(plan.applications) and application not in plan.applications


def _normal(address: str) -> str:
    try:
        return str(ip_address(address))
    except ValueError:
        return address
