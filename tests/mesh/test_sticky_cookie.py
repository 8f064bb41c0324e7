"""The cookie that an edge sets for a sticky share has the attributes that the lane says."""

from __future__ import annotations

from collections.abc import Callable

from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh


def test_attributes_of_the_cookie(new_mesh: Callable[..., Mesh]) -> None:
    """Each route has its lane's; whoever has the cookie gets none, and stays in the share."""
    mesh = new_mesh()
    mesh.pod("A", "sc-A", "a", sidecar=False)
    mesh.pod("Agray", "sc-A", "a", tag="gray", sidecar=False)
    said = {"path": "/b", "domain": "Shop.test", "max_age": "30m", "secure": True, "same_site": "none"}
    session = {"max_age": "0s", "http_only": False, "same_site": "strict"}
    lanes = [
        lane("usual", "flow", "gray", routes=["a"], ratio={"percent": 50, "sticky": {"cookie": "stay"}}),
        lane(
            "own",
            "flow",
            "gray",
            routes=["b"],
            ratio={"percent": 50, "sticky": {"cookie": "stay", "attributes": said}},
        ),
        lane(
            "session",
            "flow",
            "gray",
            routes=["c"],
            ratio={"percent": 50, "sticky": {"cookie": "brief", "attributes": session}},
        ),
    ]
    mesh.start(route("a", "sc-A"), route("b", "sc-A"), route("c", "sc-A"), group("flow", "a"), *lanes)
    until(lambda: mesh.edge.get("/c").header("set-cookie"), 10, "the shares")
    expected = {
        "/a": ("stay", "; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"),
        "/b": ("stay", "; Path=/b; Domain=shop.test; Max-Age=1800; Secure; HttpOnly; SameSite=None"),
        "/c": ("brief", "; Path=/; SameSite=Strict"),
    }
    for path, (name, attributes) in expected.items():
        answer = mesh.edge.get(path)
        cookies = [value for key, value in answer.headers if key == "set-cookie"]
        assert len(cookies) == 1
        pair, rest = cookies[0].split(";", 1)
        assert (pair.partition("=")[0], f";{rest}") == (name, attributes)
        asked = {"gateway": "edge", "host": "shop.example.com", "path": path, "headers": []}
        told = mesh.rest.done("POST", "/v1/explain", asked)["response_headers"]
        cookie = {"change": "add", "name": "set-cookie", "value": f"{name}=<id>{attributes}", "by": "share"}
        assert told == [cookie]
        asked["headers"] = [["cookie", pair]]
        assert "response_headers" not in mesh.rest.done("POST", "/v1/explain", asked)
        for _ in range(5):
            again = mesh.edge.get(path, ("cookie", pair))
            assert again.chain == answer.chain
            assert again.header("set-cookie") is None
