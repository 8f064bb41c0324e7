"""Laneway's bare xDS server with the resources of bench/peer, and the same control port.

    python bench/server.py --xds 127.0.0.1:18000 --control 127.0.0.1:18001

A change arrives as `POST /change?cluster=3&seq=17` and rewrites the first endpoint of that cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import logging
import signal
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

import structlog
import uvloop
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2, config_source_pb2
from envoy.config.endpoint.v3 import endpoint_pb2

from controlplane.app import heap
from controlplane.net.tls import Tls, TlsFiles
from controlplane.rpc.choice import transport
from controlplane.xds.identities import Identities
from controlplane.xds.resource import CLUSTER, ENDPOINT, Resource
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.server import XdsServer
from controlplane.xds.view import View


def cluster(index: int) -> Resource:
    name = f"cluster-{index:05}"
    message = cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS)
    message.connect_timeout.FromMilliseconds(500)
    source = message.eds_cluster_config.eds_config
    source.resource_api_version = config_source_pb2.V3
    source.ads.SetInParent()
    return Resource.of(name, message.SerializeToString(deterministic=True))


def endpoints(index: int, count: int, seq: int) -> Resource:
    name = f"cluster-{index:05}"
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    members = message.endpoints.add().lb_endpoints
    for member in range(count):
        endpoint = members.add().endpoint
        address: base_pb2.Address = endpoint.address
        address.socket_address.address = f"127.{index >> 8}.{index & 255}.{member + 1}"
        address.socket_address.port_value = 8080
        if member == 0:
            endpoint.hostname = f"seq-{seq:010}"
            address.socket_address.port_value = 10000 + seq % 50000
    return Resource.of(name, message.SerializeToString(deterministic=True))


class Control(asyncio.Protocol):
    """As much of HTTP/1.1 as the load client speaks: requests without a body, one after the other."""

    def __init__(self, collection: Collection, members: int) -> None:
        self.collection = collection
        self.members = members
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            url = urlsplit(head.split(b" ", 2)[1].decode())
            if url.path == "/change":
                query = parse_qs(url.query)
                change = int(query["cluster"][0]), self.members, int(query["seq"][0])
                self.collection.put(endpoints(*change))
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


async def serve(arguments: argparse.Namespace) -> None:
    clock = Clock()
    clusters = Collection(clock, CLUSTER, map(cluster, range(arguments.clusters)))
    members = arguments.endpoints
    assigned = Collection(
        clock, ENDPOINT, (endpoints(index, members, 0) for index in range(arguments.clusters))
    )
    view = View(clock, {CLUSTER: [clusters], ENDPOINT: [assigned]})
    tls = identities = None
    if arguments.certificate is not None:
        files = TlsFiles(certificate=arguments.certificate, key=arguments.key, client_ca=arguments.client_ca)
        tls, identities = Tls(files), Identities()
    made = transport(arguments.transport, tls=tls)
    server = XdsServer(lambda node: view, clock, transport=made, identities=identities)
    await server.start(arguments.xds)
    server.set_ready()
    host, _, port = arguments.control.rpartition(":")
    loop = asyncio.get_running_loop()
    control = await loop.create_server(lambda: Control(assigned, members), host, int(port))
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    profile = cProfile.Profile()
    # SIGUSR1 starts a profile, SIGUSR2 ends it: --profile says where it goes.
    loop.add_signal_handler(signal.SIGUSR1, profile.enable)
    loop.add_signal_handler(
        signal.SIGUSR2, lambda: (profile.disable(), profile.dump_stats(arguments.profile))
    )
    await stop.wait()
    control.close()
    await server.stop(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--xds", default="127.0.0.1:18000")
    parser.add_argument("--control", default="127.0.0.1:18001")
    parser.add_argument("--transport", default="laneway", choices=["laneway", "grpcio"])
    parser.add_argument("-clusters", "--clusters", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--profile", default="/dev/null")
    for option in ("--certificate", "--key", "--client-ca"):
        parser.add_argument(option, type=Path)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    heap.tune()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
