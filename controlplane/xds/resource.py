"""One resource as it is served, the types of resources, and encoded selections that streams share.

The content of a resource is opaque, with one exception: the name of a cluster's endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import xxhash
from google.protobuf.message import DecodeError

from . import wire
from .messages import Cluster

TYPE_PREFIX = "type.googleapis.com/"
CLUSTER = TYPE_PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = TYPE_PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = TYPE_PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = TYPE_PREFIX + "envoy.config.route.v3.RouteConfiguration"
VIRTUAL_HOST = TYPE_PREFIX + "envoy.config.route.v3.VirtualHost"
EXTENSION_CONFIG = TYPE_PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
SECRET = TYPE_PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
RUNTIME = TYPE_PREFIX + "envoy.service.runtime.v3.Runtime"

#: The order in which changes that belong together are pushed: make before break.
#: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations
PUSH_ORDER = (CLUSTER, ENDPOINT, SECRET, EXTENSION_CONFIG, LISTENER, ROUTE, VIRTUAL_HOST, RUNTIME)

#: The types whose changes are tried with a few clients first: Envoy rejects such a resource as a whole.
TRIED = frozenset({LISTENER, ROUTE})
#: Those and the type of which some collections are tried (`Collection.tried`).
TRIABLE = TRIED | {CLUSTER}

_MOST_SELECTIONS = 256
_MOST_BYTES = 64 << 20


class Resource:
    """One named xDS resource: opaque bytes with a version. Immutable; its encoded forms are made once.

    `body` is the serialised message without an Any around it. `aliases` are further names under which a
    client may ask for it (delta only, used by VHDS).
    """

    __slots__ = ("_delta", "_digest", "_endpoints", "_entry", "_sotw", "aliases", "body", "name", "version")

    name: str
    body: bytes
    version: str
    aliases: tuple[str, ...]

    def __init__(self, name: str, body: bytes, version: str, aliases: tuple[str, ...] = ()) -> None:
        put = object.__setattr__
        put(self, "name", name)
        put(self, "body", body)
        put(self, "version", version)
        put(self, "aliases", aliases)
        put(self, "_sotw", None)
        put(self, "_delta", None)
        put(self, "_digest", None)
        put(self, "_endpoints", None)
        put(self, "_entry", None)

    @classmethod
    def of(cls, name: str, body: bytes, aliases: tuple[str, ...] = ()) -> Resource:
        """A resource whose version is the hash of its content: the same over restarts and replicas."""
        return cls(name, body, xxhash.xxh64_hexdigest(body), aliases)

    def __setattr__(self, key: str, value: object) -> None:
        raise AttributeError(f"a Resource is immutable: cannot set {key}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Resource):
            return NotImplemented
        return (self.name, self.version, self.body, self.aliases) == (
            other.name,
            other.version,
            other.body,
            other.aliases,
        )

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    def __repr__(self) -> str:
        return f"Resource({self.name!r}, version={self.version!r}, {len(self.body)} bytes)"

    @property
    def digest(self) -> int:
        """64 bits of name and version; a set of resources is summed up by the sum of its digests."""
        if self._digest is None:
            object.__setattr__(
                self, "_digest", xxhash.xxh64_intdigest(f"{self.name}\0{self.version}".encode())
            )
        return self._digest  # pyright: ignore[reportReturnType]

    @property
    def entry(self) -> bytes:
        """Its encoded entry in the `initial_resource_versions` of a client that has it."""
        if self._entry is None:
            object.__setattr__(self, "_entry", wire.entry(self.name, self.version))
        return self._entry  # pyright: ignore[reportReturnType]

    @property
    def endpoints(self) -> str:
        """For a cluster: the name under which its endpoints are found, which may differ from its own."""
        if self._endpoints is None:
            object.__setattr__(self, "_endpoints", endpoints_of(self.name, self.body))
        return self._endpoints  # pyright: ignore[reportReturnType]

    def sotw_field(self, type_url: str) -> bytes:
        """The `resources` field of a DiscoveryResponse with this resource in it."""
        if self._sotw is None:
            any_message = wire.text(wire.ANY_TYPE_URL, type_url) + wire.field(wire.ANY_VALUE, self.body)
            object.__setattr__(self, "_sotw", wire.field(wire.SOTW_RESOURCES, any_message))
        return self._sotw  # pyright: ignore[reportReturnType]

    def delta_field(self, type_url: str) -> bytes:
        """The `resources` field of a DeltaDiscoveryResponse with this resource in it."""
        if self._delta is None:
            any_message = wire.text(wire.ANY_TYPE_URL, type_url) + wire.field(wire.ANY_VALUE, self.body)
            wrapper = wire.text(wire.RESOURCE_VERSION, self.version)
            wrapper += wire.text(wire.RESOURCE_NAME, self.name)
            wrapper += b"".join(wire.text(wire.RESOURCE_ALIASES, alias) for alias in self.aliases)
            wrapper += wire.field(wire.RESOURCE_BODY, any_message)
            object.__setattr__(self, "_delta", wire.field(wire.DELTA_RESOURCES, wrapper))
        return self._delta  # pyright: ignore[reportReturnType]


Identity = tuple[str, tuple[str, ...]] | None
"""Version and aliases; None where there is no such resource."""


def identity(resource: Resource | None) -> Identity:
    """The value that is compared to find out whether a resource has changed."""
    return None if resource is None else (resource.version, resource.aliases)


def endpoints_of(name: str, body: bytes) -> str:
    """The EDS resource of a serialised cluster: `eds_cluster_config.service_name`, else the cluster's name.

    A body that cannot be parsed as a cluster counts as one without a service name: the client that gets it
    says what is wrong with it.
    """
    try:
        cluster = Cluster.FromString(body)
    except DecodeError:
        return name
    return cluster.eds_cluster_config.service_name or name


@dataclass(frozen=True, slots=True)
class Selection:
    """Encoded `resources` fields, the names that were found, the sum of their digests, how many they are."""

    body: bytes
    found: frozenset[str]
    weight: int
    count: int


class ResponseCache:
    """Selections by what was asked for. Bounded in number and bytes; the owner clears it on a change.

    One is kept when it is asked for a second time: many collections belong to one stream, which asks once.
    """

    __slots__ = ("_entries", "_size")

    def __init__(self) -> None:
        self._entries: dict[tuple[frozenset[str] | None, bool], Selection | None] = {}
        self._size = 0

    def get(self, names: frozenset[str] | None, delta: bool) -> Selection | None:
        return self._entries.get((names, delta))

    def put(self, names: frozenset[str] | None, delta: bool, selection: Selection) -> None:
        key = names, delta
        if key not in self._entries:
            if len(self._entries) >= _MOST_SELECTIONS or self._size > _MOST_BYTES:
                self.clear()
            self._entries[key] = None
        else:
            self._entries[key] = selection
            self._size += len(selection.body)

    def clear(self) -> None:
        if self._entries:
            self._entries.clear()
            self._size = 0
