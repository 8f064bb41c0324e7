"""Sessions of the console: a browser shows its token once, and has a cookie from then on.

A session holds the token that began it, and each request of the session asks with that token. So a session
may do what its token may, and ends when the token is revoked or expires.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from controlplane.admin.answers import Answer

LIFETIME = 12 * 3600.0
"""Seconds after which a session ends, whatever its token says."""
MOST = 1000
"""Sessions that are kept; beyond that the oldest ends."""


class Session(Answer):
    """Who asks, and what they may do. name: empty where nobody has to say who they are. signed_in: whether a
    cookie says it, so that there is something to sign out of.
    """

    name: str
    admin: bool
    groups: list[str]
    signed_in: bool


class Sessions:
    """The open sessions of one control plane. What is kept are digests of their ids."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def begin(self, credentials: str) -> str:
        """The id of a new session that asks with these credentials."""
        identity = secrets.token_urlsafe(32)
        self._open[_digest(identity)] = credentials, self._clock() + LIFETIME
        while len(self._open) > MOST:
            self._open.popitem(last=False)
        return identity

    def credentials(self, identity: str) -> str | None:
        """What a session asks with; None if it has ended."""
        credentials, until = self._open.get(_digest(identity), (None, 0.0))
        if credentials is not None and self._clock() >= until:
            self.end(identity)
            return None
        return credentials

    def end(self, identity: str) -> None:
        """End a session, if there is one."""
        self._open.pop(_digest(identity), None)


def _digest(identity: str) -> bytes:
    return hashlib.sha256(identity.encode("utf-8", "replace")).digest()


def cookie_name(host: str) -> str:
    """The name of the cookie. It has the port, because cookies of one host are sent to all of its ports."""
    port = urlsplit(f"//{host}").netloc.rpartition("]")[2].rpartition(":")[2]
    return f"laneway-session-{port}" if port.isdigit() else "laneway-session"


def session_of(headers: Mapping[str, str]) -> str | None:
    """The id of the session in a request of this server's own page; None in every other request.

    A page of another origin on the same site has the cookie, too, but its requests say where they come from.
    """
    host = headers.get("host", "")
    if headers.get("sec-fetch-site", "same-origin").lower() not in ("same-origin", "none"):
        return None
    origin = headers.get("origin")
    if origin is not None and origin.lower().rpartition("://")[2] != host.lower():
        return None
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(cookie_name(host))
    except CookieError:
        return None
    return found.value if found is not None and found.value else None
