"""Clients that read little or nothing, and client status, whose answers are large."""

from __future__ import annotations

import time
from contextlib import suppress

from tests.attacks import wire
from tests.attacks.attacker import Attacker, Ended, attack, everything, open_streams
from tests.attacks.wire import CSDS, call, frame, hello, message


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
def crowds_that_leave_together(attacker: Attacker) -> None:
    while time.monotonic() < attacker.until:
        kept = attacker.clients(attacker.many(500), hello())
        if kept:
            with suppress(Ended):
                kept[0].idle(0.01)
        attacker.close()


@attack
def connections_that_come_and_go(attacker: Attacker) -> None:
    while time.monotonic() < attacker.until:
        with attacker.client(hello() + open_streams(attacker, 1, everything)) as client:
            client.idle(0.001)


@attack
def what_is_no_http2(attacker: Attacker) -> None:
    with attacker.client(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n") as client:
        client.idle(1.0)
