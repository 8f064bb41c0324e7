"""What one client without any right can send. Each attack runs until its connection ends, and then again.

python -m tests.attacks.attacks NAME --xds PORT --seconds 4 prints what was sent, as JSON.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tests.attacks import wire
from tests.attacks.wire import (
    CLUSTER,
    CSDS,
    DELTA,
    ENDPOINT,
    LISTENER,
    SOTW,
    VIRTUAL_HOST,
    call,
    delta,
    field,
    frame,
    hello,
    message,
    node,
    sotw,
)

HARMLESS = "harmless"


class Ended(Exception):
    """The server has ended the connection, or the time is over."""


class Client:
    """One connection of the attacker."""

    def __init__(self, attacker: Attacker, source: str, receives: int) -> None:
        self._attacker = attacker
        try:
            self._socket = wire.connect(attacker.port, source, receives)
        except OSError:
            raise Ended from None
        self._socket.setblocking(False)
        self.reads = True

    def _ready(self, write: bool, seconds: float) -> tuple[bool, bool]:
        """Whether the socket can be read, and written. Raises Ended.

        By poll: select takes no descriptor over 1023.
        """
        wanted = (select.POLLIN if self.reads else 0) | (select.POLLOUT if write else 0)
        poll = select.poll()
        poll.register(self._socket, wanted)
        found = next((event for _, event in poll.poll(math.ceil(seconds * 1000))), 0)
        if found & (select.POLLERR | select.POLLHUP):
            raise Ended
        return bool(found & select.POLLIN), bool(found & select.POLLOUT)

    def push(self, *parts: bytes) -> None:
        """Send it all, reading what comes meanwhile. Raises Ended."""
        data = memoryview(b"".join(parts))
        while data:
            left = self._attacker.until - time.monotonic()
            if left <= 0:
                raise Ended
            readable, writable = self._ready(True, min(left, 1.0))
            try:
                if readable and not self._socket.recv(1 << 18):
                    raise Ended
                if writable:
                    size = self._socket.send(data[: 1 << 18])
                    self._attacker.sent += size
                    data = data[size:]
            except BlockingIOError:
                continue
            except OSError:
                raise Ended from None

    def idle(self, seconds: float = 3600.0, most: int = 1 << 18) -> None:
        """Read for so long, `most` bytes at a time. Raises Ended."""
        until = min(self._attacker.until, time.monotonic() + seconds)
        while (left := until - time.monotonic()) > 0:
            readable, _ = self._ready(False, min(left, 0.2))
            try:
                if readable and not self._socket.recv(most):
                    raise Ended
            except BlockingIOError:
                continue
            except OSError:
                raise Ended from None
        if until == self._attacker.until:
            raise Ended

    def close(self) -> None:
        self._socket.close()


class Attacker:
    """Opens connections, counts what it sends."""

    def __init__(self, port: int, seconds: float, size: float, rate: float) -> None:
        self.port = port
        self.until = time.monotonic() + seconds
        self.size = size
        self.rate = rate
        self.sent = 0
        self.connections = 0
        self._number = itertools.count()
        self._kept: list[Client] = []

    @contextmanager
    def client(self, first: bytes = b"", source: str = "", receives: int = 0) -> Iterator[Client]:
        self.connections += 1
        made = Client(self, source, receives)
        try:
            if first:
                made.push(first)
            yield made
        finally:
            made.close()

    def clients(self, count: int, first: bytes = b"", receives: int = 0) -> list[Client]:
        """Many, that stay until the attack is over."""
        found = list[Client]()
        for _ in range(count):
            self.connections += 1
            try:
                found.append(Client(self, "", receives))
                self._kept.append(found[-1])
                if first:
                    found[-1].push(first)
            except Ended:
                if time.monotonic() >= self.until:
                    break
        return found

    def close(self) -> None:
        """Close the connections that `clients` made."""
        while self._kept:
            self._kept.pop().close()

    def many(self, count: int) -> int:
        """A number of things, fewer in a small run."""
        return max(1, int(count * self.size))

    def name(self) -> str:
        """A node id that nobody else has."""
        return f"attacker-{next(self._number)}"


Attack = Callable[[Attacker], None]
ATTACKS: dict[str, Attack] = {}
MANY_STREAMS = 900


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__.replace("_", " ")] = function
    return function


def flood(attacker: Attacker, first: bytes, again: bytes | Callable[[], bytes], least: int = 32_768) -> None:
    """Send `first`, then `again` for ever, some of it at a time."""
    with attacker.client(hello() + first) as client:
        while True:
            if callable(again):
                client.push(*(again() for _ in range(max(1, least // 256))))
            else:
                client.push(again * max(1, least // len(again)))


def open_streams(attacker: Attacker, count: int, request: Callable[[str], bytes], path: str = DELTA) -> bytes:
    """Calls with one request each, of node ids of their own."""
    return b"".join(
        call(2 * index + 1, path) + message(2 * index + 1, request(attacker.name())) for index in range(count)
    )


def everything(name: str) -> bytes:
    return delta(CLUSTER, of=node(name))


# What the harmless client beside which attacks are measured does.


def harmless(attacker: Attacker) -> None:
    """Acknowledgements of one stream, at `rate` bytes a second."""
    again = message(1, delta(ENDPOINT, nonce="1", subscribe=[])) * 8
    with attacker.client(hello() + call(1) + message(1, delta(ENDPOINT, ["x"], of=node("calm")))) as client:
        began = time.monotonic()
        sent = 0
        while True:
            due = (time.monotonic() - began) * attacker.rate
            if sent < due:
                count = max(1, min(64, int((due - sent) / len(again))))
                client.push(again * count)
                sent += count * len(again)
            else:
                client.idle(0.002)


# Frames.


def _shut(attacker: Attacker) -> bytes:
    """Many streams whose responses have no window."""
    return hello(initial_window=0) + open_streams(attacker, attacker.many(MANY_STREAMS), everything)


@attack
def window_updates_of_the_connection(attacker: Attacker) -> None:
    with attacker.client(_shut(attacker)) as client:
        while True:
            client.push(wire.window_update(0, 1) * 2_000)


@attack
def window_updates_of_a_byte(attacker: Attacker) -> None:
    with attacker.client(_shut(attacker)) as client:
        streams = range(1, 2 * attacker.many(MANY_STREAMS), 2)
        every = b"".join(wire.window_update(number, 1) for number in streams)
        while True:
            client.push(every)


@attack
def settings_that_walk_all_streams(attacker: Attacker) -> None:
    walk = wire.settings([(4, 0), (4, 1)] * 1_300)
    with attacker.client(_shut(attacker)) as client:
        while True:
            client.push(walk * 8)


@attack
def settings_of_one_value(attacker: Attacker) -> None:
    with attacker.client(_shut(attacker)) as client:
        while True:
            client.push((wire.settings([(4, 0)]) + wire.settings([(4, 1)])) * 500)


@attack
def pings(attacker: Attacker) -> None:
    flood(attacker, b"", frame(wire.PING, 0, 0, b"12345678"))


@attack
def empty_data(attacker: Attacker) -> None:
    flood(attacker, call(1), frame(wire.DATA, 0, 1))


@attack
def padding(attacker: Attacker) -> None:
    flood(attacker, call(1), frame(wire.DATA, wire.PADDED, 1, b"\x05" + bytes(5)))


@attack
def empty_continuations(attacker: Attacker) -> None:
    flood(attacker, frame(wire.HEADERS, 0, 1, wire.head(DELTA)), frame(wire.CONTINUATION, 0, 1))


@attack
def priorities(attacker: Attacker) -> None:
    flood(attacker, b"", frame(wire.PRIORITY, 0, 7, b"\0\0\0\0\0"))


@attack
def frames_of_an_unknown_kind(attacker: Attacker) -> None:
    flood(attacker, b"", frame(0xFA, 0, 0))


@attack
def rapid_reset(attacker: Attacker) -> None:
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2 * 200):
            client.push(*(call(one) + wire.rst(one) for one in range(number, number + 400, 2)))


@attack
def rapid_reset_after_a_request(attacker: Attacker) -> None:
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2 * 50):
            client.push(
                *(
                    call(one) + message(one, everything(attacker.name())) + wire.rst(one)
                    for one in range(number, number + 100, 2)
                )
            )


def _refused(attacker: Attacker, block: bytes) -> None:
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2 * 200):
            client.push(*(frame(wire.HEADERS, 5, one, block) for one in range(number, number + 400, 2)))


@attack
def calls_of_unknown_methods(attacker: Attacker) -> None:
    _refused(attacker, wire.head("/no"))


@attack
def requests_that_are_no_calls(attacker: Attacker) -> None:
    _refused(
        attacker,
        b"".join(wire.literal(*one) for one in [(":method", "GET"), (":scheme", "http"), (":path", "/")]),
    )


@attack
def calls_of_unknown_methods_at_a_time(attacker: Attacker) -> None:
    """As many as are borne, on one connection after the other."""
    with attacker.client(hello()) as client:
        for number in range(1, 1_600, 2):
            client.push(call(number, "/no"))


@attack
def header_blocks_that_change_nothing(attacker: Attacker) -> None:
    """An index of the static table again and again: many fields of few bytes."""
    block = wire.head(DELTA) + b"\x90" * 400  # accept-encoding: gzip, deflate
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2 * 20):
            client.push(*(frame(wire.HEADERS, 5, one, block) for one in range(number, number + 40, 2)))


@attack
def deadlines_that_pass_at_once(attacker: Attacker) -> None:
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2 * 100):
            client.push(*(call(one, more=[("grpc-timeout", "1n")]) for one in range(number, number + 200, 2)))


@attack
def calls_without_a_request(attacker: Attacker) -> None:
    """Streams that are opened and say nothing."""
    opened = b"".join(call(number) for number in range(1, 2 * MANY_STREAMS, 2))
    kept = attacker.clients(attacker.many(100), hello() + opened)
    kept[0].idle()


# Messages.


@attack
def messages_of_five_bytes(attacker: Attacker) -> None:
    first = call(1, "/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints")
    flood(attacker, first + message(1, delta(ENDPOINT, ["x"], of=node("tiny"))), message(1, b""))


@attack
def many_messages_in_a_frame(attacker: Attacker) -> None:
    first = call(1, "/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints")
    flood(
        attacker,
        first + message(1, delta(ENDPOINT, ["x"], of=node("tiny"))),
        frame(wire.DATA, 0, 1, bytes(16_380)),
    )


@attack
def acknowledgements(attacker: Attacker) -> None:
    first = call(1) + message(1, delta(ENDPOINT, ["x"], of=node("acks")))
    flood(attacker, first, message(1, delta(ENDPOINT, nonce="1")))


@attack
def stale_nonces(attacker: Attacker) -> None:
    first = call(1, SOTW) + message(1, sotw(ENDPOINT, ["x"], of=node("stale")))
    flood(attacker, first, message(1, sotw(ENDPOINT, ["x"], nonce="900")))


@attack
def unknown_types(attacker: Attacker) -> None:
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2):
            client.push(
                call(number),
                message(number, delta("made.up/0", ["x"], of=node(attacker.name()))),
                *(message(number, delta(f"made.up/{one}{'x' * 60_000}", ["x"])) for one in range(70)),
            )


@attack
def first_requests_that_are_refused(attacker: Attacker) -> None:
    """Each makes a log line and a status."""
    bad = message(1, delta(CLUSTER, of=node("bad", metadata={"role": "x" * 200_000})))
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2):
            client.push(call(number), bad.replace(b"\0\0\0\1", number.to_bytes(4, "big")))


def _bad_nodes(attacker: Attacker, of: bytes) -> None:
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2):
            client.push(call(number), message(number, delta(CLUSTER, of=of)))


@attack
def a_log_line_each(attacker: Attacker) -> None:
    _bad_nodes(attacker, node("bad\x1b[2J", metadata={"role": "none"}))


@attack
def numbers_that_are_none(attacker: Attacker) -> None:
    _bad_nodes(attacker, node("nan", metadata={"role": "edge", "n": float("nan")}))


@attack
def rejections(attacker: Attacker) -> None:
    """Each rejects a reply that the server gave, with a long text."""
    text = "\x1b[31m" + "no" * attacker.many(4 << 20)
    with attacker.client(hello() + call(1) + message(1, delta(CLUSTER, of=node("nack")))) as client:
        client.idle(0.2)
        for nonce in range(1, 100):
            client.push(message(1, delta(CLUSTER, ["*"], nonce=str(nonce), error=text)))


@attack
def rejections_that_are_short(attacker: Attacker) -> None:
    with attacker.client(hello() + call(1) + message(1, delta(CLUSTER, ["a"], of=node("nack")))) as client:
        for nonce in itertools.count(1, 20):
            client.push(
                *(
                    message(1, delta(CLUSTER, ["a"], nonce=str(one), error="no"))
                    for one in range(nonce, nonce + 20)
                )
            )


@attack
def garbage(attacker: Attacker) -> None:
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2 * 100):
            client.push(*(call(one) + message(one, b"\xff\xff") for one in range(number, number + 200, 2)))


@attack
def a_message_that_unpacks_to_much(attacker: Attacker) -> None:
    bomb = gzip.compress(field(3, "x" * 100) * 320_000)
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2):
            client.push(call(number, more=[("grpc-encoding", "gzip")]), message(number, bomb, flag=1))


# Nodes.


@attack
def a_node_of_many_services(attacker: Attacker) -> None:
    services = [{"service": "s", "port": 1 + one, "app_port": 1} for one in range(20_000)]
    metadata: dict[str, object] = {"role": "sidecar", "address": "10.0.0.1", "services": services}
    _bad_nodes(attacker, node("services", metadata=metadata))


@attack
def nodes_with_large_metadata(attacker: Attacker) -> None:
    count = attacker.many(10 << 20) // 40
    metadata: dict[str, object] = {"role": "edge"} | {f"k{one}": {"v": [one]} for one in range(count)}
    of = node("large", "g", metadata)
    kept = [(attacker.clients(1, hello()) or [None])[0] for _ in range(attacker.many(20))]
    for client in kept:
        if client is not None:
            try:
                client.push(call(1), message(1, delta(CLUSTER, of=of)))
            except Ended:
                continue
    while time.monotonic() < attacker.until:
        time.sleep(0.05)


@attack
def nodes_as_large_as_may_be(attacker: Attacker) -> None:
    metadata: dict[str, object] = {"role": "edge"} | {f"{one:x}": one for one in range(11_000)}
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2):
            client.push(
                call(number), message(number, delta(LISTENER, of=node(attacker.name(), "g", metadata)))
            )


@attack
def streams_of_one_node(attacker: Attacker) -> None:
    first = b"".join(
        call(number) + message(number, delta(CLUSTER, of=node("same")))
        for number in range(1, 2 * MANY_STREAMS, 2)
    )
    kept = attacker.clients(attacker.many(8), hello() + first)
    for client in kept:
        client.idle(0.2)
    kept[0].idle()


@attack
def many_node_ids(attacker: Attacker) -> None:
    """Streams that come and go, each another node."""
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2 * 20):
            streams = range(number, number + 40, 2)
            client.push(
                *(
                    call(one) + message(one, delta(LISTENER, of=node(attacker.name() + "x" * 400)))
                    for one in streams
                )
            )
            client.push(*(frame(wire.DATA, 1, one) for one in streams))


# Names.


def _stream(attacker: Attacker, *requests: bytes, path: str = DELTA) -> bytes:
    return hello() + call(1, path) + b"".join(message(1, one) for one in requests)


@attack
def subscribing_again_and_again(attacker: Attacker) -> None:
    names = [f"n{index}" for index in range(attacker.many(20_000))]
    with attacker.client(_stream(attacker, delta(ENDPOINT, names, of=node(attacker.name())))) as client:
        again = (message(1, delta(ENDPOINT, ["a"])) + message(1, delta(ENDPOINT, [], ["a"]))) * 100
        while True:
            client.push(again)


@attack
def subscribing_without_reading(attacker: Attacker) -> None:
    first = hello(initial_window=0) + call(1) + message(1, delta(ENDPOINT, ["x"], of=node(attacker.name())))
    with attacker.client(first) as client:
        for number in itertools.count(0, 50):
            client.push(*(message(1, delta(ENDPOINT, [f"n{one}"])) for one in range(number, number + 50)))


@attack
def a_hundred_thousand_names(attacker: Attacker) -> None:
    names = [f"n{index}" for index in range(attacker.many(100_000))]
    for variant, path in ((delta, DELTA), (sotw, SOTW)):
        with attacker.client(
            _stream(attacker, variant(ENDPOINT, names, of=node(attacker.name())), path=path)
        ) as client:
            client.push(message(1, variant(ENDPOINT, names)))
            client.idle(0.1)


@attack
def names_as_many_as_fit(attacker: Attacker) -> None:
    names = (f"{index:x}" for index in range(attacker.many(1_500_000)))
    request = delta(ENDPOINT, names, of=node(attacker.name()))
    with attacker.client(_stream(attacker, request)) as client:
        client.idle(1.0)


@attack
def names_of_a_mebibyte(attacker: Attacker) -> None:
    with attacker.client(_stream(attacker, delta(ENDPOINT, ["x"], of=node(attacker.name())))) as client:
        for index in itertools.count():
            client.push(message(1, delta(ENDPOINT, [f"{index}" + "x" * (1 << 20)])))


@attack
def versions_that_are_made_up(attacker: Attacker) -> None:
    had = [(f"n{index}", "1") for index in range(attacker.many(100_000))]
    request = delta(CLUSTER, ["*"], of=node(attacker.name()), initial=had)
    with attacker.client(_stream(attacker, request)) as client:
        client.idle(0.3)


@attack
def the_wildcard_on_and_off(attacker: Attacker) -> None:
    with attacker.client(_stream(attacker, delta(CLUSTER, ["*"], of=node(attacker.name())))) as client:
        again = (message(1, delta(CLUSTER, [], ["*"])) + message(1, delta(CLUSTER, ["*"]))) * 100
        while True:
            client.push(again)


@attack
def everything_again_and_again(attacker: Attacker) -> None:
    with attacker.client(hello() + open_streams(attacker, 50, everything)) as client:
        again = b"".join(message(number, delta(CLUSTER, ["*"])) for number in range(1, 101, 2))
        while True:
            client.push(again)


@attack
def names_that_a_client_of_grpc_asks_for(attacker: Attacker) -> None:
    grpc = node(attacker.name(), metadata={"role": "grpc"})
    with attacker.client(_stream(attacker, delta(LISTENER, ["x"], of=grpc))) as client:
        for number in itertools.count(0, 50):
            client.push(message(1, delta(LISTENER, [f"n{one}" for one in range(number, number + 50)])))


@attack
def hosts_that_nobody_has(attacker: Attacker) -> None:
    with attacker.client(_stream(attacker, delta(VIRTUAL_HOST, [], of=node(attacker.name())))) as client:
        for number in itertools.count(0, 50):
            names = [f"outbound/proxy/h{one}" for one in range(number, number + 50)]
            client.push(message(1, delta(VIRTUAL_HOST, names)))


@attack
def calls_of_their_own(attacker: Attacker) -> None:
    """Sidecars that each name other services they call: a reach of its own for each."""
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2):
            name = attacker.name()
            calls: list[object] = [f"s{index}" for index in range(150)] + [name]
            metadata: dict[str, object] = {"role": "sidecar", "address": "10.0.0.1", "calls": calls}
            client.push(call(number), message(number, delta(CLUSTER, of=node(name, metadata=metadata))))


# Status.


@attack
def status_requests_that_are_not_read(attacker: Attacker) -> None:
    streams = attacker.many(760)
    with attacker.client(
        hello(initial_window=0)
        + open_streams(attacker, attacker.many(50), everything)
        + b"".join(call(2_001 + 2 * one, CSDS) + message(2_001 + 2 * one, b"") for one in range(streams))
    ) as client:
        client.idle()


@attack
def status_requests_on_one_stream(attacker: Attacker) -> None:
    with attacker.client(hello() + call(1, CSDS)) as client:
        while True:
            client.push(message(1, b"") * 200)


# Slow ones, and those that do not read.


@attack
def streams_that_are_never_read(attacker: Attacker) -> None:
    """Wide windows, and a socket that takes nothing."""
    kept = attacker.clients(attacker.many(40), receives=4_096)
    for client in kept:
        client.reads = False
        try:
            client.push(hello() + open_streams(attacker, 50, everything))
        except Ended:
            continue
    while time.monotonic() < attacker.until:
        time.sleep(0.05)


@attack
def windows_of_a_byte_that_are_never_widened(attacker: Attacker) -> None:
    """A response that has begun to leave waits in each stream."""
    first = hello(initial_window=1)
    kept = attacker.clients(attacker.many(40), receives=4_096)
    for client in kept:
        try:
            client.push(first + open_streams(attacker, 50, everything))
        except Ended:
            continue
    while time.monotonic() < attacker.until:
        time.sleep(0.05)


@attack
def reading_a_byte_at_a_time(attacker: Attacker) -> None:
    with attacker.client(hello() + open_streams(attacker, 50, everything), receives=4_096) as client:
        client.idle(most=1)


@attack
def parts_of_requests(attacker: Attacker) -> None:
    """Messages of which the end never comes."""
    piece = frame(wire.DATA, 0, 1, bytes(16_384)) * 4
    kept = attacker.clients(attacker.many(100), hello() + call(1) + frame(wire.DATA, 0, 1, b"\0\2\0\0\0"))
    while True:
        for client in kept:
            client.push(piece)
            client.idle(0.0005)


@attack
def prefaces_that_never_end(attacker: Attacker) -> None:
    kept = attacker.clients(attacker.many(2_000), wire.PREFACE[:10])
    if kept:
        kept[0].idle()


@attack
def connections_that_come_and_go(attacker: Attacker) -> None:
    while time.monotonic() < attacker.until:
        with attacker.client(hello() + open_streams(attacker, 1, everything)) as client:
            client.idle(0.001)


@attack
def what_is_no_http2(attacker: Attacker) -> None:
    with attacker.client(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n") as client:
        client.idle(1.0)


def run(name: str, port: int, seconds: float, size: float, rate: float = 0.0) -> dict[str, float]:
    """Attack for so many seconds."""
    attacker = Attacker(port, seconds, size, rate)
    tries = 0
    function = harmless if name == HARMLESS else ATTACKS[name]
    while time.monotonic() < attacker.until:
        tries += 1
        try:
            function(attacker)
        except Ended:
            continue
        finally:
            attacker.close()
    return {"sent": attacker.sent, "connections": attacker.connections, "tries": tries}


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[HARMLESS, *ATTACKS])
    parser.add_argument("--xds", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second, of the harmless client")
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    socket.setdefaulttimeout(5)
    print(json.dumps(run(given.name, given.xds, given.seconds, given.size, given.rate)))


if __name__ == "__main__":
    main()
