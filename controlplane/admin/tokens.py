"""Bearer tokens: who may use the admin API, and under which name a change is recorded."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from pathlib import Path

SHORTEST = 8


def load_tokens(path: Path) -> dict[str, str]:
    """The tokens of a file of `name: token` lines, by name. Lines that start with # are comments.

    Raises ValueError with file and line, OSError if the file cannot be read.
    """
    tokens: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
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


def author_of(tokens: Mapping[str, str], authorization: str) -> str | None:
    """The name of the token in an Authorization header, None if it is none of `tokens`.

    Every token is compared, each in constant time, so that timing says nothing of them.
    """
    scheme, _, given = authorization.partition(" ")
    found: str | None = None
    for name, token in tokens.items():
        if hmac.compare_digest(token.encode(), given.strip().encode("utf-8", "replace")):
            found = name
    return found if scheme.lower() == "bearer" else None


def check_exposure(host: str, tokens: Mapping[str, str] | None, allow_anonymous: bool) -> None:
    """Raise ValueError for an admin address off loopback that anybody could use."""
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
