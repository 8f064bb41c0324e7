"""Sessions of the console: a cookie in place of a token, for this server's own pages alone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from controlplane.admin import sessions
from controlplane.admin.app import AdminSettings, create_app
from controlplane.admin.console import BUILT
from controlplane.auth.rights import Rights
from controlplane.auth.tokens import Token, Tokens, digest_of
from tests.admin.conftest import SmallControl, problem

VIEWER = {"authorization": "Bearer secret-of-viewer"}


@pytest.fixture
async def tokens() -> Tokens:
    admin = Token("root", digest_of("secret-of-root"), Rights(admin=True))
    return Tokens.of([admin, Token("viewer", digest_of("secret-of-viewer"), Rights())])


@pytest.fixture
async def browser(control: SmallControl, tokens: Tokens) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies."""
    app = create_app(control, AdminSettings(tokens=tokens))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost:18080"
    ) as one:
        yield one


async def test_a_token_is_exchanged_for_a_cookie(browser: httpx.AsyncClient) -> None:
    problem(await browser.get("/v1/lanes"), 401)
    problem(await browser.post("/v1/session", headers={"authorization": "Bearer wrong-token"}), 401)
    begun = await browser.post("/v1/session", headers=VIEWER)
    assert begun.json() == {"name": "viewer", "admin": False, "groups": [], "signed_in": True}
    cookie = begun.headers["set-cookie"]
    assert cookie.startswith("laneway-session-18080=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "secret" not in cookie
    assert (await browser.get("/v1/lanes")).status_code == 200
    assert (await browser.get("/v1/session")).json()["name"] == "viewer"
    problem(await browser.put("/v1/gateways/edge", json={"listeners": [{"port": 80}]}), 403)


async def test_over_tls_the_cookie_stays_on_tls(control: SmallControl, tokens: Tokens) -> None:
    app = create_app(control, AdminSettings(tokens=tokens))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://localhost") as one:
        assert "; Secure" in (await one.post("/v1/session", headers=VIEWER)).headers["set-cookie"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:9999"},
        {"origin": "null"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
    ],
)
async def test_pages_of_other_origins_have_no_session(
    browser: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await browser.post("/v1/session", headers={"authorization": "Bearer secret-of-root"})
    problem(await browser.get("/v1/lanes", headers=headers), 401)
    problem(await browser.delete("/v1/gateways/edge", headers=headers), 403)


async def test_it_ends(browser: httpx.AsyncClient, tokens: Tokens) -> None:
    kept = (await browser.post("/v1/session", headers=VIEWER)).headers["set-cookie"].split(";")[0]
    assert (await browser.delete("/v1/session")).status_code == 204
    assert not browser.cookies
    body = problem(await browser.get("/v1/lanes", headers={"cookie": kept}), 401)
    assert "has ended" in body["detail"]
    await browser.post("/v1/session", headers=VIEWER)
    tokens._tokens = ()
    problem(await browser.get("/v1/lanes"), 401)


def test_old_ones_end() -> None:
    now = 0.0
    kept = sessions.Sessions(lambda: now)
    first = kept.begin("a")
    now = sessions.LIFETIME
    assert kept.credentials(first) is None
    first = kept.begin("a")
    others = [kept.begin("b") for _ in range(sessions.MOST)]
    assert kept.credentials(first) is None
    assert {kept.credentials(one) for one in others} == {"b"}


async def test_without_tokens_nobody_signs_in(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/session")
    assert answer.json() == {"name": "", "admin": True, "groups": [], "signed_in": False}
    assert "set-cookie" not in answer.headers


async def test_the_page_and_its_files_need_no_token(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/")
    assert page.headers["cache-control"] == "no-store"
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert "unsafe" not in page.headers["content-security-policy"]
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    (nonce,) = re.findall("'nonce-(.+)'", policy["style-src"])
    assert f'nonce="{nonce}"' in page.text
    assert (await browser.get("/")).headers["content-security-policy"] != str(policy)
    loaded = re.findall(r'(?:src|href)="(/[^"]*)"', page.text)
    assert len(loaded) >= 2
    for path in loaded:
        file = await browser.get(path)
        assert file.status_code == 200
        assert file.headers["content-encoding"] == "gzip"
        assert "immutable" in file.headers["cache-control"]
    plain = await browser.get(loaded[0], headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for wrong in ("/assets/nothing.js", "/assets/..%2findex.html", "/assets/licenses.txt"):
        assert (await browser.get(wrong)).status_code == 404, wrong


def test_no_file_loads_anything_from_elsewhere() -> None:
    page = (BUILT / "index.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)
