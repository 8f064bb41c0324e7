"""How sidecars resolve hosts that no service has."""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.common.dynamic_forward_proxy.v3 import dns_cache_pb2
from google.protobuf import wrappers_pb2


def forward_proxy_cache() -> dns_cache_pb2.DnsCacheConfig:
    """The DNS cache of hosts that no service has. A filter and a cluster share it, so both must have equal
    settings.
    """
    return dns_cache_pb2.DnsCacheConfig(
        name="laneway",
        dns_lookup_family=cluster_pb2.Cluster.V4_PREFERRED,
        max_hosts=wrappers_pb2.UInt32Value(value=4096),
    )
