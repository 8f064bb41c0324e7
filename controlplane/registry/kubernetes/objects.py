"""What Laneway keeps of the objects of the API server. Pure.

The rest of an object, most of it, is dropped at once: ten thousand pods are 40 MB of JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Json = Mapping[str, Any]
NOTHING: Mapping[str, str] = MappingProxyType({})

SERVICE_NAME = "kubernetes.io/service-name"
"""The label of an EndpointSlice that names its Service."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A TCP port of a Service. `name` is "" where it is the only one and has no name."""

    name: str
    number: int
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A Service with its TCP ports in their order. `family` is the address type of its slices that count."""

    ports: tuple[ServicePort, ...]
    family: str = ""


@dataclass(frozen=True, slots=True)
class PodRef:
    """The pod of an endpoint. A pod that comes back under its name has another `uid`."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a slice. `ready` and `serving` are as discovery.k8s.io/v1 defines them: a terminating pod
    that still passes its readiness probe is serving and not ready.
    """

    address: str
    ready: bool
    serving: bool
    zone: str = ""
    pod: PodRef | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """An EndpointSlice. `ports` has the number of each TCP port by its name."""

    service: str
    family: str
    ports: Mapping[str, tuple[int, str]]
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. `metadata` are its labels, and those annotations that tell tag, application or protocol.

    `addresses` are empty for a pod in the network of its node, whose addresses are not its own.
    """

    uid: str
    addresses: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=lambda: NOTHING)


def read_service(found: Json) -> Service | None:
    """The Service; None for one without endpoints of its own (`ExternalName`)."""
    spec = found["spec"]
    if spec.get("type") == "ExternalName":
        return None
    families = spec.get("ipFamilies") or ()
    return Service(
        tuple(
            ServicePort(one.get("name") or "", one["port"], one.get("appProtocol") or "")
            for one in spec.get("ports") or ()
            if one.get("protocol", "TCP") == "TCP"
        ),
        families[0] if families else "",
    )


def read_slice(found: Json) -> Slice | None:
    """The EndpointSlice; None for one that belongs to no Service."""
    service = (found["metadata"].get("labels") or NOTHING).get(SERVICE_NAME)
    if not service:
        return None
    return Slice(
        service,
        found["addressType"],
        {
            one.get("name") or "": (one["port"], one.get("appProtocol") or "")
            for one in found.get("ports") or ()
            if one.get("protocol", "TCP") == "TCP" and one.get("port")
        },
        tuple(_endpoint(one, found) for one in found.get("endpoints") or ()),
    )


def _endpoint(one: Json, of: Json) -> Endpoint:
    conditions = one.get("conditions") or {}
    # A condition that is absent or null is unknown; consumers take that as ready (discovery.k8s.io/v1).
    ready = conditions.get("ready")
    serving = conditions.get("serving")
    ready = True if ready is None else bool(ready)
    reference = one.get("targetRef") or {}
    pod = None
    if reference.get("kind") == "Pod":
        namespace = reference.get("namespace") or of["metadata"]["namespace"]
        pod = PodRef(namespace, reference["name"], reference.get("uid") or "")
    return Endpoint(
        # All addresses of an endpoint are of the same pod, and any of them may be used.
        address=one["addresses"][0],
        ready=ready,
        serving=ready if serving is None else bool(serving),
        zone=one.get("zone") or "",
        pod=pod,
    )


def pod_reader(wanted: Callable[[str], bool]) -> Callable[[Json], Pod]:
    """What reads pods. `wanted` tells which annotations are kept; a label of the same key counts."""

    def read(found: Json) -> Pod:
        metadata, status = found["metadata"], found.get("status") or {}
        labels: Mapping[str, str] = metadata.get("labels") or NOTHING
        annotations: Mapping[str, str] = metadata.get("annotations") or NOTHING
        kept = {key: value for key, value in annotations.items() if wanted(key)}
        own = not (found.get("spec") or {}).get("hostNetwork")
        over = status.get("phase") in ("Succeeded", "Failed")  # its addresses may be another pod's by now
        return Pod(
            metadata["uid"],
            tuple(one["ip"] for one in status.get("podIPs") or ()) if own and not over else (),
            MappingProxyType(kept | dict(labels)) if kept else MappingProxyType(dict(labels)),
        )

    return read
