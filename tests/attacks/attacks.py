"""What one client without any right can send. Each attack runs until its connection ends, and then again.

python -m tests.attacks.attacks NAME --xds PORT --seconds 4 prints what was sent, as JSON.
"""

from __future__ import annotations

import argparse
import json
import socket
import time
from collections.abc import Iterable

from tests.attacks import frames, names, nodes, readers, requests
from tests.attacks.attacker import ATTACKS, Attacker, Ended
from tests.attacks.wire import ENDPOINT, call, delta, hello, message, node

__all__ = ["ATTACKS", "HARMLESS", "SUBJECTS", "run"]

HARMLESS = "harmless"
SUBJECTS = (frames, requests, nodes, names, readers)
"""The modules that have the attacks."""


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
