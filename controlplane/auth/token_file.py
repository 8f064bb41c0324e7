"""Changes of a file of tokens: one token more or less, and the file replaced whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from controlplane.auth.rights import Rights
from controlplane.auth.tokens import NAME, Token, digest_of, parse_tokens, refuse_shared

PREFIX = "laneway_"
"""What made tokens begin with, so that scanners for secrets find them."""
RANDOM = 32  # bytes
_HEADER = "# Tokens for the admin API of Laneway, hashed: `laneway token create | list | revoke`.\n"


def tokens_in(path: Path) -> list[Token]:
    """The tokens in the file; none if it does not exist. Raises ValueError and OSError."""
    return parse_tokens(_text(path), str(path))


def create(path: Path, name: str, rights: Rights, expires: float | None) -> str:
    """Add a token, and return it: nothing but its digest is kept. expires: epoch seconds.

    Raises ValueError for a name that is taken or cannot be used, and where the file cannot; OSError.
    """
    if not re.fullmatch(NAME, name):
        raise ValueError(f"{name!r} is not the name of a token: use letters, digits and ._@+-")
    text = PREFIX + secrets.token_urlsafe(RANDOM)
    token = Token(name, digest_of(text), rights, time.time(), expires)
    with _locked(path):
        before = _text(path)
        if any(one.name == name for one in parse_tokens(before, str(path))):
            raise ValueError(f"{path} has a token named {name}: revoke it first, or use another name")
        _replace(path, f"{_lines(before)}{token.line()}\n")
    return text


def revoke(path: Path, name: str) -> None:
    """Remove a token. Raises ValueError for a name that is not there, and where the file cannot be used;
    OSError.
    """
    with _locked(path):
        before = _text(path)
        known = [one.name for one in parse_tokens(before, str(path))]
        if name not in known:
            raise ValueError(f"{path} has no token named {name}: it has {', '.join(known) or 'none'}")
        kept = [line for line in before.splitlines() if _name(line) != name]
        _replace(path, _lines("\n".join(kept)))


def _name(line: str) -> str:
    return "" if line.lstrip().startswith("#") else line.partition(":")[0].strip()


def _lines(text: str) -> str:
    """Whole lines. A file without tokens still has its first line: an empty one is taken as being written."""
    return f"{text.rstrip()}\n" if text.strip() else _HEADER


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            refuse_shared(path, os.fstat(file.fileno()))
            return file.read().decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time changes files of this directory."""
    directory = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _replace(path: Path, text: str) -> None:
    """The new file has the mode and the owner of the former one."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        with contextlib.suppress(FileNotFoundError):
            former = path.stat()
            if os.geteuid() == 0:
                os.fchown(descriptor, former.st_uid, former.st_gid)
            os.fchmod(descriptor, former.st_mode & 0o7777)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
