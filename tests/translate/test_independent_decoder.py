"""An independent library reads in every golden case what the golden file says, field by field.

The golden files are written by the library that also encodes: a field of another number or type would be
wrong in both directions alike, and no golden file would show it.
"""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from controlplane.rpc.choice import transport
from controlplane.xds.resource import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, ROUTE
from controlplane.xds.server import XdsServer
from tests import independent
from tests.translate import cases


def _comparable(value: Any) -> Any:
    """64-bit numbers are strings in protobuf's JSON."""
    if isinstance(value, dict):
        # xds-protos does not know these fields of the statistics' access log: they are written as bytes.
        unknown = ("stats_scope", "rules")
        return {key: _comparable(part) for key, part in value.items() if key not in unknown}
    if isinstance(value, list):
        return [_comparable(part) for part in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


# Its successor is not known to the library that encodes; Envoy 1.40 takes both.
@pytest.mark.filterwarnings("ignore:OpenTelemetryAccessLogConfig.common_config:DeprecationWarning")
@pytest.mark.parametrize("name", cases.NAMES)
def test_another_library_reads_what_the_golden_file_says(name: str) -> None:
    golden = cases.golden(name)
    count = 0
    for one in cases.sent(cases.read(name)):
        meant = golden[one.node][one.kind][one.resource.name]
        assert meant.pop("@type") == one.type_url
        read = independent.decode(one.type_url, one.resource.body)
        assert _comparable(read) == _comparable(meant), f"{one.node}: {one.kind} {one.resource.name}"
        count += 1
    assert count == sum(len(named) for kinds in golden.values() for named in kinds.values())


def test_fields_that_the_encoding_library_does_not_know_are_what_was_meant() -> None:
    """The scope and the rules of the counter of fallbacks are written as bytes; Envoy reads these numbers and
    names.
    """
    listeners = [one for one in cases.sent(cases.read("gateway-listeners")) if one.kind == "Listener"]
    for listener in listeners:
        read = independent.decode(listener.type_url, listener.resource.body)
        manager = read["filter_chains"][0]["filters"][0]["typed_config"]
        (log,) = (log for log in manager["access_log"] if log["name"] == "fallbacks")
        assert log["typed_config"]["stats_scope"] == {"prefix": "laneway"}
        assert log["typed_config"]["counters"][0]["stat"]["tags"] == cases.fallback_tags("%REQ(x-lane)%")
    assert listeners


NAMED = {
    ENDPOINT: "ClusterLoadAssignment",
    EXTENSION_CONFIG: "TypedExtensionConfig",
    ROUTE: "RouteConfiguration",
}
"""Types that a client asks for by name, with their messages."""


@pytest.mark.parametrize("name", ["lane-clusters", "lifted", "proxy-capture", "redirect-capture"])
async def test_a_client_of_another_library_gets_over_a_stream_what_the_golden_file_says(name: str) -> None:
    case = cases.read(name)
    golden = cases.golden(name)
    publisher = cases.published(case)
    server = XdsServer(publisher.classify, publisher.clock, transport=transport())
    port = await server.start("127.0.0.1:0")
    server.set_ready()
    try:
        for node in case["nodes"]:
            got = await _stream(port, node, golden[node["id"]])
            for kind, named in golden[node["id"]].items():
                for resource, meant in named.items():
                    type_url = meant.pop("@type")
                    read = independent.decode(type_url, got[type_url, resource])
                    assert _comparable(read) == _comparable(meant), f"{node['id']}: {kind} {resource}"
    finally:
        await server.stop(0)


async def _stream(port: int, node: dict[str, Any], golden: dict[str, Any]) -> dict[tuple[str, str], bytes]:
    """The bodies by type and name that a delta stream brings for what the golden file has."""
    request_type, response_type, node_type, struct_type = (
        independent.message(name)
        for name in (
            "envoy.service.discovery.v3.DeltaDiscoveryRequest",
            "envoy.service.discovery.v3.DeltaDiscoveryResponse",
            "envoy.config.core.v3.Node",
            "google.protobuf.Struct",
        )
    )
    got: dict[tuple[str, str], bytes] = {}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
            request_serializer=bytes,
            response_deserializer=response_type.parse,
        )()
        said = node_type(
            id=node["id"], cluster=node["cluster"], metadata=struct_type.from_dict(node["metadata"])
        )
        for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE, EXTENSION_CONFIG):
            names = list(golden.get(NAMED.get(type_url, ""), ()))
            if type_url in NAMED and not names:
                continue
            await call.write(request_type(node=said, type_url=type_url, resource_names_subscribe=names))
            reply = await call.read()
            assert reply.type_url == type_url
            for resource in reply.resources:
                assert resource.version
                assert resource.resource is not None
                got[type_url, resource.name] = resource.resource.value
            await call.write(request_type(type_url=type_url, response_nonce=reply.nonce))
        call.cancel()
    return got
