"""Bearer tokens: who may use the admin API, what for, and under which name a change is recorded."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from controlplane.auth.rights import Caller, Rights, rights_of

SHORTEST = 8
LARGEST = 1 << 20  # bytes of a file of tokens
NAME = r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}"
"""Names of tokens that `laneway token create` takes."""
HASHED = "sha256="


class Refused(Exception):
    """The credentials are not taken; the text says why, and nothing of what they were.

    guess: whether whoever sends them may be guessing, so that it counts against their address.
    """

    def __init__(self, message: str, guess: bool = True) -> None:
        super().__init__(message)
        self.guess = guess


class Authentication(Protocol):
    """Finds out who sends a request."""

    def caller_of(self, credentials: str) -> Caller:
        """Who has these credentials: what follows `Bearer`. Raises Refused."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the file. digest: SHA-256 of the token. created, expires: epoch seconds, None for not
    known and for never. plain: whether the file holds the token itself.
    """

    name: str
    digest: bytes
    rights: Rights
    created: float | None = None
    expires: float | None = None
    plain: bool = False

    def line(self) -> str:
        """The line of the file; not for a plain token."""
        parts = [f"{self.name}: {HASHED}{self.digest.hex()}", f"role={','.join(self.rights.roles)}"]
        if self.created is not None:
            parts.append(f"created={at(self.created)}")
        if self.expires is not None:
            parts.append(f"expires={at(self.expires)}")
        return " ".join(parts)


def at(seconds: float) -> str:
    """A time as RFC 3339 writes it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def load_tokens(path: Path, least: int = 1) -> list[Token]:
    """The tokens in a file, which has at least so many. Its lines are `name: token` (an admin's), or what
    `Token.line` writes. Lines that begin with # are comments.

    Raises ValueError, which names file and line, for a wrong line or if others than the owner can read the
    file; OSError if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            refuse_shared(path, os.fstat(file.fileno()))
            text = file.read(LARGEST).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8") from error
    tokens = parse_tokens(text, str(path))
    if len(tokens) < least or not text.strip():
        raise ValueError(f"{path}: holds no token")
    return tokens


def parse_tokens(text: str, path: str) -> list[Token]:
    """The tokens in the text of the file `path`; none is no error. Raises ValueError."""
    tokens: list[Token] = []
    names: set[str] = set()
    digests: set[bytes] = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            token = _token(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if token.name in names or token.digest in digests:
            raise ValueError(f"{path}, line {number}: name and token must not appear twice")
        names.add(token.name)
        digests.add(token.digest)
        tokens.append(token)
    return tokens


def _token(line: str) -> Token:
    """Raises ValueError, whose text has nothing of the token."""
    name, colon, rest = (part.strip() for part in line.partition(":"))
    if not colon or not name or not rest:
        raise ValueError("is not `name: token`")
    words = rest.split()
    if words[0].startswith(HASHED) and len(words) > 1:
        return _hashed(name, words)
    if len(rest) < SHORTEST or any(not 33 <= ord(char) <= 126 for char in rest):
        raise ValueError(
            f"the token of {name} has less than {SHORTEST} characters, or others than visible ASCII"
        )
    return Token(name, digest_of(rest), Rights(admin=True), plain=True)


def _hashed(name: str, words: list[str]) -> Token:
    fields: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key in fields or key not in ("sha256", "role", "created", "expires"):
            raise ValueError(f"{key[:20]!r} of {name} is not sha256=, role=, created= or expires=, once each")
        fields[key] = value
    if not re.fullmatch("[0-9a-f]{64}", fields["sha256"]):
        raise ValueError(f"the digest of {name} is not 64 hexadecimal digits")
    try:
        rights = rights_of(fields.get("role", "").split(","))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    created, expires = (_seconds(name, key, fields.get(key)) for key in ("created", "expires"))
    return Token(name, bytes.fromhex(fields["sha256"]), rights, created, expires)


def _seconds(name: str, key: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError
    except ValueError:
        raise ValueError(f"{key}= of {name} is not a time such as 2027-01-31T12:00:00Z") from None
    return found.timestamp()


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

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Raises as `load_tokens` does."""
        self._path = path
        self._clock = clock
        self._tokens: tuple[Token, ...] = ()
        self._seen: object = None
        self.reload()

    @classmethod
    def of(
        cls, tokens: Mapping[str, str] | Iterable[Token], clock: Callable[[], float] = time.time
    ) -> Tokens:
        """Tokens that are in no file: some, or those of admins by name."""
        made = cls.__new__(cls)
        made._clock = clock
        if isinstance(tokens, Mapping):
            admin = Rights(admin=True)
            made._tokens = tuple(
                Token(str(name), digest_of(str(text)), admin) for name, text in tokens.items()
            )
        else:
            made._tokens = tuple(tokens)
        return made

    def reload(self) -> list[str]:
        """Read the file again, and return the names of its tokens. If that raises (as `load_tokens`), the
        former tokens stay valid. An empty file is taken as being written; one in which only comments are left
        has no valid token.
        """
        least = 1 if self._seen is None else 0
        self._seen = _signature(self._path)
        self._tokens = tuple(load_tokens(self._path, least))
        return sorted(token.name for token in self._tokens)

    @property
    def changed(self) -> bool:
        """Whether the file is another one than when it was read, or tried, last."""
        return _signature(self._path) != self._seen

    @property
    def plain(self) -> list[str]:
        """The names of the tokens that the file holds as they are."""
        return sorted(token.name for token in self._tokens if token.plain)

    def caller_of(self, credentials: str) -> Caller:
        """See Authentication. Every token is compared, each in constant time and by its digest, so that the
        time of an answer says nothing about tokens.
        """
        digest = digest_of(credentials)
        found: Token | None = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        if found is None:
            raise Refused("is not known")
        if found.expires is not None and self._clock() >= found.expires:
            raise Refused(f"is the token of {found.name}, which expired at {at(found.expires)}", guess=False)
        return Caller(found.name, found.rights)


def _signature(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode


def digest_of(token: str) -> bytes:
    """What is stored of a token. Tokens that Laneway makes have 256 random bits, so that no salt and no slow
    hash is needed.
    """
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
