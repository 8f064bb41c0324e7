"""Nodes: large, many, or each with a reach of its own."""

from __future__ import annotations

import itertools
import time

from tests.attacks import wire
from tests.attacks.attacker import MANY_STREAMS, Attacker, Ended, attack
from tests.attacks.wire import CLUSTER, LISTENER, call, delta, frame, hello, message, node


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


@attack
def calls_of_their_own(attacker: Attacker) -> None:
    """Sidecars that each name other services they call: a reach of its own for each."""
    with attacker.client(hello()) as client:
        for number in itertools.count(1, 2):
            name = attacker.name()
            calls: list[object] = [f"s{index}" for index in range(150)] + [name]
            metadata: dict[str, object] = {"role": "sidecar", "address": "10.0.0.1", "calls": calls}
            client.push(call(number), message(number, delta(CLUSTER, of=node(name, metadata=metadata))))
