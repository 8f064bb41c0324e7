"""A real mesh, a real Chromium that obeys the page's policy, and what every page must hold."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests import require
from tests.cli import run
from tests.cli.ports import free_port, loopback_network

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_MS = 30_000
"""How long a page may take to show something, in milliseconds; it takes some hundred on an idle machine."""
FLOW = "/v1/lane-groups/order-flow"
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass(frozen=True)
class Mesh:
    """A running demo. admin, edge: base URLs."""

    admin: str
    edge: str
    http: httpx.Client

    def put(self, path: str, document: dict[str, Any]) -> None:
        answer = self.http.put(self.admin + path, json=document)
        assert answer.status_code < 300, answer.text

    def get(self, path: str) -> dict[str, Any]:
        """What the control plane answers."""
        return self.http.get(self.admin + path).json()

    def ask(self, **headers: str) -> str:
        """What the applications answer to a request at the edge."""
        return self.http.get(f"{self.edge}/a", headers=headers).text


@contextmanager
def demo(*arguments: str) -> Iterator[Mesh]:
    """`laneway demo` on ports and addresses of its own."""
    ports = {name: free_port() for name in ("edge", "edge-admin", "admin", "xds")}
    command = [run.LANEWAY, "demo", "--network", loopback_network()]
    command += [f"--{name}-port={port}" for name, port in ports.items()]
    command += arguments
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=run.environment()
    )
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "stays until Ctrl-C" in line:
                break
        else:
            pytest.fail(said)
        with httpx.Client(trust_env=False, timeout=30) as http:
            yield Mesh(f"http://127.0.0.1:{ports['admin']}", f"http://127.0.0.1:{ports['edge']}", http)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="session")
def mesh() -> Iterator[Mesh]:
    with demo() as one:
        yield one


@pytest.fixture
def without_lanes(mesh: Mesh) -> Iterator[Mesh]:
    """The mesh without its lane, which is there again afterwards."""
    before = mesh.get(f"{FLOW}/lanes/gray")
    mesh.http.delete(f"{mesh.admin}{FLOW}/lanes/gray")
    yield mesh
    mesh.http.post(f"{mesh.admin}{FLOW}/rollback")
    for release in mesh.get("/v1/releases")["items"]:
        mesh.http.post(f"{mesh.admin}{FLOW}/releases/{release['name']}/abort")
        mesh.http.delete(f"{mesh.admin}{FLOW}/releases/{release['name']}")
    for freeze in mesh.get("/v1/freezes")["items"]:
        mesh.http.delete(f"{mesh.admin}/v1/freezes/{freeze['name']}")
    for lane in mesh.get("/v1/lanes")["items"]:
        mesh.http.delete(f"{mesh.admin}/v1/lane-groups/{lane['group']}/lanes/{lane['name']}")
    for group in mesh.get("/v1/lane-groups")["items"]:
        if group["name"] != "order-flow":
            mesh.http.delete(f"{mesh.admin}/v1/lane-groups/{group['name']}")
    mesh.put(f"{FLOW}/lanes/gray", {key: value for key, value in before.items() if key != "status"})


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        require.lacking("chromium", "needs Chromium (Debian: chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield one
        one.close()


Opened = Callable[..., "Page"]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Opens a page in a browser profile of its own. What its console complains of fails the test."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def complain(text: str) -> None:
        # A refused request is told by the browser, too; the page says it to its user.
        if not re.search(r"Failed to load resource|ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY", text):
            complaints.append(text)

    def open_page(url: str, width: int = 1280, scheme: str = "light", **more: Any) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, locale="en-GB", **more
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("console", lambda said: complain(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complain(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def accessible(page: Page) -> None:
    """Axe finds nothing in what the page shows now."""
    page.evaluate((ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js").read_text())
    # What fades in has not its own contrast yet.
    page.evaluate("Promise.all(document.getAnimations().map(one => one.finished.catch(() => null)))")
    found = page.evaluate(
        "rules => axe.run(document, {runOnly: rules}).then(found => found.violations.map("
        "one => [one.id, one.help, one.nodes.map(node => node.html)]))",
        AXE_RULES,
    )
    assert found == []
    width, inner = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= inner, "the page is wider than the window"


def confirmed(page: Page, title: str, says: str = "", force: bool = False) -> None:
    """Do what the dialog asks about, once it says what it will do and how to do the same elsewhere."""
    dialog = page.get_by_role("dialog", name=title)
    if says:
        dialog.get_by_text(says).first.wait_for()
    dialog.get_by_text("The same as commands").wait_for()
    dialog.get_by_text("curl -X").wait_for()
    accessible(page)
    if force:
        dialog.get_by_role("button", name=title).click()
        anyway = dialog.get_by_text("Do it all the same")
        anyway.or_(page.get_by_text(f"Done: {title}")).first.wait_for()
        if anyway.count():
            anyway.click()
            dialog.get_by_text("--force").wait_for()
    if dialog.count():
        dialog.get_by_role("button", name=title).click()
    dialog.wait_for(state="hidden")
