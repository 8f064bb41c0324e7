"""Explain: a pasted request, two of them compared, and a real one traced."""

from __future__ import annotations

import re
import shlex
import subprocess
from urllib.parse import quote

import pytest

from tests.console.conftest import Mesh, Opened, accessible

pytestmark = pytest.mark.console


def test_a_pasted_request_is_explained_and_compared(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/#/explain")
    request = page.get_by_role("region", name="The request", exact=True)
    request.get_by_label("Paste a curl or laneway explain line").fill(
        "curl 'http://edge:8080/a?x=1' -H 'canary: gray' -H $'x: it\\'s'"
    )
    assert request.get_by_label("Path with its query").input_value() == "/a?x=1"
    assert request.get_by_label("Headers").input_value() == "canary: gray\nx: it's"
    way = page.get_by_role("region", name="Its way", exact=True)
    way.get_by_text("lane gray").first.wait_for()
    way.get_by_text("base, by fallback").wait_for()
    way.get_by_role("row", name="gray header canary == gray gray holds").wait_for()
    page.get_by_text("laneway explain --gateway edge --path '/a?x=1'").wait_for()
    page.get_by_role("button", name="Compare with another request").click()
    other = page.get_by_role("region", name="Another request", exact=True)
    other.get_by_label("Headers").fill("canary: blue")
    page.get_by_role("row", name="Lane gray base differs").wait_for()
    page.get_by_role("row", name=re.compile("spring-cloud-a .* gray base differs")).wait_for()
    accessible(page)
    other.get_by_label("Path with its query").fill("a")
    other.get_by_text("does not start with '/'").wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark")])
def test_a_real_request_is_traced(mesh: Mesh, opened: Opened, width: int, scheme: str) -> None:
    page = opened(f"{mesh.admin}/#/explain", width=width, scheme=scheme)
    page.get_by_label("Headers").fill("canary: gray")
    page.get_by_label("Path with its query").fill("/a")
    page.get_by_role("region", name="Its way", exact=True).get_by_text("lane gray").first.wait_for()
    page.get_by_role("button", name="Start a trace").click()
    line = page.get_by_text("curl -i").inner_text()
    subprocess.run([*shlex.split(line), "--noproxy", "*"], check=True, stdout=subprocess.DEVNULL, timeout=30)
    page.get_by_text("The edge has seen it").wait_for()
    page.get_by_role("row", name=re.compile("spring-cloud-c .* gray")).first.wait_for()
    accessible(page)


def test_what_the_edge_does_besides_is_told(mesh: Mesh, opened: Opened) -> None:
    route = "/v1/gateways/edge/routes/a"
    answers = {"response": {"set": {"x-team": "orders"}}}
    changed = {"headers": answers, "retries": {"conditions": ["reset"], "tries": 3}}
    try:
        answer = mesh.http.patch(mesh.admin + route, json=changed)
        assert answer.status_code == 200, answer.text
        line = "laneway explain --gateway edge --path /a -H 'canary: gray'"
        page = opened(f"{mesh.admin}/#/explain?ask={quote(line)}")
        request = page.get_by_role("region", name="The request", exact=True)
        assert request.get_by_label("Headers").input_value() == "canary: gray"
        way = page.get_by_role("region", name="Its way", exact=True)
        way.get_by_text("It enters at port").wait_for()
        way.get_by_text("set x-team: orders").wait_for()
        way.get_by_text("Sent up to 3 times").wait_for()
        accessible(page)
        request.get_by_label("Paste a curl").fill("laneway explain --gateway edge --path /nowhere")
        way.get_by_text("no route: 404").wait_for()
    finally:
        mesh.http.patch(mesh.admin + route, json={"headers": None, "retries": None})
