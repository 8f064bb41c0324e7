"""The directory of `--secrets`: `NAME/tls.crt` and `NAME/tls.key`, as Kubernetes mounts a secret for TLS.

Only secrets that a gateway names are read. A pair that cannot be used never takes the place of one that can.
"""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from controlplane.secrets.pair import LARGEST, Pair, PairError, read_pair

_log = structlog.get_logger("laneway")

LOOK = 1.0
"""Seconds between two looks at the files. Polling sees what is mounted and linked, too."""
_FILES = ("tls.crt", "tls.key")
_RENEW = "renew it"
_MOUNT = "put the certificate with its chain into tls.crt of the secret's directory, and its key into tls.key"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a secret, or its newest files, cannot be used, and what to do."""

    reason: str
    remedy: str


@dataclass(slots=True)
class _Held:
    seen: object = None  # what changes when a file is replaced
    pair: Pair | None = None
    problem: Problem | None = None


class Secrets:
    """directory: None where there is none, then every name has a problem. mutual: whether clients of the xDS
    port show certificates; without, no secret is given away.
    """

    def __init__(self, directory: Path | None = None, mutual: bool = False) -> None:
        self._directory = directory
        self._mutual = mutual
        self._held: dict[str, _Held] = {}
        #: How often the files of a secret had changed since the start, by result: reloaded, failed.
        self.reloads: Counter[str] = Counter()

    def get(self, name: str) -> Pair | None:
        """The pair that is in force; the files are read if they have not been."""
        if name not in self._held:
            self.look([name])
        return self._held[name].pair

    def problem(self, name: str) -> Problem | None:
        """What is wrong with the newest files of a secret."""
        self.get(name)
        return self._held[name].problem

    def held(self) -> Mapping[str, Pair]:
        """The pairs in force of all secrets that were asked for and not forgotten."""
        return {name: one.pair for name, one in self._held.items() if one.pair is not None}

    def failing(self) -> int:
        """Number of secrets whose newest files cannot be used."""
        return sum(one.problem is not None for one in self._held.values())

    def keep(self, names: Iterable[str]) -> None:
        """Forget all secrets but these: no gateway names them."""
        for name in self._held.keys() - set(names):
            self._held.pop(name, None)

    def warning(self, name: str) -> str | None:
        """A sentence for whoever looks at a gateway that names the secret."""
        pair, problem = self.get(name), self.problem(name)
        if problem is not None:
            state = "edges keep the former one" if pair is not None else "edges have no certificate for it"
            return f"secret {name} cannot be used, and {state}: {problem.reason}; {problem.remedy}"
        if pair is not None and pair.due(time.time()):
            return f"the certificate of secret {name} ends at {pair.until}: renew it"
        return None

    def examine(self, name: str) -> Problem | None:
        """What is wrong with the files of a secret now. Nothing is kept, and nothing is logged."""
        try:
            said = _read(self._files(name)).said(time.time())
        except PairError as error:
            return Problem(str(error), error.remedy)
        return None if said is None else Problem(said, _RENEW)

    def look(self, names: Iterable[str]) -> list[str]:
        """Look at the files of these secrets. Returns those whose pair was replaced."""
        return [name for name in names if self._look(name, self._held.setdefault(name, _Held()))]

    def _look(self, name: str, held: _Held) -> bool:
        before, seen = held.seen, None
        held.seen = None  # what cannot be used is read again, for it may be repaired or begin to be valid
        try:
            files = self._files(name)
            seen = [_signature(*one) for one in files]
            pair = held.pair if seen == before and held.pair is not None else _read(files)
            if seen != [_signature(*one) for one in files]:
                return False  # it is being written: the next look has it whole
        except PairError as error:
            self._failed(name, held, Problem(str(error), error.remedy))
            return False
        now = time.time()
        said = pair.said(now)
        if said is not None:
            self._failed(name, held, Problem(said, _RENEW))
            if held.pair is not None and held.pair.said(now) is None:
                return False
        else:
            held.problem = None
        held.seen = seen
        former, held.pair = held.pair, pair
        if former is not None and former != pair:
            self.reloads["reloaded"] += 1
            _log.info("a secret was reloaded", secret=name, until=pair.until)
        return former != pair

    def _failed(self, name: str, held: _Held, problem: Problem) -> None:
        if held.problem == problem:
            return
        held.problem = problem
        self.reloads["failed"] += 1
        _log.error(
            "the files of a secret cannot be used" + ("; the former ones stay" if held.pair else ""),
            secret=name,
            reason=problem.reason,
            remedy=problem.remedy,
        )

    def _files(self, name: str) -> list[_File]:
        """The files of a secret, with links followed. Raises PairError."""
        if self._directory is None:
            remedy = f"start the control plane with --secrets DIR, where DIR/{name} has tls.crt and tls.key"
            raise PairError("the control plane has no directory of secrets", remedy)
        if not self._mutual:
            remedy = "give the xDS port a certificate and a CA of its clients (--xds-client-ca)"
            raise PairError("secrets are sent only over mTLS, and the xDS port has none", remedy)
        root = self._directory.resolve()
        found: list[_File] = []
        for file in _FILES:
            label, path = f"{name}/{file}", (root / name / file).resolve()
            if not path.is_relative_to(root):
                raise PairError(f"{label} leads out of the directory of secrets", "put the file itself there")
            found.append((label, path))
        return found


_File = tuple[str, Path]
"""How a file is called in messages, and where it is."""


def _read(files: Iterable[_File]) -> Pair:
    """Raises PairError."""
    for one in files:
        _signature(*one)  # whoever opens a pipe waits for ever
    certificate, key = (_bytes(*one) for one in files)
    return read_pair(certificate, key)


def _signature(label: str, path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise PairError(f"{label} cannot be read: {error.strerror}", _MOUNT) from None
    if not stat.S_ISREG(found.st_mode):
        raise PairError(f"{label} is not a file", _MOUNT)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _bytes(label: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise PairError(f"{label} cannot be read: {error.strerror}", _MOUNT) from None
