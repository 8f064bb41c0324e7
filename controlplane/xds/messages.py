"""Envoy's generated messages that this package reads and writes.

The generated modules carry no type information (they build their classes at import), so they are named here
as what they are to a type checker: anything. Upstream documentation: api/envoy/** of envoyproxy/envoy.
"""

from __future__ import annotations

from typing import Any

from envoy.admin.v3 import config_dump_shared_pb2 as _shared
from envoy.config.cluster.v3 import cluster_pb2 as _cluster
from envoy.config.core.v3 import base_pb2 as _base
from envoy.service.discovery.v3 import discovery_pb2 as _discovery
from envoy.service.status.v3 import csds_pb2 as _csds

_modules: dict[str, Any] = {
    "shared": _shared,
    "cluster": _cluster,
    "base": _base,
    "discovery": _discovery,
    "csds": _csds,
}

NodeMessage = _modules["base"].Node
Cluster = _modules["cluster"].Cluster
DeltaRequest = _modules["discovery"].DeltaDiscoveryRequest
DeltaResponse = _modules["discovery"].DeltaDiscoveryResponse
SotwRequest = _modules["discovery"].DiscoveryRequest
SotwResponse = _modules["discovery"].DiscoveryResponse
ClientStatusRequest = _modules["csds"].ClientStatusRequest
ClientStatusResponse = _modules["csds"].ClientStatusResponse
ConfigStatus = _modules["csds"].ConfigStatus
ClientResourceStatus = _modules["shared"].ClientResourceStatus

#: A request or a response of either variant, a Node and so on.
Message = Any
