"""What a client of the access log service can do: what nobody watches is not kept, and all is bounded."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from controlplane.rpc.choice import TransportName, transport
from controlplane.tracing import service, watches
from controlplane.tracing.reports import Report, read
from controlplane.tracing.service import METHOD, AccessLogService
from controlplane.tracing.watches import TooMany, Watch, Watches
from controlplane.xds.node import NotReady
from controlplane.xds.resources import Clock
from controlplane.xds.server import XdsServer

Entry = accesslog_pb2.HTTPAccessLogEntry
Message = als_pb2.StreamAccessLogsMessage
Send = Callable[[Iterable[bytes]], Any]


def _nobody(_: Any) -> Any:
    raise NotReady


@pytest.fixture
def logs() -> AccessLogService:
    return AccessLogService(Watches(), lambda _, node: {"b-1": "b", "edge-1": "edge"}.get(node))


@pytest.fixture(params=["laneway", "grpcio"])
async def send(request: pytest.FixtureRequest, logs: AccessLogService) -> AsyncIterator[Send]:
    """Sends messages on one stream, and says how it ended."""
    name: TransportName = request.param
    server = XdsServer(_nobody, Clock(), transport=transport(name), more=logs.methods())
    port = await server.start("127.0.0.1:0")
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        method = channel.stream_unary(METHOD, lambda raw: raw, als_pb2.StreamAccessLogsResponse.FromString)

        async def sent(messages: Iterable[bytes]) -> grpc.StatusCode:
            call = method(iter(messages))
            return await call.code()

        yield sent
    await server.stop(0.1)


def first(side: str = "outbound", node: str = "b-1", entries: Iterable[Any] = ()) -> bytes:
    message = Message()
    message.identifier.log_name = f"laneway/{side}" if side in ("edge", "inbound", "outbound") else side
    message.identifier.node.id = node
    message.http_logs.log_entry.extend(entries)
    return message.SerializeToString()


def more(*entries: Any) -> bytes:
    return Message(http_logs=Message.HTTPAccessLogEntries(log_entry=entries)).SerializeToString()


def entry(**notes: str) -> Any:
    one = Entry()
    one.request.request_id = "id"
    for key, value in notes.items():
        one.common_properties.metadata.filter_metadata["laneway"][key] = value
    return one


def watching(logs: AccessLogService, one: bool = False) -> Watch:
    return logs.watches.begin("edge", ["b"], time.monotonic(), 60, one)


async def test_reports_are_kept_while_somebody_watches(send: Send, logs: AccessLogService) -> None:
    await send([first(entries=[entry()]), more(entry())])
    assert logs.watches.counters == {"messages_left_out": 2}
    watch = watching(logs)
    await send([first(entries=[entry(header="gray")]), more(entry(), entry())])
    assert [(x.owner, x.side, x.given) for x in watch.reports] == [
        ("b", "outbound", "gray"),
        ("b", "outbound", ""),
        ("b", "outbound", ""),
    ]
    logs.watches.end(watch, time.monotonic() - 2)
    await send([first(entries=[entry()])])
    assert len(watch.reports) == 3
    assert not logs.streams


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([b"\xff\xff\xff"], grpc.StatusCode.INVALID_ARGUMENT),
        ([more(entry())], grpc.StatusCode.INVALID_ARGUMENT),
        ([first(side="other")], grpc.StatusCode.INVALID_ARGUMENT),
        ([first(node="nobody")], grpc.StatusCode.UNAVAILABLE),
        ([first(node="")], grpc.StatusCode.UNAVAILABLE),
        ([b"\0" * (service.LARGEST + 1)], grpc.StatusCode.RESOURCE_EXHAUSTED),
        ([first(), b"\0" * (service.LARGEST + 1)], grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_what_is_refused(
    send: Send, logs: AccessLogService, messages: list[bytes], code: grpc.StatusCode
) -> None:
    watch = watching(logs)
    assert await send(messages) is code
    assert (watch.reports, logs.streams) == ([], {})


async def test_streams_of_a_proxy_are_bounded(
    send: Send, logs: AccessLogService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STREAMS_PER_NODE", 0)
    assert await send([first()]) is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_edge_reports_the_request_that_brought_the_token(send: Send, logs: AccessLogService) -> None:
    watch, other = watching(logs, one=True), watching(logs, one=True)
    reports = [entry(watched=watch.token), entry(watched="guessed"), entry(watched=""), entry()]
    await send([first("edge", "edge-1", reports)])
    assert [x.token for x in watch.reports] == [watch.token]
    assert other.reports == []
    assert watch.token not in (other.token, watch.id)


async def test_reports_beyond_the_bound_are_counted(
    send: Send, logs: AccessLogService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "MOST_REPORTS", 20)
    watch = watching(logs)
    await send([first(entries=[entry()] * 10)])
    assert (len(watch.reports), watch.left_out) == (4, 6)  # a fifth of the watch for one proxy


async def test_texts_of_clients_are_cut_and_printable(send: Send, logs: AccessLogService) -> None:
    watch = watching(logs)
    hostile = entry(header="x" * 10_000, baggage="\n")
    hostile.request.path = "/\x1b[31m" + "a" * 10_000 + "?token=secret"
    hostile.request.request_method = 77
    hostile.request.request_headers["traceparent"] = "00-" + "z" * 9999
    hostile.request.request_headers["cookie"] = "session=secret"
    hostile.common_properties.start_time.seconds = -(2**62)
    hostile.common_properties.duration.seconds = 2**62
    await send([first(entries=[hostile])])
    (report,) = watch.reports
    assert (len(report.given), report.method, report.traces) == (256, "", frozenset())
    assert len(report.path) <= 256
    assert report.path.isprintable()
    assert "secret" not in repr(report)


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        (
            {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ),
        ({"b3": "80f198ee56343ba8-05e3ac9a4f6e3b90-1"}, "80f198ee56343ba8"),
        ({"sw8": "1-Zi40Mi4xNw==-YQ==-3-c2VydmljZQ==-aQ==-L2E=-YQ=="}, "f.42.17"),
        ({"sw8": "1-\x1b-"}, ""),
        ({"uber-trace-id": "5af7183fb1d4cf5f:1:0:1", "b3": "80f198ee56343ba8-1-1"}, "80f198ee56343ba8"),
        ({}, ""),
    ],
)
def test_the_trace_of_a_request(headers: dict[str, str], trace: str) -> None:
    one = entry()
    one.request.request_headers.update(headers)
    assert read(one, "b-1", "b", "outbound").trace == trace


async def test_each_report_is_seen(send: Send, logs: AccessLogService) -> None:
    seen: list[Report] = []
    logs.seen = seen.append
    await send([first(entries=[entry()])])
    assert seen == [], "nobody watches"
    watch = watching(logs)
    await send([first(entries=[entry()])])
    assert seen == watch.reports


def test_watches_are_bounded() -> None:
    every = Watches()
    for _ in range(watches.MOST):
        every.begin("edge", (), 0.0, 1e9, one=True)
    with pytest.raises(TooMany):
        every.begin("edge", (), watches.LONGEST - 1, 1.0, one=True)
    later = watches.LONGEST + watches.KEPT + 1
    last = every.begin("edge", ["b"], later, 1.0, one=True)
    assert every.running(later) == [last]
    assert every.wanted(later) == ({"edge": frozenset({last.token})}, frozenset({"b"}))
    assert every.wanted(later + 2) == ({}, frozenset())
    assert every.get(last.id, later + 2) is last
