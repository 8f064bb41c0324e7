"""Applications that name their callers, on real Envoys over mTLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mesh.client import Answer, Client, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc
from tests.mesh.secure import SecureMesh

pytestmark = pytest.mark.mesh


def called(mesh: Mesh, by: str, host: str) -> Answer:
    """A call through the sidecar of a pod."""
    with Client((mesh.pods[by].address, 15001)) as client:
        return client.request("GET", "/x", host=host)


def refused(answer: Answer) -> bool:
    if answer.status != 403:
        return False
    assert answer.header("x-laneway-reason") == "caller-not-allowed"
    assert answer.header("content-type") == "application/problem+json"
    assert "does not name the caller in `callers`" in answer.json["detail"]
    return True


def test_only_callers_that_are_named_are_served(tmp_path: Path) -> None:
    mesh = SecureMesh(tmp_path)
    try:
        abc(mesh)
        mesh.start(route("a", "sc-A"), route("b", "sc-B"))
        b = mesh.pods["B"]
        assert [called(mesh, by, "sc-B").status for by in ("A", "C")] == [200, 200]
        with mesh.load(("GET", "/a", [], b"")) as load:
            bank = {"kind": "Application", "name": "spring-cloud-b", "callers": ["spring-cloud-a"]}
            mesh.apply(bank)
            until(lambda: refused(called(mesh, "C", "sc-B")), 30, "C to be refused")
            until(lambda: refused(mesh.edge.get("/b")), 30, "the gateway to be refused")
            for admin in ((mesh.pods["C"].address, 15000), mesh.edge_admin):
                until(
                    lambda a=admin: f"{b.address}:{b.port}" not in mesh.endpoints(a), 30, "no endpoint of B"
                )
            assert f"{b.address}:{b.port}" in mesh.endpoints((mesh.pods["A"].address, 15000))
            assert called(mesh, "A", "sc-B").status == 200
            mesh.apply({**bank, "callers": ["spring-cloud-a", "spring-cloud-c", "gateway/edge"]})
            until(lambda: called(mesh, "C", "sc-B").status == 200, 30, "C to be served")
            until(lambda: mesh.edge.get("/b").status == 200, 30, "the gateway to be served")
            load.wait_for(50)
        assert load.failed() == []
        assert set(load.chains()) == {("A", "B", "C")}
        mesh.check_accepted()
    finally:
        mesh.stop()


def test_a_promotion_opens_no_closed_application(tmp_path: Path) -> None:
    """B is called by A alone, whichever of its versions is base; no request fails or meets two versions."""
    mesh = SecureMesh(tmp_path)
    try:
        abc(mesh, "Agray", "Bgray", "Cgray")
        bank = {"kind": "Application", "name": "spring-cloud-b", "callers": ["spring-cloud-a"]}
        mesh.start(
            route("a", "sc-A"), route("b", "sc-B"), bank, group("order-flow", *APPLICATIONS), lane("gray")
        )
        old, new = ("A", "B", "C"), ("Agray", "Bgray", "Cgray")

        def closed() -> bool:
            others = [called(mesh, by, "sc-B") for by in ("C", "Cgray")]
            return all(refused(one) for one in (*others, mesh.edge.get("/b")))

        until(closed, 30, "all but A to be refused")
        with mesh.load(("GET", "/a", [], b""), ("GET", "/a", [("canary", "gray")], b"")) as load:
            for word, base in (("promote", new), ("rollback", old), ("promote", new)):
                mesh.apply(lane("gray", enabled=True))
                body = {"lane": "gray"} if word == "promote" else None
                mesh.rest.done("POST", f"/v1/lane-groups/order-flow/{word}", body)
                until(lambda b=base: tuple(mesh.chain("/a")) == b, 30, f"base to be {base}")
                assert closed()
                load.wait_for(30)
            # Calls that no edge has coloured follow when the switch is over.
            until(lambda: called(mesh, "A", "sc-B").chain == ["Bgray", "Cgray"], 30, "A to call new base")
            assert closed()
        assert load.failed() == []
        assert set(load.chains()) == {old, new}
        mesh.check_accepted()
    finally:
        mesh.stop()
