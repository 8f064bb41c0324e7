"""The demo service is an ordinary web service, and its agent carries context on for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from controlplane.cli import demo_mesh
from tests.cli.ports import free_port, wait_for

DEMO_APPS = Path(__file__).parents[2] / "demo-apps"
SOURCE = DEMO_APPS / "service.py"
FORBIDDEN = ("lane", "gray", "grey", "canary", "baggage", "tag", "x-")


@pytest.mark.parametrize("name", ["service.py", "registry.py"])
def test_the_source_has_no_word_of_lanes(name: str):
    text = (DEMO_APPS / name).read_text().lower()
    assert [word for word in FORBIDDEN if word in text] == []


def test_there_is_nothing_else_in_the_directory_that_could_know_lanes():
    code = {path.name for path in DEMO_APPS.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    known = {"service.py", "registry.py", "requirements.txt", "requirements.lock", "build.lock", "Dockerfile"}
    assert code <= known


@pytest.mark.parametrize("line", (DEMO_APPS / "requirements.txt").read_text().splitlines())
def test_requirements_are_exact(line: str):
    assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==\S+", line)


class Next(BaseHTTPRequestHandler):
    """The next service: keeps what it was sent, and answers `C`."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        seen: list = self.server.seen  # pyright: ignore[reportAttributeAccessIssue]
        seen.append((self.command, self.path, dict(self.headers), body))
        self.send_response(200)
        self.send_header("content-length", "1")
        self.end_headers()
        self.wfile.write(b"C")

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@contextmanager
def next_service() -> Iterator[tuple[int, list]]:
    """Port of a `Next`, and what it has seen."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Next)
    server.seen = []  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, server.seen  # pyright: ignore[reportAttributeAccessIssue]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def service(**environment: str) -> Iterator[str]:
    """URL of the demo service in a process of its own, under the agent, as the demo starts it."""
    port = free_port()
    pod = demo_mesh.Pod("A", "gray", "127.0.0.1", config="base")
    inherited = {
        name: value
        for name, value in demo_mesh.application_environment(pod).items()
        if name.lower() != "http_proxy"
    }
    process = subprocess.Popen(
        demo_mesh.application_command(SOURCE),
        env=inherited | {"PORT": str(port), "APP_NEXT": ""} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: httpx.get(f"{url}/healthz", trust_env=False).text == "ok", process)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_the_end_of_a_chain_names_itself():
    with service() as url:
        assert httpx.get(f"{url}/a", trust_env=False).text == "Agray[127.0.0.1][config=base]"


def test_context_travels_to_the_next_service_through_the_proxy():
    with (
        next_service() as (port, seen),
        service(
            APP_NEXT="http://sc-B/b",
            HTTP_PROXY=f"http://127.0.0.1:{port}",
            http_proxy=f"http://127.0.0.1:{port}",
        ) as url,
    ):
        sent = {"baggage": "lane=gray,user=ann", "x-lane": "gray"}
        answers = [
            httpx.get(f"{url}/a", headers=sent, trust_env=False),
            httpx.post(f"{url}/a", headers=sent, content=b"hello", trust_env=False),
        ]
    assert [answer.text for answer in answers] == ["Agray[127.0.0.1][config=base] -> C"] * 2
    # The client writes host names in small letters, as RFC 3986 allows.
    assert [(method, path, body) for method, path, _, body in seen] == [
        ("GET", "http://sc-b/b", b""),
        ("POST", "http://sc-b/b", b"hello"),
    ]
    for _, _, headers, _ in seen:
        members = {member.strip() for member in headers["baggage"].split(",")}
        assert members == {"lane=gray", "user=ann"}
        assert "traceparent" in headers
        assert "x-lane" not in headers  # an ordinary application hands on no header that it does not know


def test_an_unreachable_next_service_is_an_error():
    with service(APP_NEXT=f"http://127.0.0.1:{free_port()}/b") as url:
        assert httpx.get(f"{url}/a", trust_env=False).status_code == 502


def test_the_agent_is_beside_this_python():
    assert os.access(demo_mesh.application_command(SOURCE)[0], os.X_OK), sys.executable
