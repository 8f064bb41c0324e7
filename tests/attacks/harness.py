"""Runs one attack against a control plane of its own, beside harmless clients, and measures.

The server has a core to itself; the attacker and the harmless clients share the other, where the attacker
gives way. What is compared is the same with a client that sends as many bytes of what any client sends.
"""

from __future__ import annotations

import json
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.attacks.attacks import HARMLESS

_MEASURED, _ATTACKER = -19, -15
"""Nice values: the server and the harmless clients come first."""
_ROOT = Path(__file__).resolve().parents[2]


def _core(number: int) -> set[int]:
    """The core of that number among those that may be used, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[number]} if len(cores) > 1 else set(cores)


def _spawn(module: str, *arguments: str, core: int, nice: int = 0, errors: IO[bytes] | None = None) -> Any:
    """A module of the attacks in a process of its own."""

    def prepare() -> None:
        os.sched_setaffinity(0, _core(core))
        # Linux shares the processor between sessions first: beside other sessions the nice value of a process
        # counts only with that of its session. Without the right to it, other load disturbs more.
        os.setsid()
        with suppress(OSError):
            os.nice(nice)
            Path("/proc/self/autogroup").write_text(str(nice))

    command = [sys.executable, "-m", f"tests.attacks.{module}", *arguments]
    return subprocess.Popen(
        command, bufsize=0, stdout=subprocess.PIPE, stderr=errors, cwd=_ROOT, preexec_fn=prepare
    )


def _line(process: Any, timeout: float = 30.0) -> dict[str, Any]:
    readable, _, _ = select.select([process.stdout], [], [], timeout)
    line = process.stdout.readline() if readable else b""
    if not line:
        raise RuntimeError(f"{process.args} said nothing, status {process.poll()}")
    return json.loads(line)


def _figures(process: Any) -> dict[str, Any]:
    """The last line of a process, which ends with it."""
    found = _line(process)
    process.wait()
    process.stdout.close()
    return found


class Server:
    """A control plane in a process of its own."""

    def __init__(self, transport: str, log: Path) -> None:
        self._log = log.open("wb")
        self.log = log
        self.grown_from = 0.0
        """Memory at a time that a test chose."""
        self._process = _spawn("server", "--transport", transport, core=0, nice=_MEASURED, errors=self._log)
        where = _line(self._process)
        self.xds, self.control, self.pid = where["xds"], where["control"], where["pid"]

    def ask(self, asked: dict[str, Any], timeout: float = 60.0) -> dict[str, Any]:
        with socket.create_connection(("127.0.0.1", self.control), timeout) as asking:
            asking.sendall(json.dumps(asked).encode() + b"\n")
            return json.loads(asking.makefile().readline())

    def metric(self, name: str) -> dict[str, float]:
        """The samples of a metric, by what stands between the braces."""
        lines = self.ask({"metrics": True})["text"].splitlines()
        found = [line.removeprefix(name) for line in lines if line.startswith((name + "{", name + " "))]
        return {line.rpartition(" ")[0].strip("{}"): float(line.rpartition(" ")[2]) for line in found}

    @property
    def rss(self) -> float:
        """Resident memory in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise ProcessLookupError(self.pid)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()


@contextmanager
def serving(transport: str, log: Path) -> Iterator[Server]:
    server = Server(transport, log)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def probing(server: Server, seconds: float, *, first: int, streams: int = 20) -> Iterator[Callable[[], Any]]:
    """Harmless clients that are connected; what it gives waits for their figures."""
    options = {"xds": server.xds, "control": server.control, "seconds": seconds, "first": first}
    process = _spawn("probe", *_options(options | {"streams": streams}), core=1, nice=_MEASURED)
    try:
        _line(process)
        yield lambda: _line(process, 150)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _options(given: dict[str, float]) -> list[str]:
    return [text for name, value in given.items() for text in (f"--{name}", str(value))]


@dataclass(frozen=True)
class Run:
    """What one attack did. Latencies of the harmless clients are milliseconds, memory is MiB."""

    p50: float
    p99: float
    longest: float
    lost: int
    sent: int
    connections: int
    tries: int
    before: float
    peak: float
    after: float
    log_bytes: int
    ended: dict[str, float]


def run(
    attack: str,
    transport: str,
    log: Path,
    *,
    seconds: float,
    size: float,
    rate: float = 0.0,
    rest: float = 10.0,
) -> Run:
    """Attack a new server for `seconds`, beside harmless clients. rest: seconds until memory must be back."""
    with serving(transport, log) as server:
        with probing(server, 1.0, first=1) as figures:
            figures()
        with probing(server, seconds, first=1000) as figures:
            before = peak = server.rss
            given = {"xds": server.xds, "seconds": seconds, "size": size, "rate": rate}
            attacking = _spawn("attacks", attack, *_options(given), core=1, nice=_ATTACKER)
            while attacking.poll() is None:
                peak = max(peak, server.rss)
                time.sleep(0.05)
            attacked = _figures(attacking)
            latency = figures()
        until = time.monotonic() + rest
        after = server.rss
        while time.monotonic() < until and after > before * 1.1 + 8:
            time.sleep(0.25)
            after = server.rss
        ended = server.metric("laneway_connections_ended_total")
        assert server.ask({"proxies": True})["seconds"] < 2
        return Run(
            p50=latency["p50"],
            p99=latency["p99"],
            longest=latency["max"],
            lost=int(latency["lost"]),
            sent=attacked["sent"],
            connections=attacked["connections"],
            tries=attacked["tries"],
            before=before,
            peak=peak,
            after=after,
            log_bytes=log.stat().st_size,
            ended=ended,
        )


def harmed(attack: Run, calm: Run) -> bool:
    """Whether the others had to wait for longer than beside a harmless client: by a fifth and 5 ms."""
    return attack.p99 > 1.2 * calm.p99 + 5


def compare(
    attack: str,
    transport: str,
    log: Path,
    *,
    seconds: float,
    rounds: int,
    size: float = 1.0,
    quick: bool = False,
) -> tuple[Run, Run]:
    """The attack and an equal harmless load, in turns: of each the run whose p99 is the median.

    It is over as soon as most of the rounds say the same; quick: or none has said that it harms.
    """
    attacks, calm = list[Run](), list[Run]()
    verdicts = Counter[bool]()
    while max(verdicts.values(), default=0) <= rounds // 2:
        attacks.append(run(attack, transport, log, seconds=seconds, size=size))
        rate = attacks[-1].sent / seconds
        calm.append(run(HARMLESS, transport, log, seconds=seconds, size=size, rate=rate, rest=0.0))
        verdicts[harmed(attacks[-1], calm[-1])] += 1
        if quick and not verdicts[True]:
            break
    return median(attacks), median(calm)


def median(runs: list[Run]) -> Run:
    """The run in the middle."""
    middle = statistics.median_low(one.p99 for one in runs)
    return next(one for one in runs if one.p99 == middle)


def row(name: str, attack: Run, calm: Run | None) -> str:
    """A line of the table."""
    ended = ", ".join(f"{why.split('=')[-1]} {count:.0f}" for why, count in attack.ended.items() if count)
    bad = " **!**" if calm is not None and harmed(attack, calm) else ""
    cells = [
        name,
        f"{attack.sent / 1024:,.0f} KiB",
        f"{attack.connections}",
        f"{attack.longest:,.0f} ms",
        f"{attack.p99:,.1f} ms{bad}",
        f"{calm.p99:,.1f} ms" if calm is not None else "",
        f"{attack.before:.0f}, {attack.peak:.0f}, {attack.after:.0f} MiB",
        ended.replace('"', ""),
        f"{attack.log_bytes / 1024:,.0f} KiB",
    ]
    return f"| {' | '.join(cells)} |"
