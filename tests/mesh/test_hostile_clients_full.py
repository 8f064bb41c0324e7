"""The attacks on the admin port at their full size, with the bounds that hold by default."""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import time
from pathlib import Path

import pytest

from tests.cli.ports import wait_for
from tests.cli.served import Crowd, Served, call, lanes, send_until_refused, served, status

pytestmark = pytest.mark.mesh
HALF = b"GET /v1/gateways HTTP/1.1\r\nHost: localhost\r\nx-slow: "
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def asked(one: Served, seconds: float, source: str = "127.0.0.9") -> list[float]:
    """How long /healthz took, asked from another address for `seconds`."""
    took: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", one.admin), 10, source_address=(source, 0)) as connection:
            connection.sendall(HEALTH)
            assert status(connection.recv(4096)) == 200
        took.append(time.monotonic() - began)
    return took


def test_a_thousand_half_requests_end_in_time(tmp_path: Path):
    with served(tmp_path) as one, Crowd(one.admin) as crowd:
        before = one.memory()
        assert crowd.connect(1006, HALF) == 1006
        wait_for(lambda: crowd.open() <= 64, seconds=8)
        assert statistics.median(asked(one, 3)) < 0.5
        wait_for(lambda: crowd.open() == 0, seconds=20)
        assert one.memory() - before < 50


def test_explain_over_ten_thousand_lanes(tmp_path: Path):
    file = tmp_path / "services.yaml"
    file.write_text(
        "services:\n- name: sc-A\n  protocol: http1\n"
        "  instances: [{address: 127.0.1.1, port: 20001, metadata: {app: a}}]\n"
    )
    with served(tmp_path, "--services", str(file)) as one:
        documents = lanes(10_000)
        for start in range(0, len(documents), 2000):
            answer = one.http.post("/v1/apply", json=documents[start : start + 2000], timeout=300)
            assert answer.status_code == 200, answer.text
        question = {"gateway": "edge", "path": "/a"}
        one.http.post("/v1/explain", json=question, timeout=300)
        before = one.memory()
        one.forget_peak()
        for headers in ([["canary", "a" * 600]] * 99, [["canary", "a" * 60_000]]):
            answer = one.http.post("/v1/explain", json=question | {"headers": headers}, timeout=300)
            assert answer.status_code == 200
            assert len(answer.content) < 2 << 20
            body = answer.json()
            assert len(body["evaluated"]) + body["evaluated_left_out"] == 10_000
        assert one.peak() - before < 64


def hold(port: int, data: bytes, stop: object) -> None:
    while not stop.is_set():  # type: ignore[attr-defined]
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as one:
                one.sendall(b"POST /v1/apply HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n")
                send_until_refused(one, data, 64 << 20, 5)
        except OSError:
            continue


ENDLESS = {
    "headers": b"a:b\r\n" * 10_000,
    "chunks": b"\r\n" + b"1\r\na\r\n" * 10_000,
    "body": b"\r\n" + (b"8000\r\n" + b"a" * 0x8000 + b"\r\n") * 8,
}


@pytest.mark.parametrize("data", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_request_delays_nobody(tmp_path: Path, data: bytes):
    """Ten seconds of it from another process; others are answered about as before."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with served(tmp_path) as one:
        calm = statistics.median(asked(one, 2))
        one.forget_peak()
        before = one.memory()
        process = context.Process(target=hold, args=(one.admin, data, stop))
        process.start()
        try:
            took = asked(one, 10)
        finally:
            stop.set()
            process.join(30)
            process.kill()
        assert statistics.median(took) < 3 * calm + 0.02
        assert one.peak() - before < 64
        assert status(call(one.admin, HEALTH)) == 200
