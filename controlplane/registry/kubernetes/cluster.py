"""The objects of a cluster joined to services and instances, kept up to date one object at a time. Pure.

A service of Laneway is a Service on one port. Its instances are the endpoints of its EndpointSlices, each
with the labels of its pod. An endpoint whose pod is not known is refused: the pod may be a canary, which must
not pass for base. The streams of slices and pods have no common order, so that is usual for milliseconds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from controlplane.registry.kubernetes.objects import Endpoint, Pod, PodRef, Service, ServicePort, Slice
from controlplane.registry.names import canonical_id
from controlplane.registry.source import RawInstance, RawService

SOURCE = "kubernetes"

HTTP_PROTOCOLS = {"http": "http1", "kubernetes.io/ws": "http1", "kubernetes.io/h2c": "http2"}
"""`appProtocol`s that Laneway calls otherwise."""
OPAQUE_PROTOCOLS = frozenset(
    ("amqp", "https", "kafka", "kubernetes.io/wss", "mongo", "mongodb", "mysql", "postgresql", "redis", "tls")
)
"""`appProtocol`s without HTTP that a proxy could read; they are passed as TCP."""

Key = tuple[str, str]
"""Namespace and name."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(slots=True)
class Changes:
    """What has to be reported: Services by namespace and name, and addresses of pods."""

    services: set[Key] = field(default_factory=set[Key])
    addresses: set[str] = field(default_factory=set[str])


class Cluster:
    """The objects that are known. `changes` collects what they concern until `taken` resets it."""

    def __init__(self, chosen: bool = False) -> None:
        """chosen: only the namespaces that are put count; otherwise, all."""
        self.services: dict[Key, Service] = {}
        self.slices: dict[Key, Slice] = {}
        self.pods: dict[Key, Pod] = {}
        self.namespaces: dict[Key, bool] = {}
        self._chosen = chosen
        self.changes = Changes()
        self._slices_of: dict[Key, set[Key]] = {}
        self._slices_with: dict[Key, set[Key]] = {}  # by pod
        self._pods_at: dict[str, set[Key]] = {}

    def taken(self) -> Changes:
        """The changes since the last call."""
        changes, self.changes = self.changes, Changes()
        return changes

    # Objects. None: it was deleted.

    def put_service(self, key: Key, service: Service | None) -> None:
        if _replace(self.services, key, service):
            self.changes.services.add(key)

    def put_slice(self, key: Key, one: Slice | None) -> None:
        before = self.slices.get(key)
        if not _replace(self.slices, key, one):
            return
        for slice_, act in ((before, _discard), (one, _add)):
            if slice_ is not None:
                of = (key[0], slice_.service)
                act(self._slices_of, of, key)
                self.changes.services.add(of)
                for pod in _pods(slice_):
                    act(self._slices_with, pod, key)

    def put_pod(self, key: Key, pod: Pod | None) -> None:
        before = self.pods.get(key)
        if not _replace(self.pods, key, pod):
            return
        for one, act in ((before, _discard), (pod, _add)):
            for address in one.addresses if one is not None else ():
                act(self._pods_at, address, key)
                self.changes.addresses.add(address)
        for slice_ in self._slices_with.get(key, ()):
            self.changes.services.add((slice_[0], self.slices[slice_].service))

    def put_namespace(self, key: Key, there: bool | None) -> None:
        if not _replace(self.namespaces, key, there):
            return
        name = key[1]
        self.changes.services.update(key for key in self.services if key[0] == name)
        for pod, one in self.pods.items():
            if pod[0] == name:
                self.changes.addresses.update(one.addresses)

    # What they mean.

    def counts(self, namespace: str) -> bool:
        """Whether the objects of a namespace are used."""
        return not self._chosen or ("", namespace) in self.namespaces

    def reported(self, key: Key) -> Mapping[str, RawService]:
        """The services that a Service makes, one a TCP port, by canonical id; none where it is gone.

        The first port has the name of the Service alone, so that it keeps it when a second port is added.
        """
        service = self.services.get(key)
        if service is None or not self.counts(key[0]):
            return {}
        namespace, name = key
        slices = [
            one
            for other in sorted(self._slices_of.get(key, ()))
            if (one := self.slices[other]).family == service.family or not service.family
        ]
        found: dict[str, RawService] = {}
        for port in service.ports:
            names = [f"{name}:{port.number}"] + ([f"{name}:{port.name}"] if port.name else [])
            main = port is service.ports[0]
            id_ = canonical_id(SOURCE, namespace, "", name, "" if main else port.name or str(port.number))
            hosts = [f"{name}.{namespace}{ending}" for ending in ("", ".svc", ".svc.cluster.local")]
            found[id_] = RawService(
                name,
                self._instances(port, slices),
                _protocol(port.protocol),
                aliases=tuple(one for one in names if not id_.endswith(f"/{one}")),
                hosts=tuple(hosts) if main else tuple(f"{one}:{port.number}" for one in (name, *hosts)),
            )
        return found

    def pod_at(self, address: str) -> Mapping[str, str] | None:
        """Labels and annotations of the only pod with this address; None if there is none, or several."""
        pods = [key for key in self._pods_at.get(address, ()) if self.counts(key[0])]
        return self.pods[pods[0]].metadata if len(pods) == 1 else None

    def labels_at(self, address: str) -> tuple[str, Mapping[str, str]] | None:
        """Namespace and labels of the pod that `pod_at` means."""
        pods = [key for key in self._pods_at.get(address, ()) if self.counts(key[0])]
        return (pods[0][0], self.pods[pods[0]].metadata) if len(pods) == 1 else None

    def _instances(self, port: ServicePort, slices: Iterable[Slice]) -> tuple[RawInstance, ...]:
        found: dict[tuple[str, int], RawInstance] = {}
        for slice_ in slices:
            if port.name not in slice_.ports:
                continue
            number, protocol = slice_.ports[port.name]
            for endpoint in slice_.endpoints:
                if not endpoint.ready and not endpoint.serving:
                    continue
                at = (endpoint.address, number)
                # While a controller moves an endpoint to another slice, it may be in both.
                if at not in found or found[at].last_resort:
                    found[at] = self._instance(endpoint, number, protocol)
        return tuple(found[at] for at in sorted(found))

    def _instance(self, endpoint: Endpoint, port: int, protocol: str) -> RawInstance:
        metadata: Mapping[str, str] = {}
        refused = ""
        if endpoint.pod is not None:
            pod = self._pod(endpoint.pod)
            if pod is None:
                refused = (
                    f"its pod {endpoint.pod.namespace}/{endpoint.pod.name} is not known, so neither is its "
                    "tag; it is used as soon as the API server reports the pod"
                )
            else:
                metadata = pod.metadata
        return RawInstance(
            address=endpoint.address,
            port=port,
            metadata=metadata,
            protocol=_protocol(protocol),
            zone=endpoint.zone,
            last_resort=not endpoint.ready,
            refused=refused,
        )

    def _pod(self, reference: PodRef) -> Pod | None:
        pod = self.pods.get((reference.namespace, reference.name))
        return pod if pod is not None and reference.uid in ("", pod.uid) else None


def _protocol(app_protocol: str) -> str:
    """The protocol of a port as registries say it, "" where its Service does not."""
    name = app_protocol.lower()
    return "tcp" if name in OPAQUE_PROTOCOLS else HTTP_PROTOCOLS.get(name, name)


def _pods(slice_: Slice) -> Iterable[Key]:
    return {(one.pod.namespace, one.pod.name) for one in slice_.endpoints if one.pod is not None}


def _replace(records: dict[Key, T], key: Key, record: T | None) -> bool:
    """Put a record, or take it away where it is None. Returns whether that changes anything."""
    if records.get(key) == record:
        return False
    if record is None:
        del records[key]
    else:
        records[key] = record
    return True


def _add(index: dict[K, set[Key]], at: K, key: Key) -> None:
    index.setdefault(at, set()).add(key)


def _discard(index: dict[K, set[Key]], at: K, key: Key) -> None:
    index[at].discard(key)
    if not index[at]:
        del index[at]
