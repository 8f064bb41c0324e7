"""Pages of other origins in a real browser: what they may ask of the admin API, and what they may not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.served import Served, served
from tests.console.conftest import WAIT_MS
from tests.console.test_session import tokens

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.console
ROOT = {"Authorization": "Bearer secret-of-root"}
GATEWAY = '{"listeners": [{"port": 8080}]}'
ASK = """async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return [answer.status, await answer.text(), answer.headers.get("ETag")];
  } catch (error) {
    return [0, String(error), null];
  }
}"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page of somebody else</title>")

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The origin of a page that is not Laneway's, on the same machine."""
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(WAIT_MS)
    made = context.new_page()
    made.goto(site)
    yield made
    context.close()


def ask(page: Page, control: Served, path: str, **options: Any) -> tuple[int, str, str | None]:
    """Status, body and tag as the page sees them; 0 where the browser shows it nothing."""
    return tuple(page.evaluate(ASK, [f"http://127.0.0.1:{control.admin}{path}", options]))


def created(control: Served) -> bool:
    return control.http.get("/v1/gateways/edge", headers=ROOT).status_code == 200


def test_a_page_of_another_origin_reads_and_changes_nothing(page: Page, tmp_path: Path) -> None:
    """Not even one that knows a token; nor a form, which browsers send without asking."""
    with served(tmp_path, "--admin-tokens", str(tokens(tmp_path, "root"))) as control:
        for headers in ({}, ROOT):
            assert ask(page, control, "/v1/gateways", headers=headers)[0] == 0
            assert ask(page, control, "/healthz", headers=headers)[0] == 0
        changes = {"Content-Type": "application/json", **ROOT}
        assert ask(page, control, "/v1/gateways/edge", method="PUT", headers=changes, body=GATEWAY)[0] == 0
        simple = {"method": "POST", "headers": {"Content-Type": "text/plain"}, "mode": "no-cors"}
        ask(page, control, "/v1/apply", body=f"kind: Gateway\nname: edge\n{GATEWAY[1:-1]}", **simple)
        assert not created(control)


def test_an_origin_that_is_listed_may_call_with_a_token(page: Page, site: str, tmp_path: Path) -> None:
    with served(
        tmp_path, "--admin-tokens", str(tokens(tmp_path, "root")), LANEWAY_ADMIN_CORS_ORIGINS=site
    ) as control:
        assert ask(page, control, "/v1/gateways")[0] == 401, "CORS is no authentication"
        changes = {"Content-Type": "application/json", **ROOT}
        status, _, tag = ask(page, control, "/v1/gateways/edge", method="PUT", headers=changes, body=GATEWAY)
        assert status == 201
        assert tag
        assert created(control)
        matching = {**ROOT, "If-Match": tag}
        assert ask(page, control, "/v1/gateways/edge", method="DELETE", headers=matching)[0] == 204


def test_one_that_is_not_listed_gets_nothing_beside_one_that_is(page: Page, tmp_path: Path) -> None:
    with served(
        tmp_path, "--admin-tokens", str(tokens(tmp_path, "root")),
        LANEWAY_ADMIN_CORS_ORIGINS="https://console.example",
    ) as control:  # fmt: skip
        assert ask(page, control, "/v1/gateways", headers=ROOT)[0] == 0
        changes = {"Content-Type": "application/json", **ROOT}
        assert ask(page, control, "/v1/gateways/edge", method="PUT", headers=changes, body=GATEWAY)[0] == 0
        assert not created(control)
