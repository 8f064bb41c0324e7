"""The page at /docs: nothing of it comes from elsewhere, and a browser that obeys its policy shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import httpx

from controlplane.admin.app import create_app
from controlplane.admin.port import AdminServer
from tests import require
from tests.admin.conftest import SmallControl

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


async def test_nothing_comes_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(loaded) >= 4
    for path in loaded:
        assert path.startswith("/docs/") or path == "data:,", path
        if path.startswith("/"):
            file = await client.get(path)
            assert file.status_code == 200
            assert file.headers["x-content-type-options"] == "nosniff"
            assert file.headers["content-type"].split(";")[0] in ("text/css", "text/javascript")
    assert "validatorUrl: null" in (await client.get("/docs/start.js")).text
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"https?:|\*", page.headers["content-security-policy"])
    assert "<script>" not in page.text, "the policy forbids scripts in the page itself"
    assert (await client.get("/docs/../../etc/passwd")).status_code == 404
    assert (await client.get("/docs/favicon.png")).status_code == 404


async def test_every_answer_has_the_headers_of_safety(client: httpx.AsyncClient) -> None:
    for path in ("/v1/gateways", "/v1/nothing", "/healthz", "/metrics", "/openapi.json"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_real_browser_shows_it(control: SmallControl, tmp_path: Path) -> None:
    import asyncio

    if CHROMIUM is None:
        require.lacking("chromium", "needs Chromium (Debian: chromium)")
    server = AdminServer(create_app(control), "127.0.0.1", 0)
    await server.start()
    log = tmp_path / "net.json"
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--no-first-run", "--enable-logging=stderr", "--v=0",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={tmp_path / 'profile'}",
        f"--log-net-log={log}", "--virtual-time-budget=15000", "--dump-dom", f"http://{server.address}/docs",
    ]  # fmt: skip
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
        )
        out, err = await asyncio.wait_for(process.communicate(), 100)
    finally:
        await server.stop()
    dom, said = out.decode(errors="replace"), err.decode(errors="replace")
    assert "/v1/lane-groups/{group}/lanes/{lane}/enable" in re.sub(r"<[^>]+>|\u200b", "", dom)
    assert "Content Security Policy" not in said, said
    asked = set(re.findall(r'"url":"(?:https?|wss?)://([^/"]+)', log.read_text(errors="replace")))
    # What the browser asks of its makers by itself, and does not get here.
    own = (".google.com", ".googleapis.com", ".gstatic.com", ".gvt1.com")
    assert {host for host in asked if not host.endswith(own)} == {server.address}
