"""Child processes that end with their parent in any case, each with a log file of its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
STOP_S = 5.0
"""How long a child may take to end after SIGTERM, in seconds; then its group is killed."""


def _die_with_parent() -> Callable[[], None] | None:
    """Runs in the child before exec: asks Linux to kill the child when its parent dies, even by SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None
    # Loaded here and not in the child: between fork and exec nothing may be imported.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before prctl was called
            os._exit(1)

    return ask


@dataclass
class Child:
    """One started process, leader of its own process group."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    command: Sequence[str]
    environment: Mapping[str, str] | None

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def ending(self) -> str:
        """How it ended: `ended with status 1`, `was ended by SIGKILL`."""
        code = self.process.returncode
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Supervisor:
    """Starts children and stops exactly those, in the reverse order. A context manager.

    Use it from the main thread only: Linux ties a child's life to the thread that started it.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self.children: list[Child] = []

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """Start `command`; its output goes to `<logs>/<name>.log`. Raises OSError."""
        path = self._logs / f"{name}.log"
        with path.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,  # Ctrl-C reaches only the parent, which stops the children in order
                preexec_fn=_die_with_parent(),
            )
        child = Child(name, process, path, command, environment)
        self.children.append(child)
        return child

    def restart(self, child: Child) -> Child:
        """Start a child that has ended once more, with the same command and log. Raises OSError."""
        self.children.remove(child)
        return self.start(child.name, child.command, child.environment)

    def dead(self) -> list[Child]:
        """Children that ended by themselves."""
        return [child for child in self.children if not child.alive]

    def stop(self) -> None:
        """End all children: SIGTERM, and SIGKILL for those still there after STOP_S seconds."""
        for child in reversed(self.children):
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for child in reversed(self.children):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
        for child in reversed(self.children):
            _signal(child, signal.SIGKILL)
            child.process.wait()
        self.children.clear()


def _signal(child: Child, number: signal.Signals) -> None:
    """Signal the child's group, unless the child was reaped: its id may then belong to another process."""
    if child.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, number)
