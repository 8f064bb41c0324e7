"""The open streams whose node is known, by client and node id: how many there are, and which began last."""

from __future__ import annotations

from collections import Counter
from typing import Generic, Protocol, TypeVar

from .node import Node


class NodeStream(Protocol):
    """What is needed of a stream. begun: whether it is served."""

    @property
    def client(self) -> str: ...
    @property
    def node(self) -> Node: ...
    @property
    def begun(self) -> bool: ...


S = TypeVar("S", bound=NodeStream)


class NodeStreams(Generic[S]):
    """Client: see Access. A node id belongs to the client that names it; others may use the same one."""

    def __init__(self) -> None:
        self._streams: dict[tuple[str, str], dict[S, None]] = {}  # by client and node id
        self._clients: Counter[str] = Counter()

    def add(self, stream: S) -> None:
        """A stream has said its node."""
        self._streams.setdefault((stream.client, stream.node.id), {})[stream] = None
        self._clients[stream.client] += 1

    def remove(self, stream: S) -> None:
        """A stream that was added has ended."""
        streams = self._streams[stream.client, stream.node.id]
        del streams[stream]
        if not streams:
            del self._streams[stream.client, stream.node.id]
        self._clients[stream.client] -= 1
        if not self._clients[stream.client]:
            del self._clients[stream.client]

    def of_client(self, client: str) -> int:
        """The number of streams of a client."""
        return self._clients[client]

    def of_node(self, client: str, node: str) -> int:
        """The number of streams of a client that name this node id."""
        return len(self._streams.get((client, node), ()))

    def last(self, client: str, node: str, *, begun: bool = False) -> S | None:
        """The newest stream of a client that names this node id; of those that are served, if `begun`."""
        for stream in reversed(self._streams.get((client, node), {})):
            if stream.begun or not begun:
                return stream
        return None
