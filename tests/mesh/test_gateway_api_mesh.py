"""HTTPRoutes of a real API server with traffic: a real edge does what they say, and lanes go on behind it.

Everything is in one network namespace: EndpointSlices take no loopback addresses, so the pods have others
there. There is no kubelet: the test sets the status of pods.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests import require
from tests.kubernetes import gateway_api
from tests.kubernetes.gateway_api import Ingress, to
from tests.kubernetes.server import MERGE, KubeServer
from tests.kubernetes.server import for_test as api_server
from tests.kubernetes.tools import NODE
from tests.mesh import netns
from tests.mesh.client import Answer, Header, until
from tests.mesh.documents import group, lane
from tests.mesh.harness import Mesh

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]

NETWORK = "10.9.0"
PODS = "/api/v1/namespaces/default/pods"
GRAY = ("canary", "gray")
CALLS = {"A": "sc-b", "B": ""}
EDGE = [{"name": "edge"}]
GOOD = [{"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}]
Json = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    if why_not := netns.missing():
        require.lacking("iptables", why_not)
    made = netns.Namespace(f"lw{os.getpid()}g")
    try:
        for number in [*range(1, 20), 250, 251]:
            made.run("ip", "addr", "add", f"{NETWORK}.{number}/32", "dev", "lo")
        with made.enter():
            yield
    finally:
        made.remove()


@pytest.fixture(scope="module")
def ingress(network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    with api_server(tmp_path_factory.mktemp("kubernetes")) as server:
        gateway_api.install(server)
        server.call("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        for letter in ("a", "b"):
            spec = {
                "ports": [{"port": 20001}],
                "selector": {"msePilotCreateAppName": f"spring-cloud-{letter}"},
            }
            body = {"metadata": {"name": f"sc-{letter}"}, "spec": spec}
            server.call("POST", "/api/v1/namespaces/default/services", body)
        made = Ingress(server, "default")
        made.gateway_class("laneway")
        listeners = [
            {"name": "http", "port": 80, "protocol": "HTTP"},
            {"name": "shop", "port": 81, "protocol": "HTTP", "hostname": "*.shop.test"},
        ]
        made.gateway("edge", "laneway", *listeners)
        for name, spec in ROUTES.items():
            made.route(name, **{"parentRefs": EDGE, **spec})
        yield made


def pod(mesh: Mesh, server: KubeServer, name: str) -> None:
    """A pod as Kubernetes and as the mesh have it."""
    letter, tag = name[0], name[1:]
    made = mesh.pod(
        name, f"sc-{letter.lower()}", f"spring-cloud-{letter.lower()}", tag=tag, next=CALLS[letter]
    )
    made.egress = f"127.0.{made.address.rpartition('.')[2]}.1"  # the proxy listens on loopback alone
    labels = {"msePilotCreateAppName": made.application} | ({"alicloud.service.tag": tag} if tag else {})
    spec = {"nodeName": NODE, "containers": [{"name": "app", "image": "none"}]}
    server.call("POST", PODS, {"metadata": {"name": name.lower(), "labels": labels}, "spec": spec})
    status: Json = {"phase": "Running", "podIP": made.address, "podIPs": [{"ip": made.address}]}
    status["conditions"] = [{"type": "Ready", "status": "True"}]
    server.call("PATCH", f"{PODS}/{name.lower()}/status", {"status": status}, MERGE)


def path(kind: str, value: str, **more: Any) -> Json:
    return {"path": {"type": kind, "value": value}, **more}


def prefix(value: str, **more: Any) -> Json:
    return path("PathPrefix", value, **more)


def rule(*matches: Json, service: str = "sc-b", filters: list[Json] | None = None, **more: Any) -> Json:
    """A rule; service: "" for none."""
    made: Json = {"matches": list(matches), **more}
    if service:
        made["backendRefs"] = to(service)
    return made | ({"filters": filters} if filters else {})


def of(hosts: list[str], *rules: Json) -> Json:
    return {"hostnames": hosts, "rules": list(rules)}


def redirect(match: Json, **to_: Any) -> Json:
    return rule(match, service="", filters=[{"type": "RequestRedirect", "requestRedirect": to_}])


def rewrite(match: Json, service: str = "sc-b", **to_: Any) -> Json:
    return rule(match, service=service, filters=[{"type": "URLRewrite", "urlRewrite": to_}])


def full(value: str) -> Json:
    return {"type": "ReplaceFullPath", "replaceFullPath": value}


def replaced(value: str) -> Json:
    return {"type": "ReplacePrefixMatch", "replacePrefixMatch": value}


def changed(kind: str, **changes: Any) -> Json:
    return {"type": kind, kind[0].lower() + kind[1:]: changes}


ALLOWED = {
    "allowOrigins": ["https://www.test", "https://*.www.test"],
    "allowMethods": ["GET", "PUT"],
    "allowHeaders": ["x-api"],
    "exposeHeaders": ["x-total"],
    "allowCredentials": True,
    "maxAge": 600,
}
ROUTES: Mapping[str, Json] = {
    "paths": of(
        ["paths.test"],
        rule(path("Exact", "/exact")),
        rule(prefix("/prefix/")),
        rule(prefix("/prefix/longer"), service="sc-a"),
        rule(path("RegularExpression", "/re/[0-9]+")),
        rule(prefix("/one"), prefix("/two")),
    ),
    "hosts": of(["exact.shop.test", "*.wild.test"], rule(prefix("/"))),
    "any-host": {"rules": [rule(prefix("/everywhere"))]},
    "listener": {"parentRefs": [{"name": "edge", "sectionName": "shop"}], "rules": [rule(prefix("/shop"))]},
    "conditions": of(
        ["conditions.test"],
        rule({"method": "DELETE"}),
        rule({"headers": [{"name": "X-Version", "value": "2"}, {"name": "x-also", "value": "yes"}]}),
        rule({"headers": [{"type": "RegularExpression", "name": "x-match", "value": "v[0-9]"}]}),
        rule({"queryParams": [{"name": "animal", "value": "whale"}]}),
        rule({"queryParams": [{"type": "RegularExpression", "name": "fish", "value": "tun.*"}]}),
        rule(prefix("/put", method="PUT", headers=[{"name": "x-put", "value": "1"}])),
        rule(prefix("/"), service="sc-a"),
    ),
    "redirects": of(
        ["redirects.test"],
        redirect(prefix("/plain"), hostname="other.test"),
        redirect(prefix("/all"), scheme="https", hostname="other.test", port=8443, statusCode=301),
        redirect(prefix("/tls"), scheme="https", statusCode=308),
        redirect(prefix("/full"), path=full("/elsewhere"), statusCode=303),
        redirect(prefix("/part"), path=replaced("/new"), statusCode=307),
        redirect(prefix("/gone"), path=replaced("/")),
    ),
    "rewrites": of(
        ["rewrites.test"],
        rewrite(prefix("/full"), path=full("/one")),
        rewrite(prefix("/part"), path=replaced("/new")),
        rewrite(prefix("/strip"), path=replaced("/")),
        rewrite(prefix("/host"), hostname="inner.test"),
        rewrite(prefix("/both"), hostname="inner.test", path=replaced("/x")),
    ),
    "headers": of(
        ["headers.test"],
        rule(
            prefix("/"),
            filters=[
                changed(
                    "RequestHeaderModifier",
                    set=[{"name": "X-Set", "value": "set"}],
                    add=[{"name": "x-add", "value": "added"}],
                    remove=["x-remove"],
                ),
                changed(
                    "ResponseHeaderModifier",
                    set=[{"name": "content-type", "value": "text/x-set"}],
                    add=[{"name": "x-answer", "value": "100%"}],
                    remove=["x-inner"],
                ),
            ],
        ),
    ),
    "cors": of(["cors.test"], rule(prefix("/"), filters=[{"type": "CORS", "cors": ALLOWED}])),
    "timeouts": of(
        ["timeouts.test"],
        rule(prefix("/request"), timeouts={"request": "300ms"}),
        rule(prefix("/backend"), timeouts={"request": "10s", "backendRequest": "300ms"}),
        rule(prefix("/none"), timeouts={"request": "0s"}),
    ),
    "lanes": of(
        ["lanes.test"],
        rule(prefix("/a"), service="sc-a"),
        rewrite(prefix("/rewritten"), service="sc-a", path=full("/x")),
    ),
    "partly": of(
        ["partly.test"],
        rule(prefix("/good")),
        rule(prefix("/two"), backendRefs=to("sc-a") + to("sc-b"), service=""),
        rule(prefix("/none"), service="", backendRefs=[]),
        rule(prefix("/lost"), service="sc-none"),
        rule(prefix("/nobody"), service="", backendRefs=[{**to("sc-b")[0], "weight": 0}]),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh], ingress: Ingress) -> Mesh:
    made = new_mesh(own_network=NETWORK)
    for word in ("ADMIN_ALLOW_ANONYMOUS", "ADMIN_ALLOW_PLAINTEXT", "XDS_ALLOW_PLAINTEXT"):
        made.environment[f"LANEWAY_{word}"] = "true"
    made.source = ["--kubernetes-config", str(ingress.server.kubeconfig), "--gateway-api"]
    made.source += ["--kubernetes-namespace", "default"]
    for name in ("A", "Agray", "B", "Bgray"):
        pod(made, ingress.server, name)
    made.start(group("order-flow", "spring-cloud-a", "spring-cloud-b"), lane("gray"))
    for name in ROUTES.keys() - {"partly"}:
        until(lambda name=name: ingress.said(name) == GOOD, 30, f"HTTPRoute {name} to be accepted")
    for name in ROUTES:
        taken(made, ingress, name)
    return made


def taken(mesh: Mesh, ingress: Ingress, name: str) -> None:
    """Wait until the edge has what the HTTPRoute says now."""
    until(lambda: ingress.said(name), 30, f"a status of HTTPRoute {name}")
    until(lambda: all(one["types"]["route"]["acked"] == one["types"]["route"]["sent"] for one in edges(mesh)),
          30, "the edge to have it")  # fmt: skip


def edges(mesh: Mesh) -> list[Json]:
    return [one for one in mesh.rest.get("/v1/proxies")["items"] if one["role"] == "edge"]


def ask(mesh: Mesh, host: str, path: str, *headers: Header, method: str = "GET") -> Answer:
    return mesh.edge.request(method, path, headers, host=host)


@pytest.mark.parametrize(
    ("url", "served_by"),
    [
        ("paths.test/exact", "B"),
        ("paths.test/exact/", ""),
        ("paths.test/Exact", ""),
        ("paths.test/prefix", "B"),
        ("paths.test/prefix/x?y=1", "B"),
        ("paths.test/prefixed", ""),
        ("paths.test/prefix/longer/x", "A"),
        ("paths.test/re/12", "B"),
        ("paths.test/re/12x", ""),
        ("paths.test/one/1", "B"),
        ("paths.test/two", "B"),
        ("paths.test/", ""),
        ("exact.shop.test/x", "B"),
        ("EXACT.shop.test:8080/x", "B"),
        ("other.shop.test/x", ""),
        ("a.wild.test/x", "B"),
        ("a.b.wild.test/x", "B"),
        ("wild.test/x", ""),
        ("whatever.test/everywhere", "B"),
        ("paths.test/everywhere", "B"),
        ("one.shop.test/shop", "B"),
        ("shop.test/shop", ""),
        ("paths.test/shop", ""),
    ],
)
def test_hosts_and_paths(mesh: Mesh, url: str, served_by: str) -> None:
    host, slash, rest = url.partition("/")
    answer = ask(mesh, host, slash + rest)
    if not served_by:
        assert answer.status == 404
        return
    assert answer.json["name"] == served_by
    assert answer.json["path"] == slash + rest


@pytest.mark.parametrize(
    ("method", "path", "headers", "served_by"),
    [
        ("GET", "/", (), "A"),
        ("DELETE", "/x", (), "B"),
        ("GET", "/", (("x-version", "2"), ("X-Also", "yes")), "B"),
        ("GET", "/", (("x-version", "2"),), "A"),
        ("GET", "/", (("x-match", "v7"),), "B"),
        ("GET", "/", (("x-match", "v77"),), "A"),
        ("GET", "/?animal=whale", (), "B"),
        ("GET", "/?animal=whales", (), "A"),
        ("GET", "/?fish=tuna", (), "B"),
        ("GET", "/?fish=atuna", (), "A"),
        ("PUT", "/put/x", (("x-put", "1"),), "B"),
        ("PUT", "/put/x", (), "A"),
        ("GET", "/put/x", (("x-put", "1"),), "A"),
    ],
)
def test_methods_headers_and_parameters(
    mesh: Mesh, method: str, path: str, headers: tuple[Header, ...], served_by: str
) -> None:
    assert ask(mesh, "conditions.test", path, *headers, method=method).json["name"] == served_by


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/plain/x?y=1", 302, "http://other.test/plain/x?y=1"),
        ("/all/x", 301, "https://other.test:8443/all/x"),
        ("/tls", 308, "https://redirects.test/tls"),
        ("/full/x?y=1", 303, "http://redirects.test/elsewhere?y=1"),
        ("/part/x", 307, "http://redirects.test/new/x"),
        ("/part", 307, "http://redirects.test/new"),
        ("/gone/x", 302, "http://redirects.test/x"),
        ("/gone", 302, "http://redirects.test/"),
    ],
)
@pytest.mark.parametrize("colour", [(), (GRAY,)])
def test_redirects(mesh: Mesh, path: str, status: int, location: str, colour: tuple[Header, ...]) -> None:
    answer = ask(mesh, "redirects.test", path, *colour)
    assert (answer.status, answer.header("location")) == (status, location)


@pytest.mark.parametrize(
    ("path", "host", "forwarded"),
    [
        ("/full/x?y=1", "rewrites.test", "/one?y=1"),
        ("/part/x?y=1", "rewrites.test", "/new/x?y=1"),
        ("/part", "rewrites.test", "/new"),
        ("/strip/x", "rewrites.test", "/x"),
        ("/strip", "rewrites.test", "/"),
        ("/host/x", "inner.test", "/host/x"),
        ("/both/y", "inner.test", "/x/y"),
    ],
)
@pytest.mark.parametrize(("colour", "served_by"), [((), "B"), ((GRAY,), "Bgray")])
def test_rewrites(
    mesh: Mesh, path: str, host: str, forwarded: str, colour: tuple[Header, ...], served_by: str
) -> None:
    answer = ask(mesh, "rewrites.test", path, *colour)
    assert (answer.json["name"], answer.json["path"]) == (served_by, forwarded)
    assert answer.received("host") == [host]


def test_headers_are_changed_on_both_ways(mesh: Mesh) -> None:
    sent = (("x-set", "given"), ("x-add", "given"), ("x-remove", "given"), ("x-fail", "B=200 x-inner: 1"))
    answer = ask(mesh, "headers.test", "/", *sent)
    assert answer.received("x-set") == ["set"]
    assert answer.received("x-add") in (["given", "added"], ["given,added"])
    assert answer.received("x-remove") == []
    assert answer.header("content-type") == "text/x-set"
    assert answer.header("x-answer") == "100%"
    assert answer.header("x-inner") is None


def test_cors(mesh: Mesh) -> None:
    asked = (("origin", "https://a.www.test"), ("access-control-request-method", "PUT"))
    answer = ask(mesh, "cors.test", "/", *asked, method="OPTIONS")
    assert answer.status in (200, 204)
    assert answer.header("access-control-allow-origin") == "https://a.www.test"
    assert answer.header("access-control-allow-credentials") == "true"
    assert answer.header("access-control-max-age") == "600"
    assert answer.header("access-control-allow-methods") == "GET, PUT"
    answer = ask(mesh, "cors.test", "/", ("origin", "https://www.test"))
    assert answer.json["name"] == "B"
    assert answer.header("access-control-expose-headers") == "x-total"
    answer = ask(mesh, "cors.test", "/", ("origin", "https://evil.test"))
    assert answer.header("access-control-allow-origin") is None


@pytest.mark.parametrize(
    ("path", "delay", "status"),
    [("/request", "1", 504), ("/request", "0", 200), ("/backend", "1", 504), ("/none", "1", 200)],
)
def test_timeouts(mesh: Mesh, path: str, delay: str, status: int) -> None:
    assert ask(mesh, "timeouts.test", path, ("x-delay", f"B={delay}")).status == status


def test_lanes_go_on_behind_an_http_route(mesh: Mesh) -> None:
    for _ in range(20):
        assert ask(mesh, "lanes.test", "/a").chain == ["A", "B"]
        answer = ask(mesh, "lanes.test", "/a", GRAY)
        assert (answer.chain, answer.lane) == (["Agray", "Bgray"], "gray")
        answer = ask(mesh, "lanes.test", "/rewritten", GRAY)
        assert (answer.chain, answer.json["path"]) == (["Agray", "Bgray"], "/x")


def test_what_cannot_be_said_answers_as_the_specification_asks(mesh: Mesh, ingress: Ingress) -> None:
    """A dropped rule matches nothing; one without a backend that can be used answers 500."""
    said = {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("False", "BackendNotFound"),
        "PartiallyInvalid": ("True", "UnsupportedValue"),
    }
    until(lambda: ingress.said("partly") == [said], 30, "the conditions")
    assert "Dropped Rule 1" in ingress.message("partly", "PartiallyInvalid")
    expected = {"/good": 200, "/two": 404, "/none": 500, "/lost": 500, "/nobody": 500}
    assert {path: ask(mesh, "partly.test", path).status for path in expected} == expected


def test_a_change_and_an_end_reach_the_edge(mesh: Mesh, ingress: Ingress) -> None:
    """And no request of others fails meanwhile, nor of this one while it moves between Services."""
    ingress.route("moves", parentRefs=EDGE, **of(["shop.example.com"], rule(prefix("/moves"))))
    until(lambda: ask(mesh, "shop.example.com", "/moves").status == 200, 30, "the HTTPRoute to be taken")
    with mesh.load(("GET", "/moves", (), b""), ("GET", "/everywhere", (), b""), rate=50.0) as load:
        for service in ("sc-a", "sc-b", "sc-a"):
            ingress.change("httproutes", "moves", {"rules": [rule(prefix("/moves"), service=service)]})
            name = service[-1].upper()
            until(
                lambda name=name: mesh.edge.get("/moves").json["name"] == name, 30, f"requests to {service}"
            )
        until(lambda: ingress.said("moves") == GOOD, 30, "the status of the last generation")
    assert not load.failed(), load.failed()[:3]
    ingress.change("httproutes", "moves", {"hostnames": ["moved.test"]})
    until(lambda: ask(mesh, "moved.test", "/moves").status == 200, 30, "the new host")
    assert mesh.edge.get("/moves").status == 404
    ingress.delete("httproutes", "moves")
    until(lambda: ask(mesh, "moved.test", "/moves").status == 404, 30, "the end of the HTTPRoute")


def test_a_listener_that_goes_takes_its_hosts_away(mesh: Mesh, ingress: Ingress) -> None:
    listeners = ingress.get("gateways", "edge")["spec"]["listeners"]
    ingress.change("gateways", "edge", {"listeners": listeners[:1]})
    until(lambda: ask(mesh, "one.shop.test", "/shop").status == 404, 30, "the hosts to go")
    gone = {"Accepted": ("False", "NoMatchingParent"), "ResolvedRefs": ("True", "ResolvedRefs")}
    until(lambda: ingress.said("listener") == [gone], 30, "the condition")
    ingress.change("gateways", "edge", {"listeners": listeners})
    until(lambda: ask(mesh, "one.shop.test", "/shop").status == 200, 30, "the hosts to be back")


def test_the_proxies_have_refused_nothing(mesh: Mesh) -> None:
    mesh.check_accepted()
