"""Frames of HTTP/2: many, small, or without an end."""

from __future__ import annotations

import itertools

from tests.attacks import wire
from tests.attacks.attacker import MANY_STREAMS, Attacker, attack, everything, flood, open_streams
from tests.attacks.wire import DELTA, call, frame, hello, message


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
