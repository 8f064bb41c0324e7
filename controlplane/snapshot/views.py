"""Nodes that connect become views; the shell between the xDS server and the publisher."""

from __future__ import annotations

from controlplane.snapshot.grpc_clients import GrpcView
from controlplane.snapshot.nodes import EdgeNode, GrpcNode, NodeError, SidecarNode, parse_node
from controlplane.snapshot.publisher import Publisher
from controlplane.xds.resources import View
from controlplane.xds.server import InvalidNode, Node


def build_version(node: Node) -> tuple[int, int, int] | None:
    """The version of an Envoy; None for other clients, whose agents count by their own rules."""
    parts = node.version.split(".")
    if node.agent != "envoy" or len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


class Views:
    """`classify` and `released` for the xDS server."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._nodes: dict[int, EdgeNode | SidecarNode] = {}

    def classify(self, node: Node) -> View:
        """The view of `node`. Raises InvalidNode with a text that says what to change."""
        try:
            parsed = parse_node(node.cluster, node.metadata, build_version(node))
        except NodeError as error:
            raise InvalidNode(str(error)) from None
        if isinstance(parsed, GrpcNode):
            return self._publisher.grpc_clients.view(parsed)
        if isinstance(parsed, EdgeNode):
            view = self._publisher.edge_view(parsed)
        else:
            view = self._publisher.sidecar_view(parsed, node.incremental)
        self._nodes[id(view)] = parsed
        return view

    def released(self, node: Node, view: View) -> None:
        if isinstance(view, GrpcView):
            return self._publisher.grpc_clients.release(view)
        parsed = self._nodes.pop(id(view), None)
        if parsed is not None:
            self._publisher.release(parsed, view)
