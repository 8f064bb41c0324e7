"""python -m tests.attacks: every attack against a transport, as a table.

Each is run `--rounds` times in turn with a harmless client that sends as many bytes. All of them within ten
minutes, over mTLS: python -m tests.attacks --tls --quick --seconds 1.5 --minutes 10
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.attacks import harness
from tests.attacks.attacks import ATTACKS
from tests.attacks.wire import TLS
from tests.trust import Authority


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transport", default="laneway")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="repeat only what seems to harm others")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin nothing after so long")
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--only", default="", help="attacks whose name has this text")
    parser.add_argument("--alone", action="store_true", help="without the harmless client to compare with")
    parser.add_argument("--tls", action="store_true", help="over mTLS")
    given = parser.parse_args()
    print("| attack | sent | connections | longest | p99 | harmless p99 | memory | ended | log |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- | --- | ---: |")
    with tempfile.TemporaryDirectory() as directory:
        if given.tls:
            authority = Authority(Path(directory))
            authority.server()
            authority.client("application/app")
            os.environ[TLS] = directory
        until = time.monotonic() + given.minutes * 60
        for name in ATTACKS:
            if given.only not in name:
                continue
            if time.monotonic() > until:
                print(f"| {name} | not run: the time is over |", flush=True)
                continue
            try:
                log = Path(directory) / "log"
                how: dict[str, Any] = {"seconds": given.seconds, "size": given.size}
                if given.alone:
                    attack = harness.run(name, given.transport, log, **how)
                    calm = None
                else:
                    how |= {"rounds": given.rounds, "quick": given.quick}
                    attack, calm = harness.compare(name, given.transport, log, **how)
            except Exception as error:  # the server may be gone, and the table goes on
                print(f"| {name} | failed: {type(error).__name__} {error} |", flush=True)
                continue
            print(harness.row(name, attack, calm), flush=True)


if __name__ == "__main__":
    main()
