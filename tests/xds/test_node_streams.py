"""Which streams a client has open for a node id."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from controlplane.xds.node import Node
from controlplane.xds.node_streams import NodeStreams


@dataclass(eq=False)
class Stream:
    client: str
    node: Node
    begun: bool = True


def stream(client: str, node: str, begun: bool = True) -> Stream:
    return Stream(client, Node(id=node), begun)


def test_an_older_stream_that_outlives_the_newer_is_found() -> None:
    streams: NodeStreams[Stream] = NodeStreams()
    older, newer = stream("c", "n"), stream("c", "n")
    streams.add(older)
    streams.add(newer)
    assert streams.last("c", "n") is newer
    streams.remove(newer)
    assert streams.last("c", "n") is older
    streams.remove(older)
    assert streams.last("c", "n") is None


def test_a_stream_that_waits_has_no_view() -> None:
    streams: NodeStreams[Stream] = NodeStreams()
    served, waiting = stream("c", "n"), stream("c", "n", begun=False)
    streams.add(served)
    streams.add(waiting)
    assert streams.last("c", "n") is waiting
    assert streams.last("c", "n", begun=True) is served


def test_clients_do_not_share_node_ids() -> None:
    streams: NodeStreams[Stream] = NodeStreams()
    mine = [stream("c", "n"), stream("c", "m")]
    for one in (*mine, stream("d", "n")):
        streams.add(one)
    assert (streams.of_client("c"), streams.of_client("d"), streams.of_client("e")) == (2, 1, 0)
    assert (streams.of_node("c", "n"), streams.of_node("d", "m")) == (1, 0)
    assert streams.last("c", "n") is mine[0]
    for one in mine:
        streams.remove(one)
    assert (streams.of_client("c"), streams.of_node("c", "n"), streams.of_node("d", "n")) == (0, 0, 1)
    with pytest.raises(KeyError):
        streams.remove(mine[0])
