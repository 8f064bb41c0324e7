"""Redirect capture with real iptables in network namespaces: the original destination decides (rule 8).

A host namespace has the control plane and plain applications; two pods have redirect sidecars, one of them
with an IPv6 address. Connections made inside a pod are redirected unless its Envoy's user makes them.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from controlplane.cli.envoy_config import bootstrap, sidecar_metadata
from tests import certificates, require
from tests.mesh import netns, peers
from tests.mesh.client import Answer, Client, Header, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import ENVOY, Mesh, listening
from tests.mesh.pods import Pod

GRAY: Header = ("x-lane", "gray")
PORT = 20001
POD, POD6 = "10.9.1.2", "fd09:2::2"
FOUR, SIX = "four", "six"


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    if why_not := netns.missing():
        require.lacking("iptables", why_not)


@pytest.fixture(scope="module")
def namespaces(possible: None) -> Iterator[tuple[netns.Namespace, dict[str, netns.Namespace]]]:
    with netns.hosted("lw", FOUR, SIX) as made:
        yield made


@pytest.fixture(scope="module")
def host(namespaces: tuple[netns.Namespace, dict[str, netns.Namespace]]) -> netns.Namespace:
    return namespaces[0]


@pytest.fixture(scope="module")
def pods(namespaces: tuple[netns.Namespace, dict[str, netns.Namespace]]) -> dict[str, netns.Namespace]:
    return namespaces[1]


def sidecar(mesh: Mesh, pod: netns.Namespace, name: str, address: str) -> None:
    """A redirect sidecar of the application `front` with two services, one on another port of its own."""
    services = [("sc-F", PORT, None), ("sc-F2", PORT + 1, 30002)]
    metadata = sidecar_metadata(address, services, "redirect")
    config = bootstrap(f"redirect~{name}", "front", metadata, mesh.xds, ("127.0.0.1", 15000))
    path = mesh.directory / f"{name}.json"
    path.write_text(json.dumps(config))
    command = [str(ENVOY), "-c", str(path), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    mesh.start_command(f"envoy-{name}", netns.as_excluded(command, pod))


def app(mesh: Mesh, name: str, service: str, address: str = "", **more: object) -> Pod:
    pod = mesh.pod(name, service, more.pop("application", "back"), sidecar=False, **more)  # type: ignore[arg-type]
    if address:
        pod.address = address
    return pod


@pytest.fixture(scope="module")
def mesh(
    new_mesh: Callable[..., Mesh], host: netns.Namespace, pods: dict[str, netns.Namespace]
) -> Iterator[Mesh]:
    made = new_mesh(own_network="10.9.0")
    for word in ("ADMIN_ALLOW_ANONYMOUS", "ADMIN_ALLOW_PLAINTEXT", "XDS_ALLOW_PLAINTEXT"):
        made.environment[f"LANEWAY_{word}"] = "true"
    app(made, "B", "sc-B")
    app(made, "B2", "sc-B")
    app(made, "Bgray", "sc-B", tag="gray")
    app(made, "Bred", "sc-B", tag="red")
    app(made, "C", "sc-C")
    app(made, "outside", "sc-none", registered=False)
    app(made, "six", "sc-6", "fd09::1")
    app(made, "sixgray", "sc-6", "fd09::2", tag="gray")
    app(made, "six-out", "sc-none", "fd09::3", registered=False)
    # One ip:port of two services.
    app(made, "shared", "sc-X")
    made.pods["shared-too"] = Pod("shared", "sc-Y", "back", made.pods["shared"].address, sidecar=False)
    app(made, "Xgray", "sc-X", tag="gray")
    app(made, "Ygray", "sc-Y", tag="gray")
    for name, tag in (("W", ""), ("Wgray", "gray")):
        app(made, name, "sc-W", tag=tag)
        app(made, f"G{tag}", "sc-G", tag=tag, protocol="")
    front = app(made, "F", "sc-F", POD, application="front")
    front2 = app(made, "F2", "sc-F2", POD, application="front", port=PORT + 1)
    app(made, "F6", "sc-F", POD6, application="front")
    made.write_services()
    made.start_laneway()
    elsewhere = {"W", "Wgray", "G", "Ggray", "shared-too", "F", "F2", "F6"}
    made.start_apps(p for n, p in made.pods.items() if n not in elsewhere)
    made.apply(
        made.gateway(),
        route("b", "sc-B"),
        group("g", "back"),
        lane("gray", "g"),
        lane("red", "g"),
        lane("strict", "g", "nobody", fallback="none"),
    )
    with ExitStack() as stack:
        for name in ("W", "Wgray"):
            address = (made.pods[name].address, PORT)
            stack.enter_context(peers.serve(address, peers.web_socket(name)))
        for name in ("G", "Ggray"):
            at = f"{made.pods[name].address}:{PORT}"
            made.start_command(f"grpc-{name}", [sys.executable, peers.__file__, "serve-grpc", at, name])
            until(lambda n=name: listening((made.pods[n].address, PORT)), 20, name)
        with pods[FOUR].enter():
            front2.port = 30002  # where the application itself listens
            made.start_apps([front])
            made.start_apps([front2])
            front2.port = PORT + 1
        for pod in pods.values():
            netns.capture(pod, [PORT, PORT + 1])
        sidecar(made, pods[FOUR], FOUR, POD)
        sidecar(made, pods[SIX], SIX, POD6)
        for pod in pods.values():
            with pod.enter():
                until(lambda: made._is_ready(("127.0.0.1", 15000)), 30, f"the sidecar of {pod.name}")
                until(lambda: listening(("127.0.0.1", netns.OUTBOUND)), 30, "its outbound listener")
        made.check_accepted()
        yield made


def ask(
    pods: dict[str, netns.Namespace],
    address: str,
    *headers: Header,
    host: str = "anything",
    port: int = PORT,
    pod: str = FOUR,
    **more: object,
) -> Answer:
    """One request over a connection from inside the pod to `address`."""
    with pods[pod].enter(), Client((address, port)) as client:
        return client.request("GET", "/x?y=1", headers, host=host, **more)  # type: ignore[arg-type]


def test_any_instance_means_the_service(mesh: Mesh, pods: dict) -> None:
    for name in ("B", "B2", "Bgray", "Bred"):
        address = mesh.pods[name].address
        for _ in range(4):
            assert ask(pods, address, GRAY).chain == ["Bgray"], name
            assert ask(pods, address).chain[0] in ("B", "B2"), name
            assert ask(pods, address, ("baggage", "a=1,lane=red")).chain == ["Bred"], name
            assert ask(pods, address, ("x-lane", "later")).chain[0] in ("B", "B2"), name


def test_the_application_gets_both_carriers_and_nothing_of_laneway(mesh: Mesh, pods: dict) -> None:
    answer = ask(pods, mesh.pods["B"].address, GRAY, ("baggage", "u=1"), host="B.example:1")
    assert (answer.received("x-lane"), answer.received("baggage")) == (["gray"], ["lane=gray,u=1"])
    assert answer.received("host") == ["B.example:1"]
    assert answer.json["path"] == "/x?y=1"
    assert not [n for n, _ in answer.json["headers"] if n.startswith(("x-laneway-", "x-envoy-"))]


def test_host_may_lie(mesh: Mesh, pods: dict) -> None:
    for name in ("sc-C", "sc-C:20001", f"{mesh.pods['C'].address}:{PORT}", "no.such.host", "*", "sc-b"):
        assert ask(pods, mesh.pods["B"].address, GRAY, host=name).chain == ["Bgray"], name
        assert ask(pods, mesh.pods["B"].address, host=name).chain[0] in ("B", "B2"), name


def test_a_forged_destination_changes_nothing(mesh: Mesh, pods: dict) -> None:
    for value in (f"{mesh.pods['C'].address}:{PORT}", "sc-C", "", "*"):
        forged = ("x-laneway-destination", value)
        assert ask(pods, mesh.pods["B"].address, GRAY, forged).chain == ["Bgray"]
        assert ask(pods, mesh.pods["B"].address, GRAY, forged, forged).chain == ["Bgray"]


def test_each_request_of_one_connection_is_routed(mesh: Mesh, pods: dict) -> None:
    with pods[FOUR].enter(), Client((mesh.pods["B"].address, PORT)) as client:
        for _ in range(10):
            assert client.get("/", GRAY).chain == ["Bgray"]
            assert client.get("/").chain[0] in ("B", "B2")


def test_a_former_instance_means_its_service(mesh: Mesh, pods: dict) -> None:
    """A client's own load balancer is stale: what it calls has left the registry (but still answers here)."""
    address = mesh.pods["B2"].address
    mesh.register("B2", registered=False)
    try:
        until(lambda: {ask(pods, address).chain[0] for _ in range(6)} == {"B"}, 10, "B2 to be left alone")
        assert ask(pods, address, GRAY).chain == ["Bgray"]
        assert ask(pods, address, host="sc-C").chain == ["B"]
    finally:
        mesh.register("B2")
        until(lambda: "B2" in {ask(pods, address).chain[0] for _ in range(6)}, 10, "B2 again")


def test_host_decides_for_an_address_that_is_no_instance(mesh: Mesh, pods: dict) -> None:
    """As with a virtual service address: nothing listens there."""
    for name in ("sc-B", "sc-b", "SC-B", "sc-B:80", "sC-b:20001"):
        assert ask(pods, "10.9.0.59", GRAY, host=name, port=80).chain == ["Bgray"], name
        assert ask(pods, "10.9.0.59", host=name, port=80).chain[0] in ("B", "B2"), name


def test_an_unknown_address_passes(mesh: Mesh, pods: dict) -> None:
    answer = ask(pods, mesh.pods["outside"].address, GRAY, host="outside.example")
    assert (answer.chain, answer.received("x-lane")) == (["outside"], ["gray"])
    assert ask(pods, mesh.pods["outside"].address).chain == ["outside"]


def test_an_address_of_two_services(mesh: Mesh, pods: dict) -> None:
    """Host chooses among them; the first by canonical id takes the rest; the conflict is shown."""
    address = mesh.pods["shared"].address
    for name in ("sc-Y", "sc-y", "sc-Y:20001", "sc-y:80"):
        assert ask(pods, address, GRAY, host=name).chain == ["Ygray"], name
    for name in ("sc-X", "sc-x:20001", "other", f"{address}:{PORT}"):
        assert ask(pods, address, GRAY, host=name).chain == ["Xgray"], name
        assert ask(pods, address, host=name).chain == ["shared"]
    for service, other in (("sc-X", "sc-Y"), ("sc-Y", "sc-X")):
        assert other in str(mesh.rest.get(f"/v1/services/{service}")["conflicts"])


@pytest.mark.parametrize("offer", ["TLS/1.2", "h2c"])
def test_offers_to_upgrade_are_ignored(mesh: Mesh, pods: dict, offer: str) -> None:
    """Apache HttpClient 5 offers TLS, Java's own client offers HTTP/2, with every request."""
    headers: list[Header] = [("upgrade", offer), ("connection", "Upgrade")]
    if offer == "h2c":
        headers = [
            ("upgrade", offer),
            ("connection", "Upgrade, HTTP2-Settings"),
            ("http2-settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
        ]
    for extra, expected in (([GRAY], {"Bgray"}), ([], {"B", "B2"})):
        answer = ask(pods, mesh.pods["B"].address, *headers, *extra)
        assert (answer.status, answer.chain[0] in expected) == (200, True)


def test_web_sockets(mesh: Mesh, pods: dict) -> None:
    for lane_name, expected in (("gray", b"Wgray"), ("none", b"W")):
        with pods[FOUR].connect((mesh.pods["W"].address, PORT)) as connection:
            connection.sendall(
                b"GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nx-lane: "
                + lane_name.encode()
                + b"\r\n\r\n"
            )
            head = peers.read_head(connection)
            assert b" 101 " in head.splitlines()[0]
            assert b"x-name: " + expected + b"\r\n" in head
            connection.sendall(b"\x81\x02hi")
            assert connection.recv(100) == b"\x81\x02hi"


def call_grpc(pods: dict, pod: str, at: str, *metadata: str) -> str:
    with pods[pod].enter():
        done = subprocess.run(
            [sys.executable, peers.__file__, "call-grpc", at, *metadata],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_grpc_over_clear_text(mesh: Mesh, pods: dict) -> None:
    """HTTP/2 as it comes: the registry does not say that the service speaks it."""
    at = f"{mesh.pods['G'].address}:{PORT}"
    assert call_grpc(pods, FOUR, at, "x-lane=gray") == "Ggray gray lane=gray"
    assert call_grpc(pods, FOUR, at) == "G None None"


def test_a_lane_without_fallback(mesh: Mesh, pods: dict) -> None:
    """gRPC has no status 503: its callers learn it from the status and headers that they read."""
    answer = ask(pods, mesh.pods["B"].address, ("x-lane", "strict"))
    assert (answer.status, answer.header("x-laneway-reason")) == (503, "lane-unavailable")
    text = call_grpc(pods, FOUR, f"{mesh.pods['G'].address}:{PORT}", "x-lane=strict")
    assert text.startswith("UNAVAILABLE lane-unavailable Lane strict has no instance"), text


def test_calls_that_lost_their_lane_take_that_of_their_trace(mesh: Mesh, pods: dict) -> None:
    """HTTP/1.1 and gRPC; what came in was captured, too."""
    known = "0123456789abcdef-0123456789abcdef"
    address, at = mesh.pods["B"].address, f"{mesh.pods['G'].address}:{PORT}"
    mesh.apply(group("traces", "front", colour_by_trace=True), lane("traced", "traces"))
    try:

        def found() -> bool:
            with Client((POD, PORT)) as client:
                assert client.get("/", GRAY, ("b3", known)).chain == ["F"]
            return ask(pods, address, ("b3", known)).chain == ["Bgray"]

        until(found, 10, "the trace to be remembered")
        assert ask(pods, address, ("b3", f"f{known[1:]}")).chain[0] in ("B", "B2")
        assert ask(pods, address, ("b3", known), ("x-lane", "red")).chain == ["Bred"]
        assert call_grpc(pods, FOUR, at, f"b3={known}") == "Ggray gray lane=gray"
    finally:
        mesh.rest.done("DELETE", "/v1/lane-groups/traces")
        until(lambda: ask(pods, address, ("b3", known)).chain != ["Bgray"], 10, "no memory")


def test_a_server_that_speaks_first(mesh: Mesh, pods: dict, host: netns.Namespace) -> None:
    at = ("10.9.0.50", 3306)
    with peers.serve(at, peers.greeter), pods[FOUR].connect(at) as connection:
        assert connection.recv(100) == b"220 hello\r\n"
        connection.sendall(b"EHLO\r\n")
        assert connection.recv(100) == b"EHLO\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.certificate(tmp_path_factory.mktemp("tls"), "sc-B")


@pytest.mark.parametrize("protocols", [[], ["http/1.1"], ["h2", "http/1.1"], ["h2c"]])
def test_tls_passes(mesh: Mesh, pods: dict, certificate: Path, protocols: list[str]) -> None:
    """Whatever protocol is negotiated inside, the bytes are not HTTP to the sidecar."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    if protocols:
        server.set_alpn_protocols(protocols)
        client.set_alpn_protocols(protocols)

    def handle(connection: object) -> None:
        with server.wrap_socket(connection, server_side=True) as inner:  # type: ignore[arg-type]
            peers.greeter(inner)

    at = ("10.9.0.51", 443)
    with (
        peers.serve(at, handle),
        pods[FOUR].connect(at) as raw,
        client.wrap_socket(raw, server_hostname="sc-B") as connection,
    ):
        assert connection.selected_alpn_protocol() == (protocols[0] if protocols else None)
        assert connection.recv(100) == b"220 hello\r\n"
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.recv(100) == b"GET / HTTP/1.1\r\n\r\n"


def test_inbound(mesh: Mesh, pods: dict, host: netns.Namespace) -> None:
    """The other way: who calls the pod meets its sidecar, which sets both carriers."""
    for port, name in ((PORT, "F"), (PORT + 1, "F2")):
        with Client((POD, port)) as client:
            answer = client.get("/in", ("baggage", "u=1,lane=gray"))
            assert answer.chain == [name]
            assert (answer.received("x-lane"), answer.received("baggage")) == (["gray"], ["lane=gray,u=1"])


def test_inbound_does_not_hide_a_dead_application(mesh: Mesh, pods: dict) -> None:
    front = mesh.pods["F"]
    mesh.kill(front.app)
    try:
        with Client((POD, PORT)) as client:
            answer = client.get("/in")
            assert (answer.status, answer.header("x-laneway-unreached")) == (503, "refused")
    finally:
        with pods[FOUR].enter():
            mesh.start_apps([front])
        with Client((POD, PORT)) as client:
            until(lambda: client.get("/in").status == 200, 10, "the application")


@pytest.mark.parametrize("port", [netns.OUTBOUND, netns.INBOUND])
def test_who_calls_the_sidecar_itself_is_cut_off(mesh: Mesh, pods: dict, port: int) -> None:
    """It is no proxy for others, and not its own client over and over."""
    for address in (POD, POD6):
        with Client((address, port)) as client, pytest.raises((EOFError, ConnectionError)):
            client.request("GET", "/", [GRAY], host="sc-B")


def test_version_six(mesh: Mesh, pods: dict) -> None:
    for name in ("six", "sixgray"):
        address = mesh.pods[name].address
        for headers, expected in (([GRAY], "sixgray"), ([], "six")):
            answer = ask(pods, address, *headers, host="lies", pod=SIX)
            assert answer.chain == [expected]
    assert ask(pods, mesh.pods["six-out"].address, GRAY, pod=SIX).chain == ["six-out"]
    # A pod with an address of version six still calls services of version four.
    assert ask(pods, mesh.pods["B"].address, GRAY, pod=SIX).chain == ["Bgray"]
    assert ask(pods, mesh.pods["outside"].address, GRAY, pod=SIX).chain == ["outside"]
