"""Requests: many, unreadable, or refused."""

from __future__ import annotations

import gzip
import itertools

from tests.attacks import wire
from tests.attacks.attacker import Attacker, attack, flood
from tests.attacks.wire import CLUSTER, ENDPOINT, SOTW, call, delta, field, frame, hello, message, node, sotw


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
