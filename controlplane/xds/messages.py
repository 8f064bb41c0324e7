"""The messages that this package reads and writes: Envoy's, and requests of which parts stay encoded.

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

from .generated import discovery_pb2 as _envelope

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
ClientConfig = _modules["csds"].ClientConfig
GenericXdsConfig = ClientConfig.GenericXdsConfig
ConfigStatus = _modules["csds"].ConfigStatus
ClientResourceStatus = _modules["shared"].ClientResourceStatus

#: A request or a response of either variant, a Node and so on.
Message = Any

# Requests as they are read from the wire (protos/discovery.proto). A node stays encoded until its size is
# known to be allowed, and for good where it is repeated. A map of a thousand versions costs 2 ms of strings
# to read and compare, a set of its encoded entries a tenth.
OpaqueDeltaRequest = _envelope.DeltaDiscoveryRequest
OpaqueSotwRequest = _envelope.DiscoveryRequest
