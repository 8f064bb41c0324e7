"""The `laneway` command in a process of its own, in which its modules are imported already.

It is forked from a process that has imported them (multiprocessing's fork server), so a test waits for what
the command does and not, hundreds of times, for a second of imports. The tests of the mesh, of the demo and
of the wheel start the installed program itself.
"""

from __future__ import annotations

import faulthandler
import io
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from controlplane.cli.main import app

LANEWAY = Path(sys.executable).with_name("laneway")
_IMPORTED = [
    "tests.cli.forking",
    "controlplane.app.serving",
    "controlplane.store.recovery",
    "controlplane.store.sqlite",
    "certifi",
    "h2.connection",
    "httpcore",
    "pydantic.v1",
    "uvloop",
]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_IMPORTED)


class _Stream:
    """An open file that is handed to the process that is started."""

    def __init__(self, file: Any) -> None:
        self._number = file.fileno()

    def __reduce__(self) -> tuple[Any, ...]:
        return _detached, (DupFd(self._number),)


def _detached(given: Any) -> int:
    return given.detach()


def _laneway(
    arguments: Sequence[str],
    directory: str,
    environment: Mapping[str, str],
    streams: Sequence[_Stream | int],
    descriptors: tuple[int, int] | None,
) -> None:
    """What the forked process runs. `streams`: standard input, output and error."""
    for number, given in enumerate(streams):
        assert isinstance(given, int)  # a descriptor, once it has been handed over
        os.dup2(given, number)
        os.close(given)
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False), "utf-8")
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), "utf-8")
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), "utf-8", line_buffering=True)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    if "PYTHONFAULTHANDLER" in environment:
        faulthandler.enable()
    sys.argv = [str(LANEWAY), *arguments]
    if descriptors is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)
    app()


class Forked:
    """A process with the part of subprocess.Popen's interface that tests use."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: Any = None,
        stdout: Any,
        stderr: Any,
        env: Mapping[str, str],
        cwd: Path | None = None,
        descriptors: tuple[int, int] | None = None,
    ) -> None:
        """Standard input is empty by default. `descriptors`: soft and hard RLIMIT_NOFILE."""
        with open(os.devnull, "rb") as nothing:
            files = [nothing if stdin is None else stdin, stdout, stderr]
            streams = [_Stream(file) for file in files]
            given = (list(arguments), str(cwd or Path.cwd()), dict(env), streams, descriptors)
            self._process = _context.Process(target=_laneway, args=given, daemon=True)
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(LANEWAY), timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()
