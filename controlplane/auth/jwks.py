"""Keys of an issuer, from a file or by HTTPS, taken again when they change."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import structlog

from controlplane.auth.oidc import Issuer
from controlplane.net.client_tls import ClientTls

log = structlog.get_logger(__name__)

LOOK = 1.0
"""Seconds between two looks at the file, or at whether a JWT named an unknown key."""
EVERY = 300.0
"""Seconds after which keys are fetched again."""
LEAST = 10.0
"""Seconds between two fetches, whatever JWTs name and however they fail."""
TIMEOUT = 5.0
LARGEST = 256 << 10  # bytes of a key set


def check_place(place: str) -> None:
    """Raises ValueError for a URL that others on the way could answer."""
    parts = urlsplit(place)
    if "://" in place and "@" in parts.netloc:
        raise ValueError("a URL of keys has no user or password: keys are public, and the URL is shown")
    local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    if "://" in place and not local and (parts.scheme != "https" or not parts.hostname):
        raise ValueError(f"{place!r} is not a file or a URL that begins with https://")


class Keys:
    """Follows the key set of `issuer` at `place`, a path or a URL. ca: of its HTTPS server, read again when
    it changes; None: those of the system.

    counters: how often the keys were taken or could not be, since the start.
    """

    def __init__(self, issuer: Issuer, place: str, ca: Path | None, counters: Counter[str]) -> None:
        """Raises OSError and ValueError where a file cannot be used."""
        check_place(place)
        self._issuer = issuer
        self._place = place
        self._counters = counters
        self._said = ""
        self._seen: object = None
        self._tls = ClientTls(ca)
        if "://" not in place:
            self._seen = _signature(Path(place))
            issuer.use(Path(place).read_bytes())

    async def follow(self) -> None:
        """Keep the keys current, until cancelled. The former ones stay while new ones cannot be had."""
        if "://" not in self._place:
            await self._follow_file(Path(self._place))
        tried = float("-inf")
        while True:
            wait = LEAST if self._issuer.unknown_key or self._said else EVERY
            if time.monotonic() - tried >= wait:
                tried = time.monotonic()
                await self._fetch()
            await asyncio.sleep(LOOK)

    async def _follow_file(self, path: Path) -> None:
        while True:
            await asyncio.sleep(LOOK)
            seen = _signature(path)
            if seen != self._seen:
                self._seen = seen
                try:
                    self._take(await asyncio.to_thread(path.read_bytes))
                except OSError as error:
                    self._failed(f"cannot read it: {error.strerror}")

    async def _fetch(self) -> None:
        context = await asyncio.to_thread(self._tls.context)
        try:
            async with (
                httpx.AsyncClient(verify=context, trust_env=False, timeout=TIMEOUT) as http,
                http.stream("GET", self._place) as answer,
            ):
                if answer.status_code != 200:
                    self._failed(f"it answers {answer.status_code}")
                    return
                data = bytearray()
                async for part in answer.aiter_bytes():
                    data += part
                    if len(data) > LARGEST:
                        self._failed(f"it is larger than {LARGEST} bytes")
                        return
        except (httpx.HTTPError, OSError) as error:
            self._failed(f"{type(error).__name__}: {error}")
            return
        self._take(bytes(data))

    def _take(self, data: bytes) -> None:
        try:
            number = self._issuer.use(data)
        except ValueError as error:
            self._failed(str(error))
            return
        self._counters["oidc_reloaded"] += 1
        if self._said or self._counters["oidc_reloaded"] == 1:
            log.info("the keys of the issuer were read", place=self._place, keys=number)
        self._said = ""

    def _failed(self, reason: str) -> None:
        self._counters["oidc_failed"] += 1
        if reason != self._said:
            self._said = reason
            log.error(
                "the keys of the issuer cannot be read; the former ones stay",
                place=self._place,
                reason=reason,
            )


def _signature(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_ino, status.st_size, status.st_mtime_ns
