"""The server without lanes: resources put in by type, name and node, for conformance tests and experiments.

harness = Harness()
port = await harness.start("127.0.0.1:0")
harness.set_state("node", "1", [cluster, endpoints])
harness.update("node", CLUSTER, "a", "2")
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from google.protobuf import descriptor_pool, message, message_factory

from controlplane.rpc.choice import TransportName, transport
from controlplane.xds.messages import Message
from controlplane.xds.node import Node
from controlplane.xds.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION_CONFIG,
    LISTENER,
    ROUTE,
    RUNTIME,
    SECRET,
    VIRTUAL_HOST,
    Resource,
)
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.server import XdsServer
from controlplane.xds.view import View

_TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE, VIRTUAL_HOST, EXTENSION_CONFIG, SECRET, RUNTIME)
_MODULES = (
    "envoy.config.cluster.v3.cluster_pb2",
    "envoy.config.endpoint.v3.endpoint_pb2",
    "envoy.config.listener.v3.listener_pb2",
    "envoy.config.route.v3.route_pb2",
    "envoy.extensions.transport_sockets.tls.v3.secret_pb2",
    "envoy.service.runtime.v3.rtds_pb2",
)


class Harness:
    """A server and, for each node id, its own collections. `settings` are those of XdsServer.

    All methods but start and stop are plain calls on the event loop's thread; the push follows in its next
    turn.
    """

    def __init__(self, transport_name: TransportName = "laneway", **settings: Any) -> None:
        self._clock = Clock()
        self.server = XdsServer(self._classify, self._clock, transport=transport(transport_name), **settings)
        self._views: dict[str, View] = {}

    async def start(self, address: str) -> int:
        """Listen, at once ready. Returns the port."""
        port = await self.server.start(address)
        self.server.set_ready()
        return port

    async def stop(self, grace: float = 0.5) -> None:
        await self.server.stop(grace)

    def collection(self, node: str, type_url: str) -> Collection:
        """The node's resources of one type. Raises ValueError for a type that is not served."""
        parts = self._view(node).of(type_url)
        if not parts:
            raise ValueError(f"no such resource type: {type_url}")
        return parts[0]

    def set_state(self, node: str, version: str, resources: Iterable[Message]) -> None:
        """Serve exactly these. Raises ValueError for an unknown type or an unreadable body."""
        by_type: dict[str, list[Resource]] = {type_url: [] for type_url in _TYPES}
        for resource in resources:
            if resource.type_url not in by_type:
                raise ValueError(f"no such resource type: {resource.type_url}")
            by_type[resource.type_url].append(Resource(name_in(resource), resource.value, version))
        for type_url, wanted in by_type.items():
            collection = self.collection(node, type_url)
            collection.label = version
            collection.replace(wanted)

    def clear(self, node: str) -> None:
        """Serve nothing."""
        for type_url in _TYPES:
            self.collection(node, type_url).replace([])

    def put(self, node: str, type_url: str, name: str, version: str, body: bytes | None = None) -> None:
        """Add a resource or replace it. Without a body: what it has, else an empty message of that name."""
        collection = self.collection(node, type_url)
        if body is None:
            known = collection.get(name)
            body = known.body if known is not None else _named(type_url, name)
        collection.label = version
        collection.put(Resource(name, body, version))

    def remove(self, node: str, type_url: str, name: str, version: str = "") -> bool:
        """Remove a resource. True if there was one."""
        collection = self.collection(node, type_url)
        if version:
            collection.label = version
        return collection.remove(name)

    def _classify(self, node: Node) -> View:
        return self._view(node.id)

    def _view(self, node: str) -> View:
        view = self._views.get(node)
        if view is None:
            parts = {type_url: [Collection(self._clock, type_url)] for type_url in _TYPES}
            view = self._views[node] = View(self._clock, parts)
        return view


def name_in(resource: Message) -> str:
    """The name inside of a resource. Raises ValueError for a body that is not of its type."""
    try:
        content = _class(resource.type_url).FromString(resource.value)
    except message.DecodeError as error:
        raise ValueError(f"not a {resource.type_url}: {error}") from None
    return content.cluster_name if resource.type_url == ENDPOINT else content.name


def _named(type_url: str, name: str) -> bytes:
    field = "cluster_name" if type_url == ENDPOINT else "name"
    return _class(type_url)(**{field: name}).SerializeToString()


def _class(type_url: str) -> Any:
    _load_types()
    descriptor = descriptor_pool.Default().FindMessageTypeByName(type_url.rpartition("/")[2])
    return message_factory.GetMessageClass(descriptor)


def _load_types() -> None:
    """Message types are found by name once their modules are imported."""
    for module in _MODULES:
        import_module(module)
