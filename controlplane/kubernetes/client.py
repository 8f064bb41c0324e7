"""Requests to one API server: lists in pages, and watches as lines of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncGenerator, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import httpx

from controlplane.kubernetes.access import Access
from controlplane.kubernetes.errors import KubernetesError, refusal
from controlplane.net.keepalive import KEEPALIVE

ANSWER_WITHIN = 5.0
"""Seconds that the API server may take to accept a connection, or to send the next bytes of a list."""

WATCH_FOR = 30.0
"""Seconds after which the API server ends a watch, and the next one begins where it ended.

That bounds for how long a connection that broke without a word goes unnoticed. Shortly before the end the
server sends a bookmark, so that the next watch can resume.
"""

PAGE = 250
"""Objects of one page of a list. Reading a page of pods takes some 10 ms, in which nothing else happens."""

LARGEST_EVENT = 8 << 20
"""Bytes of one event. etcd takes objects up to 1.5 MiB."""

Json = dict[str, Any]


class Client:
    """An HTTP client of one API server. `close` it. Every method raises KubernetesError."""

    def __init__(self, access: Access, watch_for: float = WATCH_FOR) -> None:
        self._access = access
        self.watch_for = watch_for
        self.server = access.server
        self._closed = False
        self._under_way: set[asyncio.Timeout] = set()
        self._http = httpx.AsyncClient(
            base_url=access.server,
            transport=httpx.AsyncHTTPTransport(
                verify=access.tls(),
                proxy=access.proxy or None,
                socket_options=list(KEEPALIVE),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
            ),
            timeout=ANSWER_WITHIN,
            headers={"User-Agent": "laneway", "Accept": "application/json"},
        )

    async def close(self) -> None:
        """Requests under way fail."""
        self._closed = True
        for scope in list(self._under_way):
            scope.reschedule(0.0)
        for _ in range(1000):  # each of them ends at once
            if not self._under_way:
                break
            await asyncio.sleep(0.001)
        await self._http.aclose()

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """As httpx, which must not be closed while it connects."""
        given_up = KubernetesError(f"the connection was given up ({method} {path})", self.server)
        if self._closed:
            raise given_up
        try:
            async with asyncio.timeout(None) as scope:
                self._under_way.add(scope)
                try:
                    return await self._http.request(method, path, **more)
                finally:
                    self._under_way.discard(scope)
        except TimeoutError:
            raise given_up from None

    async def get(self, path: str, parameters: Mapping[str, str] | None = None, within: float = 10.0) -> Json:
        """The answer to one request. within: seconds without a byte of it after which it has failed."""
        with self._errors(path):
            answer = await self._send(
                "GET",
                path,
                params=dict(parameters or {}),
                headers=self._access.headers(),
                timeout=within,
                extensions=self._extensions(),
            )
            if answer.status_code != HTTPStatus.OK:
                raise refusal(self.server, answer.status_code, path, _message(answer.content))
            return _object(answer.content)

    async def change(
        self,
        method: str,
        path: str,
        body: Json | list[Json],
        kind: str = "application/json",
        within: float = 10.0,
    ) -> Json:
        """The object that the API server has after a POST, PUT or PATCH; `kind` is the type of the body."""
        with self._errors(path, method):
            answer = await self._send(
                method,
                path,
                content=json.dumps(body).encode(),
                headers={**self._access.headers(), "Content-Type": kind},
                timeout=within,
                extensions=self._extensions(),
            )
            if not answer.is_success:
                raise refusal(self.server, answer.status_code, path, _message(answer.content), method)
            return _object(answer.content)

    async def ready(self, within: float) -> None:
        """Return if the server says that it is ready. Raises KubernetesError; Forbidden if it may not say."""
        path = "/readyz"
        with self._errors(path):
            answer = await self._http.get(
                path, headers=self._access.headers(), timeout=within, extensions=self._extensions()
            )
        if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
            raise KubernetesError("the API server is not ready", self.server, "wait", answer.status_code)
        if answer.status_code != HTTPStatus.OK:
            raise refusal(self.server, answer.status_code, path, _message(answer.content))

    async def pages(self, path: str, parameters: Mapping[str, str]) -> AsyncGenerator[Json, None]:
        """The pages of a list, all of one version of the collection."""
        asked = {**parameters, "limit": str(PAGE)}
        while True:
            page = await self.get(path, asked)
            yield page
            more: str = page["metadata"].get("continue") or ""
            if not more:
                return
            asked["continue"] = more

    async def watch(
        self, path: str, version: str, parameters: Mapping[str, str]
    ) -> AsyncGenerator[Json, None]:
        """The events after `version`, bookmarks among them, until the server ends the watch."""
        seconds = max(1, round(self.watch_for * random.uniform(0.8, 1.0)))
        asked = {
            **parameters,
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        timeout = httpx.Timeout(ANSWER_WITHIN, read=self.watch_for + ANSWER_WITHIN)
        with self._errors(path):
            async with self._http.stream(
                "GET",
                path,
                params=asked,
                headers=self._access.headers(),
                timeout=timeout,
                extensions=self._extensions(),
            ) as answer:
                if answer.status_code != HTTPStatus.OK:
                    raise refusal(self.server, answer.status_code, path, _message(await answer.aread()))
                async for line in self._lines(answer):
                    yield _object(line)

    async def _lines(self, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
        parts: list[bytes] = []
        waiting = 0
        async for chunk in answer.aiter_bytes():
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                whole = b"".join((*parts, line)) if parts else line
                parts, waiting = [], 0
                if whole:
                    yield whole
            if rest:
                parts.append(rest)
                waiting += len(rest)
                if waiting > LARGEST_EVENT:
                    raise KubernetesError(f"an event has more than {LARGEST_EVENT} bytes", self.server)

    def _extensions(self) -> dict[str, Any]:
        return {"sni_hostname": self._access.tls_name} if self._access.tls_name else {}

    @contextlib.contextmanager
    def _errors(self, path: str, method: str = "GET") -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            kind = "accept a connection" if isinstance(error, httpx.ConnectTimeout) else "answer"
            raise KubernetesError(
                f"the API server does not {kind} in time ({method} {path})",
                self.server,
                "look at the server and the network",
            ) from error
        except httpx.ConnectError as error:
            raise KubernetesError(
                f"no connection to the API server: {error}",
                self.server,
                "check the address, and that this machine trusts its certificate",
            ) from error
        except httpx.HTTPError as error:
            raise KubernetesError(
                f"the connection broke ({method} {path}): {error!r}", self.server
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise KubernetesError(
                f"the answer to {method} {path} is not of Kubernetes: {error!r}",
                self.server,
                "check the address",
            ) from error


def _object(text: bytes) -> Json:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it is not an object")
    return found


def _message(text: bytes) -> str:
    """The message of a Status object, or ""."""
    try:
        return str(_object(text).get("message") or "")[:500]
    except ValueError:
        return ""
