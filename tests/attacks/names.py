"""Subscriptions: to many names, and again and again."""

from __future__ import annotations

import itertools

from tests.attacks.attacker import Attacker, attack, everything, open_streams, stream
from tests.attacks.wire import (
    CLUSTER,
    DELTA,
    ENDPOINT,
    LISTENER,
    SOTW,
    VIRTUAL_HOST,
    call,
    delta,
    hello,
    message,
    node,
    sotw,
)


@attack
def subscribing_again_and_again(attacker: Attacker) -> None:
    names = [f"n{index}" for index in range(attacker.many(20_000))]
    with attacker.client(stream(attacker, delta(ENDPOINT, names, of=node(attacker.name())))) as client:
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
            stream(attacker, variant(ENDPOINT, names, of=node(attacker.name())), path=path)
        ) as client:
            client.push(message(1, variant(ENDPOINT, names)))
            client.idle(0.1)


@attack
def names_as_many_as_fit(attacker: Attacker) -> None:
    names = (f"{index:x}" for index in range(attacker.many(1_500_000)))
    request = delta(ENDPOINT, names, of=node(attacker.name()))
    with attacker.client(stream(attacker, request)) as client:
        client.idle(1.0)


@attack
def names_of_a_mebibyte(attacker: Attacker) -> None:
    with attacker.client(stream(attacker, delta(ENDPOINT, ["x"], of=node(attacker.name())))) as client:
        for index in itertools.count():
            client.push(message(1, delta(ENDPOINT, [f"{index}" + "x" * (1 << 20)])))


@attack
def versions_that_are_made_up(attacker: Attacker) -> None:
    had = [(f"n{index}", "1") for index in range(attacker.many(100_000))]
    request = delta(CLUSTER, ["*"], of=node(attacker.name()), initial=had)
    with attacker.client(stream(attacker, request)) as client:
        client.idle(0.3)


@attack
def the_wildcard_on_and_off(attacker: Attacker) -> None:
    with attacker.client(stream(attacker, delta(CLUSTER, ["*"], of=node(attacker.name())))) as client:
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
    with attacker.client(stream(attacker, delta(LISTENER, ["x"], of=grpc))) as client:
        for number in itertools.count(0, 50):
            client.push(message(1, delta(LISTENER, [f"n{one}" for one in range(number, number + 50)])))


@attack
def hosts_that_nobody_has(attacker: Attacker) -> None:
    with attacker.client(stream(attacker, delta(VIRTUAL_HOST, [], of=node(attacker.name())))) as client:
        for number in itertools.count(0, 50):
            names = [f"outbound/proxy/h{one}" for one in range(number, number + 50)]
            client.push(message(1, delta(VIRTUAL_HOST, names)))
