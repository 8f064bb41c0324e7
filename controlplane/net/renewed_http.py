"""An HTTP client for calls to others, which is replaced when its TLS files are."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import httpx


class RenewedHttp:
    """context: what new connections are checked by, the same object as long as no file changes, as
    `ClientTls.context` returns it; None for calls in plain text. It may read files: it is called in a thread.
    timeout: seconds.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext | None], timeout: float) -> None:
        self._context_now = context
        self._timeout = timeout
        self._context: ssl.SSLContext | None = None
        self._http: httpx.AsyncClient | None = None
        self._former: httpx.AsyncClient | None = None

    async def client(self) -> httpx.AsyncClient:
        """By the files of now. Its predecessor is left to those who ask by it. Raises as `context` does."""
        context = await asyncio.to_thread(self._context_now)
        if self._http is None or context is not self._context:
            gone, self._former = self._former, self._http
            self._context = context
            self._http = httpx.AsyncClient(verify=context or False, trust_env=False, timeout=self._timeout)
            if gone is not None:
                await gone.aclose()
        return self._http

    async def close(self) -> None:
        """End its connections."""
        for http in (self._http, self._former):
            if http is not None:
                await http.aclose()
