"""Requests to the systems that releases name. Each is bounded in time, and in what is read of the answer.

Documents name the URLs, and operators of a group write documents. So nothing is sent but below a URL that an
administrator has allowed; redirects are not followed, and no proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from controlplane.callouts.answers import Answer
from controlplane.model import urls
from controlplane.net.client_tls import ClientTls

LARGEST_VALUE = 1 << 20
"""Bytes of an answer of Prometheus."""
LARGEST_WORD = 4 << 10
"""Bytes that are read of what a hook answers."""
QUERY_TIME = 10.0
AT_ONCE = 32
"""Requests at one time; others wait, within their own time."""
RESULTS = ("answered", "failed", "refused")


class Callouts:
    """allowed: URLs below which releases may send. ca: of HTTPS servers (PEM), read again when it changes;
    None: those of the system.

    counters: requests by result, `refused` for those that are not allowed.
    """

    def __init__(self, allowed: Sequence[str] = (), ca: Path | None = None) -> None:
        self._allowed = tuple(allowed)
        self._ca = ca
        self._tls: ClientTls | None = None
        self._room = asyncio.Semaphore(AT_ONCE)
        self.counters: Counter[str] = Counter()

    def refused(self, url: str) -> str:
        """Why nothing is sent to `url`; empty where it is allowed."""
        if any(urls.within(url, one) for one in self._allowed):
            return ""
        return f"{url} is not allowed: an administrator has to add it to --release-urls"

    async def query(self, prometheus: str, query: str) -> Answer:
        """An instant query."""
        url = f"{prometheus.partition('?')[0].rstrip('/')}/api/v1/query"
        content = httpx.QueryParams({"query": query, "timeout": f"{QUERY_TIME:g}s"})
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return await self._send(url, str(content).encode(), headers, QUERY_TIME, LARGEST_VALUE, whole=True)

    async def post(self, url: str, value: Mapping[str, Any], delivery: str, within: float) -> Answer:
        """A web hook. delivery: the same for every try of the same message. within: seconds."""
        headers = {"content-type": "application/json", "x-laneway-delivery": delivery}
        body = json.dumps(value, separators=(",", ":")).encode()
        return await self._send(url, body, headers, within, LARGEST_WORD, whole=False)

    async def _send(
        self, url: str, body: bytes, headers: dict[str, str], within: float, most: int, whole: bool
    ) -> Answer:
        if refused := self.refused(url):
            self.counters["refused"] += 1
            return Answer(failed=refused)
        try:
            async with asyncio.timeout(within), self._room:
                answer = await self._exchanged(url, body, headers, most, whole)
        except TimeoutError:
            answer = Answer(failed=f"no answer within {within:g} s")
        except (httpx.HTTPError, OSError, ValueError) as error:
            answer = Answer(failed=f"no answer: {error or type(error).__name__}"[:300])
        self.counters["failed" if answer.failed else "answered"] += 1
        return answer

    async def _exchanged(
        self, url: str, body: bytes, headers: dict[str, str], most: int, whole: bool
    ) -> Answer:
        if self._tls is None:
            self._tls = await asyncio.to_thread(ClientTls, self._ca)
        context = await asyncio.to_thread(self._tls.context)
        # What is compressed could be far larger than what is read.
        headers |= {"accept-encoding": "identity", "user-agent": "laneway"}
        async with (
            httpx.AsyncClient(verify=context, trust_env=False, timeout=None) as http,
            http.stream("POST", url, content=body, headers=headers) as answer,
        ):
            if answer.headers.get("content-encoding", "identity") != "identity":
                return Answer(failed="it answered in a form that was not asked for")
            data = bytearray()
            async for part in answer.aiter_raw():
                data += part
                if len(data) > most:
                    if whole:
                        return Answer(failed=f"its answer is larger than {most} bytes")
                    break
            return Answer(answer.status_code, bytes(data[:most]))
