"""The other control planes: each counts the traffic of its own proxies, and is asked for it.

docs/decisions/0036-each-control-plane-answers-for-all.md has the reasons.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog
from pydantic import ValidationError

from controlplane.admin.exposure import is_loopback
from controlplane.admin.traffic_answers import OwnTraffic
from controlplane.net.client_tls import ClientTls
from controlplane.net.credentials import bearer
from controlplane.net.renewed_http import RenewedHttp
from controlplane.traffic.ejections import Ejected
from controlplane.traffic.exchange import Everywhere, Interest, Peer, Rows, Told
from controlplane.traffic.figures import MINUTE, Traffic, Window
from controlplane.traffic.meter import Gap
from controlplane.traffic.series import SLOT, Key

_log = structlog.get_logger("laneway.traffic")
LARGEST = 64 << 20
"""Bytes of an answer: 4,000 series in 60 steps are some 20 MB."""
PATH = "/v1/metrics/own"


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """urls: of the admin ports of all control planes, this one's own may be among them. wait: seconds for all
    of an answer. token_file: has a token for them. ca: of their certificates; None: those of the system.
    certificate, key: what is shown to them.
    """

    urls: Sequence[str] = ()
    wait: float = 1.0
    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def check_url(text: str) -> None:
    """Raises ValueError unless it is the URL of an admin port."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"{text!r} is not a URL: {error}") from None
    if url.userinfo:
        raise ValueError("a URL of a control plane holds no password: set peers_token_file")
    if url.scheme not in ("http", "https") or not url.host or url.path not in ("", "/") or url.query:
        raise ValueError(f"{text!r} is not the URL of an admin port: write https://laneway-2:18080")


def is_plain(text: str) -> bool:
    """Whether what is sent there could be read on the way."""
    url = httpx.URL(text)
    return url.scheme == "http" and not is_loopback(url.host)


class _Failed(Exception):
    """The text says why a control plane did not answer."""


class Peers:
    """Asks the others, all at once."""

    def __init__(self, settings: PeerSettings) -> None:
        """Raises OSError or ssl.SSLError if a file cannot be used."""
        self.identity = uuid.uuid4().hex
        self._settings = settings
        self._own_url = ""
        self._said: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        """Why each did not answer when it was asked last, "" if it did."""
        #: Since the start: "answered", "failed".
        self.counters: Counter[str] = Counter()
        self._http: RenewedHttp | None = None
        if settings.urls:
            tls = ClientTls(settings.ca, settings.certificate, settings.key)
            self._http = RenewedHttp(tls.context, settings.wait)
            self._token()

    @property
    def there(self) -> bool:
        """Whether there may be others."""
        return bool(self._settings.urls)

    async def everywhere(
        self, own: Traffic, connected: int, window: Window, interest: Interest
    ) -> Everywhere:
        """What all have counted in that window. Those that do not answer in time are named."""
        asked = [url for url in self._settings.urls if url != self._own_url]
        found = await asyncio.gather(*(self._ask(url, window, interest) for url in asked))
        peers: list[Peer] = []
        others: list[Told] = []
        for url, (told, problem) in zip(asked, found, strict=True):
            if url == self._own_url:
                continue
            peers.append(Peer(url, problem))
            if told is not None:
                others.append(told)
        return Everywhere(own, connected, others, peers)

    async def follow(self, own: Traffic) -> None:
        """Have `own` know what the others count in lanes, until cancelled."""
        while self.there:
            window = own.window(MINUTE, MINUTE)
            seen = await self.everywhere(own, 0, window, Interest(lanes=True))
            own.others = (window, seen.of_others())
            own.ejected_elsewhere = seen.ejected_by_others()
            await asyncio.sleep(SLOT)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def _ask(self, url: str, window: Window, interest: Interest) -> tuple[Told | None, str]:
        try:
            async with asyncio.timeout(self._settings.wait):
                raw = await self._get(url, window, interest)
            told, problem = await self._read(url, raw), ""
        except TimeoutError:
            told, problem = None, f"it did not answer within {self._settings.wait:g} s"
        except _Failed as error:
            told, problem = None, str(error)
        except (httpx.HTTPError, OSError) as error:
            told, problem = None, f"it cannot be reached: {error or type(error).__name__}"
        if url == self._own_url:
            return None, ""
        self._note(url, problem)
        return told, problem

    async def _get(self, url: str, window: Window, interest: Interest) -> bytes:
        asked: list[tuple[str, str | int | float | bool | None]] = [
            ("first", window.first),
            ("last", window.last),
            ("step", window.step),
        ]
        asked += [("application", one) for one in sorted(interest.applications)]
        asked += [("service", one) for one in sorted(interest.services)]
        asked += [("gateway", one) for one in sorted(interest.gateways)]
        if interest.lanes:
            asked.append(("lanes", "true"))
        try:
            headers = bearer(await asyncio.to_thread(self._token))
        except (OSError, ValueError) as error:
            raise _Failed(f"the file with the token cannot be used: {error}") from None
        assert self._http is not None
        http = await self._http.client()
        address = httpx.URL(url.rstrip("/") + PATH, params=asked)
        async with http.stream("GET", address, headers=headers) as answer:
            data = bytearray()
            async for part in answer.aiter_bytes():
                data += part
                if len(data) > LARGEST:
                    raise _Failed(f"its answer is larger than {LARGEST} bytes")
            if answer.status_code != httpx.codes.OK:
                raise _Failed(_refusal(answer.status_code))
        return bytes(data)

    async def _read(self, url: str, raw: bytes) -> Told | None:
        try:
            answer = await asyncio.to_thread(OwnTraffic.model_validate_json, raw)
        except ValidationError as error:
            raise _Failed(
                "its answer cannot be read, as if it were of another version: "
                f"{error.errors(include_url=False, include_input=False)[0]['msg']}"
            ) from None
        if answer.identity == self.identity:
            self._own_url = url
            return None
        return Told(
            answer.connected,
            answer.reporting,
            [Gap(one.node, one.start, one.end, one.why) for one in answer.gaps],
            [
                Rows(Key._make(one.key), one.last, [(row[0], row[1:]) for row in one.rows])  # type: ignore[arg-type]
                for one in answer.series
            ],
            {cluster: Ejected(*one) for cluster, one in answer.ejected.items()},
        )

    def _note(self, url: str, problem: str) -> None:
        self.counters["failed" if problem else "answered"] += 1
        self.problems[url] = problem
        if bool(problem) != bool(self._said.get(url, "")):
            if problem:
                _log.warning("another control plane does not say what it counts", peer=url, reason=problem)
            else:
                _log.info("another control plane says again what it counts", peer=url)
        self._said[url] = problem

    def _token(self) -> str:
        """What the file of the token has now, "" without one. Raises OSError and ValueError."""
        path = self._settings.token_file
        return path.read_text().strip() if path is not None else ""


def _refusal(status: int) -> str:
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return f"it answered {status}: set peers_token_file to a file with a token of the role viewer"
    if status == httpx.codes.MISDIRECTED_REQUEST:
        return f"it answered {status}: name this host in its --admin-hosts"
    return f"it answered {status}"
