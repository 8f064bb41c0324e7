"""Rule 9: an upload that reached no application goes to another instance, whatever its size.

Proxies keep the first megabyte of a body. Larger ones fail over because no proxy takes that much of them
before it knows that an instance refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh, seen_anew
from tests.mesh.pods import Pod
from tests.mesh.uploads import FORMS, Uploaded, upload

GRAY = ("canary", "gray")
LARGE = 5_000_000


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    """A and its lane; A → B, where only B has one; and D, whose base has two instances."""
    made = new_mesh()
    made.pod("A", "sc-A", "a")
    made.pod("Agray", "sc-A", "a", tag="gray")
    made.pod("Caller", "sc-caller", "caller", next="sc-B")
    made.pod("B", "sc-B", "b")
    made.pod("Bgray", "sc-B", "b", tag="gray")
    made.pod("D1", "sc-D", "d")
    made.pod("D2", "sc-D", "d")
    made.start(
        route("a", "sc-A"),
        route("caller", "sc-caller"),
        route("d", "sc-D"),
        group("order-flow", "a", "b"),
        lane("gray"),
    )
    made.wait_chain(["Agray"], GRAY)
    made.wait_chain(["Caller", "Bgray"], GRAY, path="/caller")
    return made


@contextlib.contextmanager
def dead(mesh: Mesh, name: str, what: str) -> Iterator[Pod]:
    pod = mesh.pods[name]
    if what == "application":
        mesh.kill(pod.app)
    else:
        mesh.kill(pod.envoy)
    try:
        yield pod
    finally:
        if what == "application":
            mesh.start_apps([pod])
        else:
            mesh.start_sidecars([pod])
            mesh.wait_ready(name)


def send(mesh: Mesh, form: str, size: int, path: str = "/a") -> Uploaded:
    return asyncio.run(upload(mesh.edge_address, form, size, path))


def lost(answer: Uploaded) -> bool:
    """Whether more of a body came than a proxy keeps, before it knew that the instance refuses.

    That is rare (docs/decisions/0017): while a try waits for its connection, all that comes is taken.
    """
    return answer.status in (503, 507)


def test_an_application_s_own_errors_take_nobody_out(mesh: Mesh) -> None:
    """Neither in a lane, nor in base."""
    ejections = "cluster.*ejections_enforced_total$"
    before = sum(mesh.stats(admin, ejections) for admin in mesh.envoys())
    for path, lane_name, name in (("/a", "gray", "Agray"), ("/a", "none", "A"), ("/d", "none", "D2")):
        for status in (503, 502, 500):
            fail = ("x-fail", f"{name}={status} x-laneway-unreached:refused")
            statuses = {mesh.edge.get(path, ("canary", lane_name), fail).status for _ in range(4)}
            assert status in statuses
    assert sum(mesh.stats(admin, ejections) for admin in mesh.envoys()) == before


@pytest.mark.parametrize("what", ["application", "sidecar"])
def test_the_lane_s_only_instance_refuses(mesh: Mesh, what: str) -> None:
    losses = 0
    with dead(mesh, "Agray", what) as pod:
        for size in (1_000, 900_000, LARGE):
            for form in FORMS:
                seen_anew(mesh, pod)
                answer = send(mesh, form, size)
                if size == LARGE and lost(answer):
                    losses += 1
                    answer = send(mesh, form, size)
                assert answer == Uploaded(200, ("A",), size)
    assert losses <= 1
    seen_anew(mesh, pod)
    mesh.wait_chain(["Agray"], GRAY)


@pytest.mark.parametrize("what", ["application", "sidecar"])
def test_between_sidecars(mesh: Mesh, what: str) -> None:
    with dead(mesh, "Bgray", what) as pod:
        answers: list[Uploaded] = []
        for _ in range(3):
            seen_anew(mesh, pod)
            answers.append(send(mesh, "length", LARGE, "/caller"))
        assert sum(map(lost, answers)) <= 1
        assert {answer for answer in answers if not lost(answer)} == {Uploaded(200, ("Caller", "B"), LARGE)}
    seen_anew(mesh, pod)
    mesh.wait_chain(["Caller", "Bgray"], GRAY, path="/caller")


def test_one_of_two_instances_of_base_refuses(mesh: Mesh) -> None:
    with dead(mesh, "D2", "application") as pod:
        for _ in range(8):  # in turn: half of them would have gone to the dead one
            assert send(mesh, "length", LARGE, "/d") == Uploaded(200, ("D1",), LARGE)
    seen_anew(mesh, pod)
    until(lambda: mesh.chain("/d") == ["D2"], 20, "D2 to be back")


def test_an_application_that_accepts_nothing(mesh: Mesh) -> None:
    """Its queue of connections is full: its sidecar knows after half a second and takes little until then."""
    with dead(mesh, "Agray", "application") as pod, contextlib.ExitStack() as sockets:
        queue = sockets.enter_context(socket.socket())
        queue.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        queue.bind((pod.address, pod.app_port))
        queue.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((pod.address, pod.app_port))
        for form in ("length", "h2"):
            seen_anew(mesh, pod)
            answer = send(mesh, form, LARGE)
            if lost(answer):  # one at most: now the instance is out
                answer = send(mesh, form, LARGE)
            assert answer == Uploaded(200, ("A",), LARGE)
    seen_anew(mesh, pod)
    mesh.wait_chain(["Agray"], GRAY)


def test_one_refusal_takes_an_instance_out(mesh: Mesh) -> None:
    """So a dead application costs one upload at most, should it ever cost one, and no request two tries."""

    def untried() -> bool:
        before = mesh.stats(mesh.edge_admin, retries)
        assert mesh.chain("/a", GRAY) == ["A"]
        return mesh.stats(mesh.edge_admin, retries) == before

    retries = "cluster.file.*sc-A.*upstream_rq_retry$"
    with dead(mesh, "Agray", "application") as pod:
        seen_anew(mesh, pod)
        assert mesh.chain("/a", GRAY) == ["A"]
        out = f"{pod.address}:{pod.port}::health_flags::/failed_outlier_check"
        until(lambda: out in mesh.endpoints(mesh.edge_admin), 5, "the ejection")
        until(untried, 5, "requests that do not try it")
    mesh.wait_chain(["Agray"], GRAY, timeout=15)
