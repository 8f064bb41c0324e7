"""The memory of traces of a sidecar's Envoy: shared by listeners and workers, bounded in size and in time."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from controlplane.cli.processes import Child, Supervisor
from controlplane.translate.lua import sidecar_filter
from tests.mesh.client import Address, fetch, until
from tests.mesh.harness import ENVOY, listening, network

SIZE_MIB = 8.5
HTTP = "type.googleapis.com/envoy.extensions.filters"


def listener(direction: str, address: Address, code: str) -> dict[str, Any]:
    """Answers every request with the lane that the filter has given it."""
    option = {"header": {"key": "x-lane", "value": "%REQ(x-lane)%"}}
    routes = [
        {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": [option]}
    ]
    lua = {"@type": f"{HTTP}.http.lua.v3.Lua", "default_source_code": {"inline_string": code}}
    manager = {
        "@type": f"{HTTP}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": direction,
        "preserve_external_request_id": True,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "lua", "typed_config": lua},
            {"name": "router", "typed_config": {"@type": f"{HTTP}.http.router.v3.Router"}},
        ],
    }
    return {
        "name": direction,
        "address": {"socket_address": {"address": address[0], "port_value": address[1]}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def source(direction: str) -> str:
    """The code of the filter as sidecars get it."""
    packed = sidecar_filter(direction, [("x-lane", "lane")], None, by_trace=True).typed_config
    shown = json_format.MessageToDict(packed)
    return shown["defaultSourceCode"]["inlineString"]


class Proxy:
    """An Envoy of three workers with the two filters of a sidecar; `seconds` is how long it remembers."""

    def __init__(self, supervisor: Supervisor, directory: Path, seconds: int = 60, **changes: str) -> None:
        host = f"{network()}.1"
        self.inbound, self.outbound = (host, 20001), (host, 15001)
        code = {
            way: source(way).replace("KEPT = 60 ", f"KEPT = {seconds} ") for way in ("inbound", "outbound")
        }
        for name, value in changes.items():
            code = {way: text.replace(f"C.{name}(REGION, 0)", value) for way, text in code.items()}
        assert all(f"KEPT = {seconds} " in text for text in code.values())
        ways = [("inbound", self.inbound), ("outbound", self.outbound)]
        self.admin = (host, 15000)
        config = {
            "static_resources": {"listeners": [listener(way, at, code[way]) for way, at in ways]},
            "admin": {"address": {"socket_address": {"address": host, "port_value": 15000}}},
        }
        path = directory / "envoy.json"
        path.write_text(json.dumps(config))
        command = [str(ENVOY), "-c", str(path), "--disable-hot-restart", "--concurrency", "3", "-l", "error"]
        self.child: Child = supervisor.start("envoy", command)
        for _, address in ways:
            until(lambda a=address: listening(a), 20, "the proxy to listen")

    def lane(self, trace: str) -> str | None:
        return fetch(self.outbound, "/", ("b3", f"{trace}-00f067aa0ba902b7-1")).header("x-lane")

    def arrive(self, lane: str, traces: Iterator[str]) -> None:
        """Requests of these traces; their answers have no body."""
        with socket.create_connection(self.inbound, 60) as connection:
            for trace in traces:
                connection.sendall(
                    f"GET / HTTP/1.1\r\nhost: x\r\nx-lane: {lane}\r\nx-request-id: {trace}\r\n"
                    f"b3: {trace}-00f067aa0ba902b7-1\r\n\r\n".encode()
                )
                answer = b""
                while not answer.endswith(b"\r\n\r\n"):
                    answer += connection.recv(4096)
                assert answer.startswith(b"HTTP/1.1 200"), answer

    def counted(self, name: str) -> int:
        lines = fetch(self.admin, f"/stats?filter={name}").body.decode().splitlines()
        return sum(int(line.rpartition(": ")[2]) for line in lines)

    def resident(self) -> float:
        """In MiB."""
        status = Path(f"/proc/{self.child.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    started = Supervisor(tmp_path)
    yield started
    started.stop()


def named(first: int, count: int) -> Iterator[str]:
    """Traces that differ where agents draw lots."""
    return (f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(first, first + count))


@pytest.mark.mesh
def test_it_is_bounded_by_its_places(supervisor: Supervisor, tmp_path: Path) -> None:
    """100,000 traces, each with two identifiers: the last are remembered, the first are not."""
    proxy = Proxy(supervisor, tmp_path, 60)
    proxy.arrive("red", named(1, 2_000))
    before = proxy.resident()
    assert proxy.lane(next(named(2_000, 1))) == "red"
    proxy.arrive("gray", named(10_000, 100_000))
    # Beside the memory itself, Lua's own garbage of 100,000 requests.
    assert proxy.resident() - before < SIZE_MIB + 16, (before, proxy.resident())
    last = [proxy.lane(trace) for trace in named(109_500, 500)]
    assert last.count("gray") == 500
    assert proxy.lane(next(named(2_000, 1))) is None
    assert proxy.counted("laneway_traces_forgotten") > 100_000
    assert proxy.counted("laneway_lanes_by_trace") == 501


def test_it_forgets_and_a_later_lane_counts(supervisor: Supervisor, tmp_path: Path) -> None:
    proxy = Proxy(supervisor, tmp_path, 1)
    trace = next(named(1, 1))
    proxy.arrive("red", named(1, 1))
    assert proxy.lane(trace) == "red"
    until(lambda: proxy.lane(trace) is None, 10, "the trace to be forgotten")
    proxy.arrive("gray", named(1, 1))
    assert proxy.lane(trace) == "gray"
    proxy.arrive("red", named(1, 1))
    assert proxy.lane(trace) is None


def test_an_envoy_that_cannot_have_it_does_everything_else(supervisor: Supervisor, tmp_path: Path) -> None:
    proxy = Proxy(supervisor, tmp_path, memfd_create="-1")  # what a sandbox makes of it
    trace = next(named(1, 1))
    proxy.arrive("red", named(1, 1))
    assert proxy.lane(trace) is None
    with_lane = fetch(
        proxy.outbound, "/", ("baggage", "lane=gray"), ("traceparent", f"00-{trace * 2}-{trace}-01")
    )
    assert with_lane.header("x-lane") == "gray"
    assert "cannot remember the lanes of traces" in proxy.child.tail(20)
