"""What releases ask of others: where they may, how long they wait, and what an answer means."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from controlplane.callouts import client
from controlplane.callouts.answers import Answer, of_hook, of_query, value_in
from controlplane.callouts.client import Callouts
from controlplane.model.releases import Check, Hook
from controlplane.model.urls import place_of, within
from tests.callouts.server import Asked, serving
from tests.trust import Authority

HOOK = Hook(name="smoke", when="before", url="http://a.test/smoke")


def query(**more: Any) -> Check:
    given = {"measure": "query", "prometheus": "http://a.test", "query": "up", "max": 5, **more}
    return Check.model_validate(given)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a.test/",
        "http://",
        "http:///etc/passwd",
        "http://user@a.test/",
        "http://user:word@a.test/",
        "http://a.test#@b.test/",
        "http://a.test\\@b.test/",
        "http://a.test:0/",
        "http://a.test:99999/",
        "http://a.test/ok/../admin",
        "http://a.test/./x",
        "http://a.test/%2e%2e/x",
        "http://a.test/x y",
        "http://a.test/x\r\nhost: b.test",
        "http://ä.test/",
        "http://a.test./",
        "http://[::1/",
        "HTTP://a.test/",
        "file:///etc/passwd",
        "http://a.test/" + "x" * 1000,
    ],
)
def test_urls_that_two_readers_might_read_differently_are_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not|has"):
        place_of(url)


@pytest.mark.parametrize(
    ("url", "allowed", "may"),
    [
        ("http://a.test/x", "http://a.test", True),
        ("http://A.test/x?y=http://b.test/", "http://a.test:80/", True),
        ("https://a.test:443/x", "https://a.test/x", True),
        ("https://a.test/x/y", "https://a.test/x/", True),
        ("http://[::1]:9090/api", "http://[::1]:9090/", True),
        ("https://a.test/xy", "https://a.test/x", False),
        ("https://a.test/", "https://a.test/x", False),
        ("http://a.test/", "https://a.test/", False),
        ("http://a.test:81/", "http://a.test/", False),
        ("http://a.test.evil.test/", "http://a.test/", False),
        ("http://b.a.test/", "http://a.test/", False),
    ],
)
def test_what_is_below_an_allowed_url(url: str, allowed: str, may: bool) -> None:
    assert within(url, allowed) is may


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "passed"),
        (204, "passed"),
        (400, "failed"),
        (403, "failed"),
        (404, "failed"),
        (302, "not enough data"),
        (408, "not enough data"),
        (425, "not enough data"),
        (429, "not enough data"),
        (500, "not enough data"),
        (503, "not enough data"),
    ],
)
def test_what_a_hook_means(status: int, verdict: str) -> None:
    found = of_hook(HOOK, Answer(status, b"smoke\x1b[31m \n test"))
    assert (found.verdict, found.check) == (verdict, "hook smoke")
    assert found.note == f"it answered {status}: smoke\\x1b[31m test"
    assert of_hook(HOOK, Answer(failed="no answer")).verdict == "not enough data"


def vector(*values: Any) -> dict[str, Any]:
    return {"resultType": "vector", "result": [{"metric": {}, "value": [1.0, value]} for value in values]}


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (vector("0.5"), 0.5),
        ({"resultType": "scalar", "result": [1.0, "7"]}, 7.0),
        (vector(), "it gives no series"),
        (vector("1", "2"), "it gives 2 series, not one"),
        (vector("NaN"), "it gives no number"),
        (vector("+Inf"), "it gives no number"),
        (vector(3), "it gives no number"),
        ({"resultType": "scalar", "result": [1.0]}, "it gives no number"),
        ({"resultType": "vector", "result": [7]}, "it gives no number"),
        ({"resultType": "matrix", "result": []}, "it gives a matrix, not one value"),
        ({"resultType": "string", "result": [1.0, "7"]}, "it gives a string, not one value"),
        ([], "it gives a None, not one value"),
    ],
)
def test_one_value_or_none(data: Any, found: Any) -> None:
    assert value_in(Answer(200, json.dumps({"status": "success", "data": data}).encode())) == found


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"[]", b'"x"'])
def test_what_is_no_answer_of_prometheus(body: bytes) -> None:
    assert value_in(Answer(502, body)) == "it answered 502 without JSON"


@pytest.mark.parametrize(
    ("value", "check", "verdict", "note"),
    [
        ("5", query(), "passed", "it is 5"),
        ("5.1", query(), "failed", "it is 5.1, more than 5"),
        ("0.9", query(min=1), "failed", "it is 0.9, less than 1"),
        ("NaN", query(), "not enough data", "it gives no number"),
    ],
)
def test_what_a_query_means(value: str, check: Check, verdict: str, note: str) -> None:
    body = json.dumps({"status": "success", "data": vector(value)}).encode()
    found = of_query(check, Answer(200, body))
    assert (found.verdict, found.note, found.check) == (verdict, note, "query up")


async def test_nothing_is_sent_where_it_is_not_allowed() -> None:
    with serving() as server:
        callouts = Callouts([f"{server.url}/hooks"])
        answer = await callouts.post(f"{server.url}/other", {}, "1", 5)
        assert "is not allowed: an administrator has to add it to --release-urls" in answer.failed
        assert "is not allowed" in (await Callouts().query(server.url, "up")).failed
        assert server.asked == []
        assert (await callouts.post(f"{server.url}/hooks/a?b=c", {"x": 1}, "1", 20)).status == 200
        asked = server.asked[0]
        assert (asked.path, asked.json, asked.headers["x-laneway-delivery"]) == (
            "/hooks/a?b=c",
            {"x": 1},
            "1",
        )
        assert callouts.counters == {"refused": 1, "answered": 1}


async def test_a_redirect_is_not_followed() -> None:
    with serving() as inside, serving(lambda asked: (307, b"")) as server:
        server.headers["location"] = f"{inside.url}/secret"
        found = of_hook(HOOK, await Callouts([server.url]).post(server.url, {}, "1", 20))
        assert (found.verdict, found.note) == ("not enough data", "it answered 307")
        assert inside.asked == []


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy, serving() as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        assert (await Callouts([server.url]).post(server.url, {}, "1", 20)).status == 200
        assert proxy.asked == []


async def test_time_and_answer_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    try:
        with serving(lambda asked: ((over.wait(30) and 200) or 200, b"")) as server:
            began = time.monotonic()
            answer = await Callouts([server.url]).post(server.url, {}, "1", 0.2)
            assert answer.failed == "no answer within 0.2 s"
            assert time.monotonic() - began < 20
            over.set()
            server.answer = lambda asked: (200, b"x" * (client.LARGEST_WORD + 1))
            assert len((await Callouts([server.url]).post(server.url, {}, "1", 20)).body) == 4096
            server.answer = lambda asked: (200, b"x" * (client.LARGEST_VALUE + 1))
            assert "is larger than" in (await Callouts([server.url]).query(server.url, "up")).failed
            server.headers["content-encoding"] = "gzip"
            server.answer = lambda asked: (200, b"x")
            assert "not asked for" in (await Callouts([server.url]).query(server.url, "up")).failed
    finally:
        over.set()


async def test_a_ca_that_is_replaced_is_taken(tmp_path: Path) -> None:
    tls = Authority(tmp_path).context()
    with serving(tls=tls) as server:
        callouts = Callouts([server.url], tmp_path / "ca.pem")
        assert (await callouts.post(server.url, {}, "1", 20)).status == 200
        Authority(tmp_path).load(tls)
        assert (await callouts.post(server.url, {}, "2", 20)).status == 200
        (tmp_path / "other").mkdir()
        Authority(tmp_path / "other").load(tls)
        assert "certificate" in (await callouts.post(server.url, {}, "3", 20)).failed
        assert [one.headers["x-laneway-delivery"] for one in server.asked] == ["1", "2"]


async def test_nobody_there() -> None:
    with serving() as server:
        url = server.url
    answer = await Callouts([url]).query(url, "up")
    assert answer.failed.startswith("no answer: ")


async def test_a_query_is_one_of_prometheus() -> None:
    def answer(asked: Asked) -> tuple[int, bytes]:
        return 200, json.dumps({"status": "success", "data": vector("3")}).encode()

    with serving(answer) as server:
        callouts = Callouts([server.url])
        found = of_query(query(), await callouts.query(f"{server.url}/prom/", 'sum(up{a="b c"})'))
        assert (found.verdict, found.value) == ("passed", 3)
        asked = server.asked[0]
        assert asked.path == "/prom/api/v1/query"
        assert asked.body == b"query=sum%28up%7Ba%3D%22b+c%22%7D%29&timeout=10s"
