"""What routes do besides choosing a service, on a real edge; explain says the same beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.mesh.client import Answer, Header, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import Mesh


def strip(name: str, prefix: str, new: str, **more: Any) -> dict[str, Any]:
    return route(name, "sc-A", {"prefix": prefix}, rewrite={"prefix": new}, **more)


DOCUMENTS = [
    strip("users", "/user-service", "/"),
    strip("moved", "/old.v1", "/new/v2"),
    strip("slash", "/s/", "/t/"),
    strip("deeper", "/any", "/Case", match={"path": {"prefix": "/any", "ignore_case": True}}),
    route(
        "numbers",
        "sc-A",
        {"prefix": "/n"},
        rewrite={"regex": "/n/v([0-9]+)/([a-z]+)", "substitution": r"/\2/version-\1", "host": "u.internal"},
    ),
    route(
        "headers",
        "sc-A",
        headers={
            "request": {
                "set": {"x-percent": "100% %REQ(x)%", "x-forwarded-prefix": "/headers"},
                "add": {"x-more": "added"},
                "remove": ["x-secret"],
            },
            "response": {
                "set": {"x-shop": "100%"},
                "add": {"x-served-by": "edge"},
                "remove": ["content-type"],
            },
        },
    ),
    route(
        "cors",
        "sc-A",
        match={"path": {"prefix": "/cors"}, "methods": ["PUT"], "headers": [{"name": "x-api", "value": "2"}]},
        cors={
            "allow_origins": ["https://shop.test", "https://*.shop.test:8443"],
            "allow_methods": ["GET", "PUT"],
            "allow_headers": ["x-api"],
            "expose_headers": ["x-total"],
            "max_age": "10m",
            "allow_credentials": True,
        },
    ),
    route("again", "sc-B", retries={"conditions": ["5xx"], "tries": 3}),
    route("listed", "sc-B", retries={"statuses": [404, 409], "tries": 6}),
    route("in-lane", "sc-A", retries={"conditions": ["gateway-error"], "tries": 5}),
    route("slow", "sc-B", retries={"per_try_timeout": "200ms"}),
    route("everybody", "sc-A", cors={"allow_origins": ["*"]}),
    {"kind": "Route", "gateway": "edge", "name": "gone", "match": {"path": {"exact": "/gone"}},
     "respond": {"status": 410, "body": "100% gone", "content_type": "text/markdown"}},
    {"kind": "Route", "gateway": "edge", "name": "quiet", "match": {"path": {"exact": "/quiet"}},
     "respond": {"status": 204}, "headers": {"response": {"set": {"x-quiet": "yes"}}}},
]  # fmt: skip


def redirect(name: str, path: dict[str, Any], /, **to: Any) -> dict[str, Any]:
    return {"kind": "Route", "gateway": "edge", "name": name, "match": {"path": path}, "redirect": to}


REDIRECTS = [
    redirect("tls", {"exact": "/tls"}, scheme="https", status=308),
    redirect("host", {"prefix": "/h"}, host="other.test", status=301),
    redirect("port", {"exact": "/port"}, scheme="https", port=8443),
    redirect("standard", {"exact": "/standard"}, scheme="https", port=443),
    redirect("path", {"exact": "/path"}, path="/elsewhere", status=303),
    redirect("bare", {"exact": "/bare"}, path="/elsewhere", strip_query=True, status=307),
    redirect("prefix", {"prefix": "/from"}, prefix="/to", host="p.test"),
    redirect("root", {"prefix": "/root"}, prefix="/"),
]
MATCHES = [
    route("read", "sc-A", match={"path": {"prefix": "/m"}, "methods": ["GET", "HEAD"]}),
    route("write", "sc-B", {"prefix": "/m"}),
    route("beta", "sc-B", match={"path": {"exact": "/k"}, "headers": [{"name": "x-v", "value": "2"}]}),
    route("betas", "sc-B", match={"path": {"exact": "/k"}, "query": [
        {"name": "v", "operator": "in", "value": ["3", "4"]},
        {"name": "w", "operator": "regex", "value": "w.*"}]}),
    route("plain", "sc-A", {"exact": "/k"}),
    route("several", "sc-B", match={"paths": [{"exact": "/one"}, {"prefix": "/two"}, {"regex": "/t.ree"}]}),
    route("any-case", "sc-B", match={"paths": [
        {"prefix": "/case/deep", "ignore_case": True}, {"exact": "/Exact", "ignore_case": True}]}),
    route("case", "sc-A", {"prefix": "/case"}),
    route("rest", "sc-A", {"prefix": "/"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    made.pod("A", "sc-A", "a", sidecar=False)
    made.pod("Agray", "sc-A", "a", tag="gray", sidecar=False)
    made.pod("B", "sc-B", "b", sidecar=False)
    shown = {"set": {"x-lane": "gray"}, "remove": ["content-type"]}
    gray = lane("gray", "flow", rule=rule(header("canary", "gray")), response_headers=shown)
    made.start(*DOCUMENTS, *REDIRECTS, *MATCHES, group("flow", "a"), gray)
    until(lambda: made.edge.get("/rest", ("canary", "gray")).json["name"] == "Agray", 10, "the lane")
    return made


def explained(mesh: Mesh, method: str, host: str, path: str, *headers: Header) -> dict[str, Any]:
    asked = {"gateway": "edge", "method": method, "host": host, "path": path, "headers": headers}
    return mesh.rest.done("POST", "/v1/explain", asked)


@pytest.mark.parametrize("colour", [(), (("canary", "gray"),)])
@pytest.mark.parametrize(
    ("path", "forwarded"),
    [
        ("/user-service", "/"),
        ("/user-service/", "/"),
        ("/user-service/users/1?a=/user-service", "/users/1?a=/user-service"),
        ("/user-service//x%2Fy?", "/x/y?"),
        ("/old.v1/a", "/new/v2/a"),
        ("/old.v1", "/new/v2"),
        ("/s/x", "/t/x"),
        ("/AnY/x", "/Case/x"),
        ("/n/v12/users", "/users/version-12"),
        ("/n/users", "/n/users"),
        ("/n/v1/a/n/v2/b", "/a/version-1/b/version-2"),
    ],
)
def test_rewritten_paths(mesh: Mesh, path: str, forwarded: str, colour: tuple[Header, ...]) -> None:
    answer = mesh.edge.get(path, *colour)
    assert answer.json["path"] == forwarded
    assert answer.json["name"] == ("Agray" if colour else "A")
    said = explained(mesh, "GET", "shop.example.com", path, *colour)
    assert said["forwarded"]["path"] == forwarded.removesuffix("?")
    assert answer.received("host") == [said["forwarded"]["host"]]
    assert said["lane"] == ("gray" if colour else None)


def test_headers_are_set_added_and_removed(mesh: Mesh) -> None:
    answer = mesh.edge.get("/headers", ("x-more", "given"), ("x-secret", "s"), ("X-Percent", "forged"))
    assert answer.received("x-percent") == ["100% %REQ(x)%"]
    assert answer.received("x-forwarded-prefix") == ["/headers"]
    assert answer.received("x-more") == ["given", "added"]
    assert answer.received("x-secret") == []
    assert (answer.header("x-shop"), answer.header("x-served-by")) == ("100%", "edge")
    assert answer.header("content-type") is None


def test_explain_names_the_headers_that_change(mesh: Mesh) -> None:
    """The lane's come before the route's."""
    said = explained(mesh, "GET", "shop.example.com", "/headers", ("canary", "gray"))
    answer = mesh.edge.get("/headers", ("canary", "gray"), ("x-more", "given"), ("x-secret", "s"))
    of_request = {(one["change"], one["name"]): one.get("value") for one in said["request_headers"]}
    assert of_request == {
        ("set", "x-percent"): "100% %REQ(x)%",
        ("set", "x-forwarded-prefix"): "/headers",
        ("add", "x-more"): "added",
        ("remove", "x-secret"): None,
    }
    for (change, name), value in of_request.items():
        got = answer.received(name)
        assert got == ([] if change == "remove" else ["given", value] if change == "add" else [value])
    assert [(one["change"], one["name"], one["by"]) for one in said["response_headers"]] == [
        ("remove", "content-type", "lane"),
        ("set", "x-lane", "lane"),
        ("remove", "content-type", "route"),
        ("set", "x-shop", "route"),
        ("add", "x-served-by", "route"),
    ]
    for one in said["response_headers"]:
        assert answer.header(one["name"]) == one.get("value")


def test_a_browser_sees_that_it_is_in_a_lane(mesh: Mesh) -> None:
    answer = mesh.edge.get("/rest", ("canary", "gray"))
    assert (answer.header("x-lane"), answer.header("content-type")) == ("gray", None)
    assert mesh.edge.get("/rest").header("x-lane") is None


def preflight(mesh: Mesh, path: str, origin: str) -> Answer:
    asked = [("origin", origin), ("access-control-request-method", "PUT")]
    return mesh.edge.request("OPTIONS", path, asked)


@pytest.mark.parametrize("origin", ["https://shop.test", "https://a.b.shop.test:8443"])
def test_cors_of_allowed_origins(mesh: Mesh, origin: str) -> None:
    answer = preflight(mesh, "/cors/x", origin)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("access-control-allow-origin") == origin
    assert answer.header("access-control-allow-methods") == "GET, PUT"
    assert answer.header("access-control-allow-headers") == "x-api"
    assert answer.header("access-control-max-age") == "600"
    assert answer.header("access-control-allow-credentials") == "true"
    asked: list[Header] = [("origin", origin), ("access-control-request-method", "PUT")]
    said = explained(mesh, "OPTIONS", "shop.example.com", "/cors/x", *asked)
    assert (said["route"], said["answered"]["status"]) == ("cors", 200)
    assert "preflight" in said["reason"]
    assert says_of_cors(said) == shows_of_cors(answer)
    answer = mesh.edge.request("PUT", "/cors/x", [("origin", origin), ("x-api", "2")])
    said = explained(mesh, "PUT", "shop.example.com", "/cors/x", ("origin", origin), ("x-api", "2"))
    assert (said["cors_allowed"], says_of_cors(said)) == (True, shows_of_cors(answer))
    assert answer.json["name"] == "A"
    assert answer.header("access-control-allow-origin") == origin
    assert answer.header("access-control-expose-headers") == "x-total"
    assert answer.header("vary") == "origin"


def says_of_cors(said: dict[str, Any]) -> dict[str, str]:
    told = said.get("response_headers", [])
    return {one["name"]: one["value"] for one in told if one["by"] == "cors"}


def shows_of_cors(answer: Answer) -> dict[str, str]:
    shown = {name: value for name, value in answer.headers if name.startswith("access-control-")}
    vary = answer.header("vary")
    return shown if vary is None else {**shown, "vary": vary}


@pytest.mark.parametrize("origin", ["https://other.test", "https://shop.test.evil", "http://shop.test", "*"])
def test_cors_of_other_origins(mesh: Mesh, origin: str) -> None:
    """The service gets their preflights; what it answers tells browsers nothing of other origins."""
    answer = preflight(mesh, "/cors/x", origin)
    assert answer.json["name"] == "A"
    assert answer.header("access-control-allow-origin") is None
    answer = mesh.edge.request("PUT", "/cors/x", [("origin", origin), ("x-api", "2")])
    assert answer.header("access-control-allow-origin") is None
    said = explained(mesh, "PUT", "shop.example.com", "/cors/x", ("origin", origin), ("x-api", "2"))
    assert (said["cors_allowed"], says_of_cors(said)) == (False, shows_of_cors(answer))


def test_cors_of_every_origin(mesh: Mesh) -> None:
    answer = mesh.edge.get("/everybody", ("origin", "https://any.test"))
    said = explained(mesh, "GET", "shop.example.com", "/everybody", ("origin", "https://any.test"))
    assert says_of_cors(said) == shows_of_cors(answer)
    assert answer.header("access-control-allow-origin") in ("*", "https://any.test")
    assert answer.header("access-control-allow-credentials") is None
    # A request of the edge's other routes is not touched.
    assert (
        mesh.edge.get("/rest", ("origin", "https://any.test")).header("access-control-allow-origin") is None
    )


@pytest.mark.parametrize("colour", [(), (("canary", "gray"),)])
@pytest.mark.parametrize(
    ("host", "path", "status", "location"),
    [
        ("shop.test", "/tls?a=b", 308, "https://shop.test/tls?a=b"),
        ("shop.test:80", "/tls", 308, "https://shop.test/tls"),
        ("shop.test:8080", "/tls", 308, "https://shop.test:8080/tls"),
        ("shop.test:8080", "/h/x?y", 301, "http://other.test/h/x?y"),
        ("shop.test:8080", "/port?y", 302, "https://shop.test:8443/port?y"),
        ("shop.test:8080", "/standard", 302, "https://shop.test:443/standard"),
        ("shop.test", "/path?y=1", 303, "http://shop.test/elsewhere?y=1"),
        ("shop.test", "/bare?y=1", 307, "http://shop.test/elsewhere"),
        ("shop.test", "/from/a/b?y=1", 302, "http://p.test/to/a/b?y=1"),
        ("shop.test", "/from", 302, "http://p.test/to"),
        ("shop.test", "/root/a", 302, "http://shop.test/a"),
    ],
)
def test_redirects(
    mesh: Mesh, host: str, path: str, status: int, location: str, colour: tuple[Header, ...]
) -> None:
    answer = mesh.edge.request("GET", path, colour, host=host)
    assert (answer.status, answer.header("location")) == (status, location)
    said = explained(mesh, "GET", host, path, *colour)
    assert said["answered"] == {"status": status, "location": location}
    assert (said["lane"], said["hops"]) == (None, [])


@pytest.mark.parametrize(
    ("path", "status", "tries"),
    [
        ("/again", 500, 3),
        ("/again", 599, 3),
        ("/again", 404, 1),
        ("/listed", 404, 6),
        ("/listed", 409, 6),
        ("/listed", 503, 1),
        ("/in-lane", 502, 5),
        ("/in-lane", 500, 1),
        ("/rest", 503, 1),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_answers_are_tried_again_as_often_as_said(
    mesh: Mesh, method: str, path: str, status: int, tries: int
) -> None:
    service = "A" if path in ("/in-lane", "/rest") else "B"
    before = tried(mesh, f"sc-{service}")
    answer = mesh.edge.request(method, path, [("x-fail", f"{service}={status}")], b"x" * 100)
    assert (answer.status, answer.json["name"]) == (status, service)
    assert tried(mesh, f"sc-{service}") - before == tries
    said = explained(mesh, method, "shop.example.com", path).get("retries")
    if said is not None and tries > 1:
        assert tries == said["tries"]
    assert not [name for name, _ in answer.headers if name.startswith("x-laneway-")]


def tried(mesh: Mesh, service: str) -> int:
    """Requests that the edge has sent to base instances of the service."""
    return mesh.stats(mesh.edge_admin, f"{service}.base.upstream_rq_total")


def test_an_answer_in_a_lane_is_tried_again_in_the_lane(mesh: Mesh) -> None:
    before = tried(mesh, "sc-A")
    answer = mesh.edge.get("/in-lane", ("canary", "gray"), ("x-fail", "Agray=503"))
    assert (answer.status, answer.json["name"]) == (503, "Agray")
    assert tried(mesh, "sc-A") == before


def test_a_try_ends_after_its_own_time(mesh: Mesh) -> None:
    said = explained(mesh, "GET", "shop.example.com", "/slow")
    assert said["retries"] == {"tries": 2, "per_try_timeout": 0.2}
    before = tried(mesh, "sc-B")
    answer = mesh.edge.get("/slow", ("x-delay", "B=1"))
    assert answer.status == 504
    assert tried(mesh, "sc-B") - before == 4
    before = tried(mesh, "sc-B")
    answer = mesh.edge.request("POST", "/slow", [("x-delay", "B=1")])
    assert answer.status == 504
    assert tried(mesh, "sc-B") - before == 1


def test_direct_responses(mesh: Mesh) -> None:
    answer = mesh.edge.get("/gone")
    assert (answer.status, answer.body, answer.header("content-type")) == (410, b"100% gone", "text/markdown")
    assert explained(mesh, "GET", "x", "/gone")["answered"] == {"status": 410}
    answer = mesh.edge.get("/quiet")
    assert (answer.status, answer.body, answer.header("x-quiet")) == (204, b"", "yes")


@pytest.mark.parametrize(
    ("method", "path", "headers", "name"),
    [
        ("GET", "/m", (), "read"),
        ("HEAD", "/m/x", (), "read"),
        ("POST", "/m/x", (), "write"),
        ("GET", "/k", (), "plain"),
        ("GET", "/k", (("X-V", "2"),), "beta"),
        ("GET", "/k?v=3", (), "plain"),
        ("GET", "/k?v=3&w=wide", (), "betas"),
        ("GET", "/k?v=3&w=wide", (("x-v", "2"),), "betas"),
        ("GET", "/one", (), "several"),
        ("GET", "/one/x", (), "rest"),
        ("GET", "/two/x", (), "several"),
        ("GET", "/three", (), "rest"),
        ("GET", "/CASE/Deep/x", (), "any-case"),
        ("GET", "/case/deep", (), "any-case"),
        ("GET", "/case/deeper", (), "case"),
        ("GET", "/CASE/other", (), "rest"),
        ("GET", "/eXACT", (), "any-case"),
        ("GET", "/exact/x", (), "rest"),
    ],
)  # fmt: skip
def test_matches(mesh: Mesh, method: str, path: str, headers: tuple[Header, ...], name: str) -> None:
    assert explained(mesh, method, "shop.test", path, *headers)["route"] == name
    if method != "HEAD":
        served = {"read": "A", "plain": "A", "case": "A", "rest": "A"}.get(name, "B")
        assert mesh.edge.request(method, path, headers).json["name"] == served
