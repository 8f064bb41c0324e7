"""A watch lasts no longer than the token that opened it, nor than its roles."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from prometheus_client import CollectorRegistry

from controlplane.admin import lasting
from controlplane.admin.app import AdminSettings, create_app
from controlplane.admin.port import AdminServer
from controlplane.auth.rights import Rights
from controlplane.auth.tokens import Token, Tokens, digest_of
from tests.admin.conftest import SmallControl

ANN = Token("ann", digest_of("secret-of-ann"), Rights(groups=frozenset({"order-flow"})))
BOB = Token("bob", digest_of("secret-of-bob"), Rights())
STREAMS = ["/v1/routes?watch=1", "/v1/services?watch=1", "/v1/metrics/stream"]


class Changing(Tokens):
    """Tokens of a file that is replaced."""

    def become(self, *tokens: Token) -> None:
        self._tokens = tokens


class Served:
    def __init__(self, control: SmallControl) -> None:
        tokens = Changing.of([ANN, BOB])
        assert isinstance(tokens, Changing)
        self.tokens = tokens
        self.settings = AdminSettings(metrics=CollectorRegistry(), tokens=tokens)
        app = create_app(control, self.settings)
        self.server = AdminServer(app, "127.0.0.1", 0, stopping=self.settings.stopping)


@pytest.fixture
async def served(control: SmallControl, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(lasting, "CHECK", 0.05)
    made = Served(control)
    await made.server.start()
    yield made
    await made.server.stop()


@asynccontextmanager
async def opened(
    served: Served, path: str, token: str = "secret-of-ann", headers: dict[str, str] | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """An event stream that has begun, and what waits for its end. A stream that is cut raises there."""
    headers = headers or {"authorization": f"Bearer {token}"}
    begun = asyncio.Event()
    async with (
        httpx.AsyncClient(base_url=f"http://{served.server.address}", timeout=30, trust_env=False) as client,
        client.stream("GET", path, headers=headers) as answer,
    ):
        assert answer.status_code == 200

        async def read() -> None:
            async for _ in answer.aiter_bytes():
                begun.set()

        reading = asyncio.create_task(read())
        await asyncio.wait_for(begun.wait(), 30)
        yield reading
        reading.cancel()


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize(
    "after",
    [
        pytest.param([BOB], id="revoked"),
        pytest.param([replace(ANN, expires=time.time() - 1), BOB], id="expired"),
        pytest.param([replace(ANN, rights=Rights()), BOB], id="fewer roles"),
        pytest.param([replace(ANN, digest=digest_of("another")), BOB], id="another secret"),
    ],
)
async def test_an_open_answer_ends_with_its_token(served: Served, path: str, after: list[Token]) -> None:
    async with opened(served, path) as ends, opened(served, path, "secret-of-bob") as stays:
        served.tokens.become(*after)
        await asyncio.wait_for(ends, 30)
        assert not stays.done()
    assert served.settings.counters["answers_revoked"] == 1


async def test_an_open_answer_outlives_a_file_that_is_written_anew(served: Served) -> None:
    """Also with other tokens in it, and with more than the former end."""
    async with opened(served, STREAMS[0]) as stays:
        served.tokens.become(replace(ANN, expires=time.time() + 3600))
        done, _ = await asyncio.wait({stays}, timeout=0.5)
        assert not done


@pytest.mark.parametrize("end", ["signed out", "token revoked"])
async def test_an_open_answer_ends_with_its_session(served: Served, end: str) -> None:
    """Of the page in a browser, which sends a cookie in place of its token."""
    url = f"http://{served.server.address}"
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        begun = await client.post("/v1/session", headers={"authorization": "Bearer secret-of-ann"})
        assert begun.status_code < 300
        cookie = {"cookie": begun.headers["set-cookie"].partition(";")[0]}
        async with opened(served, STREAMS[0], headers=cookie) as ends:
            if end == "signed out":
                client.cookies.clear()
                assert (await client.delete("/v1/session", headers=cookie)).status_code == 204
            else:
                served.tokens.become(BOB)
            await asyncio.wait_for(ends, 30)
