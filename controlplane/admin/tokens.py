"""Bearer tokens: who may use the admin API, and under which name a change is recorded."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import stat
from collections.abc import Mapping
from pathlib import Path

SHORTEST = 8
LARGEST = 1 << 20  # bytes of a file of tokens


def load_tokens(path: Path) -> dict[str, str]:
    """The tokens in a file of `name: token` lines, by name. Lines that begin with # are comments.

    Raises ValueError, which names file and line, for a wrong line or if others than the owner can read the
    file; OSError if it cannot be read.
    """
    tokens: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            refuse_shared(path, os.fstat(file.fileno()))
            lines = file.read(LARGEST).decode().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, token = (part.strip() for part in line.partition(":"))
        if not colon or not name or not token:
            raise ValueError(f"{path}, line {number}: is not `name: token`")
        if len(token) < SHORTEST or any(not 33 <= ord(char) <= 126 for char in token):
            raise ValueError(
                f"{path}, line {number}: the token of {name} has less than {SHORTEST} characters, "
                "or others than visible ASCII"
            )
        if name in tokens or token in tokens.values():
            raise ValueError(f"{path}, line {number}: name and token must not appear twice")
        tokens[name] = token
    if not tokens:
        raise ValueError(f"{path}: holds no token")
    return tokens


def refuse_shared(path: Path, status: os.stat_result) -> None:
    """Raise ValueError if others than the owner can read or change the file of secrets.

    The group of a file that belongs to root may read it, so that a process without root's rights can be given
    a secret (PostgreSQL has the same rule for its keys).
    """
    mode = stat.S_IMODE(status.st_mode)
    allowed = 0o740 if status.st_uid == 0 else 0o700
    if mode & ~allowed:
        raise ValueError(
            f"{path}: its mode is {mode:04o}, so others than its owner can use the tokens in it: "
            f"run `chmod 600 {path}`"
        )


class Tokens:
    """The tokens of a file, as of the last time that it was read."""

    def __init__(self, path: Path) -> None:
        """Raises as `load_tokens` does."""
        self._path = path
        self.reload()

    def reload(self) -> list[str]:
        """Read the file again, and return the names of its tokens. If that raises (as `load_tokens`), the
        former tokens stay valid.
        """
        tokens = load_tokens(self._path)
        self._digests = {name: _digest(token) for name, token in tokens.items()}
        return sorted(tokens)

    @classmethod
    def of(cls, tokens: Mapping[str, str]) -> Tokens:
        """Tokens that are in no file."""
        made = cls.__new__(cls)
        made._digests = {name: _digest(token) for name, token in tokens.items()}
        return made

    def author_of(self, authorization: str) -> str | None:
        """The name of the token in an Authorization header, None if there is no such token.

        Every token is compared, each in constant time and by its digest, so that the time of an answer says
        nothing about tokens.
        """
        scheme, _, given = authorization.partition(" ")
        digest = _digest(given.strip())
        found: str | None = None
        for name, token in self._digests.items():
            if hmac.compare_digest(token, digest):
                found = name
        return found if scheme.lower() == "bearer" else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def check_exposure(host: str, tokens: object | None, allow_anonymous: bool) -> None:
    """Raise ValueError for an admin address outside of loopback that everybody could use."""
    if tokens or allow_anonymous:
        return
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise ValueError(
            f"the admin address {host} is not on loopback: give a file of tokens, "
            "or allow anonymous access explicitly (--admin-allow-anonymous)"
        )
