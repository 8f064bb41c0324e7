"""Everything but definitions: revisions, services, proxies, explain, health, errors and tokens."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane.admin.app import AdminSettings, create_app
from controlplane.admin.exposure import check_exposure
from controlplane.admin.port import AdminServer
from controlplane.auth.rights import Rights
from controlplane.auth.tokens import Tokens, digest_of, load_tokens
from controlplane.store.interface import OutcomeUnknown, StoreUnavailable
from tests.admin.conftest import DRIFT, LANE, PROXY, SENT, SOURCE, SmallControl, problem

TOKENS = {"joe": "secret-of-joe", "ann": "secret-of-ann"}


async def test_revisions_in_pages(flow: httpx.AsyncClient) -> None:
    whole = await flow.get("/v1/revisions")
    numbers = [one["revision"] for one in whole.json()["items"]]
    assert "continue" not in whole.json()
    found: list[int] = []
    page: dict[str, str] = {}
    for _ in numbers:
        answer = (await flow.get("/v1/revisions", params={"limit": "2", **page})).json()
        found += [one["revision"] for one in answer["items"]]
        if "continue" not in answer:
            break
        await flow.delete("/v1/applications/none")  # changes nothing; newer ones would come on no page
        page = {"continue": answer["continue"]}
    assert found == numbers == sorted(numbers, reverse=True)
    problem(await flow.get("/v1/revisions?continue=x"), 422)
    tag = whole.headers["etag"]
    again = await flow.get("/v1/revisions", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    await flow.put("/v1/applications/new", json={"services": []})
    assert (await flow.get("/v1/revisions", headers={"If-None-Match": tag})).status_code == 200


async def test_revisions_and_undo(flow: httpx.AsyncClient) -> None:
    path = "/v1/lane-groups/order-flow/lanes/gray"
    await flow.put(path, json=LANE)
    newest = (await flow.get("/v1/revisions?limit=1")).json()["items"]
    assert [(one["revision"], one["what"]) for one in newest] == [(5, ["created Lane/gray"])]
    assert "+tag: gray" in newest[0]["diff"]
    tried = await flow.post("/v1/revisions/5/undo", params={"dry_run": "true"})
    problem(await flow.post("/v1/revisions/5/undo", headers={"If-Match": '"another"'}), 412)
    undone = await flow.post("/v1/revisions/5/undo", headers={"If-Match": tried.headers["ETag"]})
    assert tried.json()["changes"] == undone.json()["changes"]
    assert tried.json()["moves"]["items"]
    assert (undone.status_code, undone.json()["revision"]) == (200, 6)
    assert (await flow.get(path)).status_code == 404
    problem(await flow.post("/v1/revisions/5/undo"), 409)
    assert (await flow.post("/v1/revisions/6/undo")).status_code == 200
    assert (await flow.get(path)).status_code == 200
    for absent in ("99", "0", "x", "9" * 30):
        problem(await flow.post(f"/v1/revisions/{absent}/undo"), 404)
        problem(await flow.post(f"/v1/revisions/{absent}/undo", params={"dry_run": "true"}), 404)


async def test_services_by_canonical_id_and_suffix(client: httpx.AsyncClient) -> None:
    items = (await client.get("/v1/services")).json()["items"]
    assert [one["service"] for one in items] == [
        "file///sc-B",
        "nacos/public/DEFAULT_GROUP/sc-A",
        "nacos/public/other/sc-B",
    ]
    one = (await client.get("/v1/services/nacos/public/DEFAULT_GROUP/sc-A")).json()
    assert one == (await client.get("/v1/services/sc-A")).json()
    assert [instance["tag"] for instance in one["instances"]] == [None, "gray"]
    assert one["refused"][0]["reason"] == "the tag is empty"
    assert (await client.get("/v1/services/file///sc-B")).status_code == 200
    ambiguous = problem(await client.get("/v1/services/sc-B"), 409)["errors"][0]
    assert ambiguous["field"] == "service"
    assert ambiguous["remedy"] == "say which: file///sc-B, nacos/public/other/sc-B"
    unknown = problem(await client.get("/v1/services/sc-C"), 404)["errors"][0]
    assert (unknown["value"], unknown["remedy"][:12]) == ("sc-C", "did you mean")


async def test_an_application_definition_decides(client: httpx.AsyncClient) -> None:
    await client.put("/v1/applications/shop", json={"services": ["sc-A", "unknown"]})
    one = (await client.get("/v1/services/sc-A")).json()
    assert {instance["application"] for instance in one["instances"]} == {"shop"}


async def test_proxies(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/proxies")).json() == {"items": [PROXY, PROXY]}
    for path in ("/v1/proxies/edge/1", "/v1/proxies/edge%2F1"):
        assert (await client.get(path)).json() == {"items": [PROXY | {"drift": [DRIFT]}]}
    problem(await client.get("/v1/proxies/none"), 404)


async def test_the_configuration_of_a_proxy(client: httpx.AsyncClient) -> None:
    for path in ("/v1/configuration/edge/1", "/v1/configuration/edge%2F1"):
        (stream,) = (await client.get(path, params={"type": "route", "name": "edge"})).json()["items"]
        assert stream == {"connected": PROXY["connected"], "resources": [SENT]}
    problem(await client.get("/v1/configuration/none"), 404)
    problem(await client.get("/v1/configuration/edge/1?type=no"), 422)


async def test_explain(flow: httpx.AsyncClient) -> None:
    good = {"gateway": "edge", "method": "GET", "host": "x", "path": "/a", "headers": [["canary", "gray"]]}
    assert (await flow.post("/v1/explain", json=good)).json()["reason"] == "no route"
    for field, value in (
        ("gateway", "no"),
        ("path", "a"),
        ("headers", {"canary": "gray"}),
        ("gatway", "x"),
        ("method", ""),
        ("host", 5),
    ):
        answer = problem(await flow.post("/v1/explain", json=good | {field: value}), 422)
        assert answer["errors"][0]["field"] == field
    for line, field in (
        (["a"], "headers[1][1]"),
        ([], "headers[1][0]"),
        (["a", "b", "c"], "headers[1]"),
        (["a", 5], "headers[1][1]"),
        ("a: b", "headers[1]"),
    ):
        answer = problem(await flow.post("/v1/explain", json=good | {"headers": [["x", "y"], line]}), 422)
        assert answer["errors"][0]["field"] == field
    problem(await flow.post("/v1/explain", json=[]), 422)


async def test_health(client: httpx.AsyncClient, control: SmallControl) -> None:
    assert (await client.get("/healthz")).status_code == 200
    ready = (await client.get("/readyz")).json()
    assert (ready["ready"], ready["waiting"]) == (True, [])
    control.waiting.append("source file has not synced")
    assert "source file" in problem(await client.get("/readyz"), 503)["detail"]
    for accept, media in (
        ("", "text/plain"),
        ("text/plain;version=0.0.4, */*", "text/plain"),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text"),
        ("application/openmetrics-text;version=x", "application/openmetrics-text"),
    ):
        answer = await client.get("/metrics", headers={"accept": accept})
        assert answer.headers["content-type"].partition(";")[0] == media
        assert answer.text.endswith("# EOF\n") is (media != "text/plain")
    assert (await client.get("/docs")).status_code == 200


async def test_a_store_that_cannot_be_read_is_no_unreadiness(
    client: httpx.AsyncClient, control: SmallControl
) -> None:
    assert (await client.get("/readyz")).json()["store"] == {"problem": None, "read_only": False}
    control.store.problem = "Nacos does not answer"
    answer = await client.get("/readyz")
    told = {"problem": "Nacos does not answer", "read_only": False}
    assert (answer.status_code, answer.json()["store"]) == (200, told)
    control.waiting.append("source file has not synced")
    assert problem(await client.get("/readyz"), 503)["store"] == told


async def test_how_the_sources_stand(client: httpx.AsyncClient, control: SmallControl) -> None:
    complete = {
        "name": "nacos",
        "version": "Nacos 2.3.2",
        "state": "complete",
        "problem": None,
        "unreachable_since": None,
        "updated": "1970-01-01T00:00:01.500+00:00",
        "services": 2,
        "instances": 3,
        "held_services": 0,
        "held_instances": 0,
    }

    async def shown(path: str) -> dict[str, Any]:
        (source,) = (await client.get(path)).json()["sources"]
        age = source.pop("age")
        assert age is None or age > 1_700_000_000
        return source

    for path in ("/v1/services", "/readyz"):
        assert await shown(path) == complete
    control.source = replace(
        SOURCE, unreachable_since=2.0, held_services=2, held=3, error="Nacos does not answer"
    )
    stale = complete | {
        "state": "stale",
        "problem": "Nacos does not answer",
        "unreachable_since": "1970-01-01T00:00:02.000+00:00",
        "held_services": 2,
        "held_instances": 3,
    }
    assert await shown("/v1/services") == stale
    control.waiting.append("the first configuration is not published")
    problem(await client.get("/readyz"), 503)
    assert await shown("/readyz") == stale


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"synced": False, "version": "", "updated": 0.0}, "waiting"),
        ({"synced": False, "unreachable_since": 1.0, "error": "down"}, "waiting"),
        ({"error": "sc-B: its instances cannot be read"}, "incomplete"),
    ],
    ids=str,
)
async def test_states_of_a_source(
    client: httpx.AsyncClient, control: SmallControl, changes: dict[str, Any], state: str
) -> None:
    control.source = replace(SOURCE, **changes)
    (source,) = (await client.get("/v1/services")).json()["sources"]
    assert source["state"] == state
    assert (source["version"] is None, source["age"] is None) == (
        not control.source.version,
        not control.source.updated,
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/v1/gateways/", 404, None),
        ("OPTIONS", "/v1/gateways/edge", 405, "DELETE, GET, PATCH, PUT"),
        ("TRACE", "/v1/apply", 405, "POST"),
        ("POST", "/v1/gateways", 405, "GET"),
    ],
)
async def test_every_error_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = await client.request(method, path)
    problem(answer, status)
    assert answer.headers.get("allow") == allow


async def test_a_fault_of_laneway_shows_no_trace(client: httpx.AsyncClient, control: SmallControl) -> None:
    def broken() -> list[dict[str, Any]]:
        raise RuntimeError("secret")

    control.proxies = broken  # type: ignore[method-assign]
    answer = await client.get("/v1/proxies")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailable("the disk is full"), "Nothing was changed"),
        (OutcomeUnknown("the disk is full"), "The revisions will tell whether the change was made"),
    ],
)
async def test_an_unavailable_store_is_503(
    flow: httpx.AsyncClient,
    control: SmallControl,
    monkeypatch: pytest.MonkeyPatch,
    error: StoreUnavailable,
    said: str,
) -> None:
    async def unavailable(*_: object) -> None:
        raise error

    monkeypatch.setattr(control.store, "_write", unavailable)
    answer = await flow.put("/v1/gateways/other", json={"listeners": [{"port": 1}]})
    assert f"the disk is full. {said}" in problem(answer, 503)["detail"]
    assert (await flow.get("/v1/gateways")).json()["items"][0]["name"] == "edge"
    assert (await flow.get("/v1/gateways/other")).status_code == 404


async def test_tokens_name_the_author(control: SmallControl) -> None:
    app = create_app(control, AdminSettings(tokens=Tokens.of(TOKENS)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:1") as client:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret-of-joe"}):
            answer = await client.get("/v1/gateways", headers=headers)
            problem(answer, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/metrics")).status_code == 401
        ann = {"authorization": "Bearer secret-of-ann"}
        await client.put("/v1/gateways/edge", json={"listeners": [{"port": 1}]}, headers=ann)
        items = (await client.get("/v1/revisions", headers=ann)).json()["items"]
        assert [one["who"] for one in items] == ["ann"]


async def test_pages_of_other_origins_change_nothing(flow: httpx.AsyncClient) -> None:
    path = "/v1/gateways/edge/routes/a"
    problem(await flow.delete(path, headers={"origin": "http://evil.example"}), 403)
    assert (await flow.delete(path, headers={"origin": "http://localhost"})).status_code == 204


def test_token_files(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text("# people\njoe: secret-of-joe\n\nann:secret-of-ann\n")
    found = load_tokens(path)
    assert {one.name: one.digest for one in found} == {k: digest_of(v) for k, v in TOKENS.items()}
    assert all(one.rights == Rights(admin=True) and one.plain for one in found)
    for wrong in (
        "joe",
        "joe: short",
        "",
        "a: 12345678\na: 123456789",
        "a: 12345678\nb: 12345678",
        "a: 1234 5678",
    ):
        path.write_text(wrong)
        with pytest.raises(ValueError, match="tokens"):
            load_tokens(path)


def test_nobody_serves_everybody_by_mistake() -> None:
    for host in ("127.0.0.1", "::1", "[::1]", "localhost", "127.3.2.1"):
        check_exposure(host, authenticated=False, encrypted=False)
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.com"):
        with pytest.raises(ValueError, match="--admin-allow-anonymous"):
            check_exposure(host, authenticated=False, encrypted=True)
        with pytest.raises(ValueError, match="--admin-allow-plaintext"):
            check_exposure(host, authenticated=True, encrypted=False)
        check_exposure(host, authenticated=True, encrypted=True)


async def test_serving_on_a_port(control: SmallControl) -> None:
    server = AdminServer(create_app(control), "127.0.0.1", 0)
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://{server.address}", trust_env=False) as client:
            assert (await client.get("/healthz")).json() == {"status": "ok", "version": version("laneway")}
            large = await client.post(
                "/v1/apply", content=b" " * (5 << 20), headers={"content-type": "application/json"}
            )
            problem(large, 413)
            # Canonical ids stand unescaped in URLs, with what is empty in them.
            assert (await client.get("/v1/services/file///sc-B")).json()["service"] == "file///sc-B"
            escaped = await client.get("/v1/services/nacos%2Fpublic%2Fother%2Fsc-B")
            assert escaped.json()["service"] == "nacos/public/other/sc-B"
            assert (await client.get("/healthz")).status_code == 200
        with pytest.raises(OSError, match=str(server.port)):
            await AdminServer(create_app(control), "127.0.0.1", server.port).start()
    finally:
        await server.stop()
