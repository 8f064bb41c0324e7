"""Addresses in brackets, values of a tag that mean base, and gRPC ports in the metadata: of every source."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.app.parts import conventions_of
from controlplane.app.settings import load
from controlplane.ip import authority, ip_address
from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_documents
from controlplane.plan.planner import overrides
from controlplane.registry.catalog import Catalog
from controlplane.registry.file_documents import parse
from controlplane.registry.last_known import LastKnown
from controlplane.registry.metadata import Conventions, MetadataError, read_service, read_tag
from controlplane.registry.nacos.sdk import raw_instance
from controlplane.registry.names import resolve
from controlplane.registry.source import RawInstance, RawService, Sink
from controlplane.registry.types import Protocol
from controlplane.snapshot.nodes import GrpcNode, NodeError, SidecarNode, parse_node

BRACKETS = [
    ("[0:0:0:0:0:0:0:1]", "::1"),
    ("[2001:db8:0:0:0:0:0:7]", "2001:db8::7"),
    ("[::1]", "::1"),
    ("::1", "::1"),
    ("10.0.0.7", "10.0.0.7"),
]
NO_ADDRESS = ["[10.0.0.7]", "[::1", "::1]", "[]", "[[::1]]", "[::1]:80", "host", ""]


@pytest.mark.parametrize(("written", "meant"), BRACKETS)
def test_an_address_of_version_6_may_stand_in_brackets(written: str, meant: str) -> None:
    text = f'services: [{{name: a, instances: [{{address: "{written}", port: 80}}]}}]'
    of_nacos = SimpleNamespace(ip=written, port=80, weight=1.0, healthy=True, enabled=True, metadata={})
    for raw in (parse(text)["a"], RawService("a", (raw_instance(of_nacos),))):
        reading = read_service(raw)
        assert [(i.address, i.port) for i in reading.instances] == [(meant, 80)]
        assert reading.refused == ()
    node = parse_node("a", {"role": "sidecar", "address": written, "app_address": written}, None)
    assert isinstance(node, SidecarNode)
    assert (node.place.address, node.place.app_address) == (meant, meant)
    gateway = f'{{kind: Gateway, name: edge, listeners: [{{port: 80, address: "{written}"}}]}}'
    (listener,) = (
        Definitions().apply(parse_documents(gateway.encode())).definitions.gateways["edge"].listeners
    )
    assert listener.address in (written, meant)
    assert "[" not in listener.address


@pytest.mark.parametrize("written", NO_ADDRESS)
def test_what_is_not_an_address_is_refused_with_the_reason(written: str) -> None:
    reading = read_service(RawService("a", (RawInstance(written, 80),)))
    assert reading.instances == ()
    assert "is not an IP address" in reading.refused[0].reason
    with pytest.raises(NodeError, match=r"node\.metadata\.address"):
        parse_node("a", {"role": "sidecar", "address": written}, None)


@given(st.ip_addresses(v=6), st.integers(1, 65535))
def test_brackets_change_nothing(address: Any, port: int) -> None:
    assert ip_address(f"[{address}]") == ip_address(str(address)) == address
    assert authority(f"[{address}]", port) == authority(str(address), port) == f"[{address}]:{port}"


BASE = frozenset({"base", "1.0", "prod env"})
KEYS = ("version", "release-<tag>", "__micro.service.env__", "lane")


@pytest.mark.parametrize(
    ("metadata", "tag", "warned"),
    [
        ({"version": "1.0"}, None, False),
        ({"version": "1.1"}, "1.1", False),
        ({"version": "prod env"}, None, False),  # what means base need not look like a tag
        ({"release-base": "base"}, None, False),
        ({"release": "base"}, None, False),
        ({"release-2": "2"}, "2", False),
        ({"__micro.service.env__": '[{"tag": "base"}]'}, None, False),
        ({"__micro.service.env__": '[{"tag": "base"}, {"tag": "gray"}]'}, "gray", True),
        ({"version": "1.0", "lane": "base"}, None, False),
        ({"version": "1.0", "lane": "gray"}, "gray", True),  # a canary, whatever its version
        ({"version": "1.1", "lane": "base"}, "1.1", True),
    ],
)
def test_values_that_mean_base(metadata: dict[str, str], tag: str | None, warned: bool) -> None:
    found, warning = read_tag(metadata, KEYS, BASE)
    assert (found, "which means base" in warning) == (tag, warned)


@pytest.mark.parametrize("metadata", [{"version": ""}, {"version": "no tag!"}, {"release": "gray"}])
def test_what_cannot_be_read_is_refused_beside_values_that_mean_base(metadata: dict[str, str]) -> None:
    with pytest.raises(MetadataError):
        read_tag(metadata, KEYS, BASE)


def test_a_node_s_tag_may_mean_base() -> None:
    sidecar = parse_node("a", {"role": "sidecar", "address": "10.0.0.1", "tag": "1.0"}, None, BASE)
    grpc = parse_node("a", {"role": "grpc", "tag": "base"}, None, BASE)
    canary = parse_node("a", {"role": "grpc", "tag": "1.1"}, None, BASE)
    assert isinstance(sidecar, SidecarNode)
    assert isinstance(grpc, GrpcNode)
    assert isinstance(canary, GrpcNode)
    assert (sidecar.tag, grpc.tag, canary.tag) == (None, None, "1.1")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("h2c", Protocol.HTTP2), ("kubernetes.io/h2c", Protocol.HTTP2), ("http2", Protocol.HTTP2)],
)
def test_h2c_is_http2(written: str, meant: Protocol) -> None:
    reading = read_service(RawService("a", (RawInstance("10.0.0.1", 80, metadata={"protocol": written}),)))
    assert (reading.instances[0].protocol, reading.warnings) == (meant, ())
    of_file = parse(f"services: [{{name: a, protocol: {written}, instances: []}}]")["a"]
    assert read_service(of_file).protocol is meant


def test_settings_say_how_metadata_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert conventions_of(load(None, {})) == Conventions()
    monkeypatch.setenv("LANEWAY_TAG_KEYS", "version")
    monkeypatch.setenv("LANEWAY_BASE_TAGS", "1.0, base")
    monkeypatch.setenv("LANEWAY_GRPC_PORT_KEYS", "rpc.port")
    assert conventions_of(load(None, {})) == Conventions(
        ("version",), frozenset({"1.0", "base"}), ("rpc.port",)
    )
    monkeypatch.setenv("LANEWAY_GRPC_PORT_KEYS", "")
    assert conventions_of(load(None, {})).grpc_port_keys == ()


class Scripted:
    name = "test"

    async def run(self, sink: Sink) -> None:
        await asyncio.Event().wait()


def starter(port: int, grpc: str = "", lane: str = "", key: str = "gRPC_port") -> RawInstance:
    metadata = {"app": "stock"} | ({key: grpc} if grpc else {}) | ({"lane": lane} if lane else {})
    return RawInstance("10.0.0.1", port, metadata=MappingProxyType(metadata))


def shown(catalog: Catalog) -> dict[str, list[tuple[int, str | None, str, Protocol]]]:
    catalog.flush()
    return {
        name: [(i.port, i.tag, i.application, i.protocol) for i in service.instances]
        for name, service in catalog.services.items()
    }


async def test_a_grpc_port_in_the_metadata_makes_a_service_of_its_own() -> None:
    catalog = Catalog([Scripted()])
    sink = catalog.sinks["test"]
    two = RawService("stock", (starter(8080, "9090"), starter(8081, "9091", "gray", "gRPC.port")))
    sink.update("test/stock", two)
    assert shown(catalog) == {
        "test/stock": [(8080, None, "stock", Protocol.UNKNOWN), (8081, "gray", "stock", Protocol.UNKNOWN)],
        "test/stock:grpc": [(9090, None, "stock", Protocol.GRPC), (9091, "gray", "stock", Protocol.GRPC)],
    }
    assert catalog.services["test/stock:grpc"].protocol is Protocol.GRPC
    # Definitions name the one or the other, and an application that lists the first has both.
    assert resolve(catalog.services, "stock") == "test/stock"
    assert resolve(catalog.services, "stock:grpc") == "test/stock:grpc"
    text = b"{kind: Application, name: warehouse, services: [stock]}"
    now = Definitions().apply(parse_documents(text)).definitions
    decided = overrides(now, lambda name: resolve(catalog.services, name))
    assert decided == {"test/stock": "warehouse", "test/stock:grpc": "warehouse"}
    text += b"\n---\n{kind: Application, name: other, services: ['stock:grpc']}"
    now = Definitions().apply(parse_documents(text)).definitions
    decided = overrides(now, lambda name: resolve(catalog.services, name))
    assert decided == {"test/stock": "warehouse", "test/stock:grpc": "other"}
    sink.update("test/stock", RawService("stock", (starter(8081, "9091", "gray"),)))
    sink.remove("test/stock")
    assert shown(catalog) == {} or all(held for held in catalog.services.values())


async def test_a_grpc_port_that_is_the_registered_one_or_no_port() -> None:
    catalog = Catalog([Scripted()])
    catalog.sinks["test"].update("test/a", RawService("a", (starter(9090, "9090"), starter(8080, "70000"))))
    assert shown(catalog) == {
        "test/a": [(8080, None, "stock", Protocol.UNKNOWN), (9090, None, "stock", Protocol.GRPC)]
    }
    (warning,) = catalog.services["test/a"].warnings
    assert warning == (
        "10.0.0.1:8080: gRPC_port is '70000', but must be the port of the gRPC server, from 1 to 65535"
    )


async def test_a_service_of_that_name_in_the_registry_stays() -> None:
    catalog = Catalog([Scripted()])
    sink = catalog.sinks["test"]
    sink.update("test/a:grpc", RawService("a:grpc", (starter(7000),)))
    sink.update("test/a", RawService("a", (starter(8080, "9090"),)))
    sink.update("test/a", RawService("a", (starter(8080),)))
    assert [port for port, *_ in shown(catalog)["test/a:grpc"]] == [7000]


async def test_the_service_on_the_grpc_port_is_known_after_a_restart(tmp_path: Path) -> None:
    known = LastKnown(tmp_path)
    first = Catalog([Scripted()], last_known=known)
    first.sinks["test"].update("test/a", RawService("a", (starter(8080, "9090"), starter(8081))))
    first.flush()
    known.save("test", first.services.values())
    again = Catalog([Scripted()], last_known=known)
    again.sinks["test"].unreachable("down")
    assert {name: len(rows) for name, rows in shown(again).items()} == {"test/a": 2, "test/a:grpc": 1}
    sink = again.sinks["test"]
    sink.update("test/a", RawService("a", (starter(8080, "9090"), starter(8081))))
    sink.synced()
    assert {name: len(rows) for name, rows in shown(again).items()} == {"test/a": 2, "test/a:grpc": 1}
