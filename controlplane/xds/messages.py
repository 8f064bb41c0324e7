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
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_modules: dict[str, Any] = {
    "descriptor": descriptor_pb2,
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


def _opaque(message: Any, *fields: str) -> Any:
    """The same message, wire compatible, with fields that stay encoded."""
    upstream = message.DESCRIPTOR
    file = _modules["descriptor"].FileDescriptorProto(
        name=f"laneway/xds/{upstream.name}.proto",
        package="laneway.xds",
        syntax="proto3",
        dependency=[upstream.file.name, *(dependency.name for dependency in upstream.file.dependencies)],
    )
    copy = file.message_type.add()
    upstream.CopyToProto(copy)
    copy.ClearField("nested_type")
    for field in copy.field:
        if field.name in fields:
            field.type = _modules["descriptor"].FieldDescriptorProto.TYPE_BYTES
            field.ClearField("type_name")
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{copy.name}"))


# Requests as they are read from the wire. A node stays encoded until its size is known to be allowed, and for
# good where it is repeated. A map of a thousand versions costs 2 ms of strings to read and compare, a set of
# its encoded entries a tenth.
OpaqueDeltaRequest = _opaque(DeltaRequest, "node", "initial_resource_versions")
OpaqueSotwRequest = _opaque(SotwRequest, "node")
