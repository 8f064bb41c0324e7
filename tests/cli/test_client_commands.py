"""The client commands against a served admin API, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import yaml

from tests.admin.conftest import SOURCE
from tests.cli.conftest import MATCHES, Control
from tests.cli.ports import free_port
from tests.cli.run import LANEWAY, environment, laneway
from tests.entrance import ENTRANCE

DEFINITIONS = (
    ENTRANCE
    + """kind: LaneGroup
name: order-flow
gateway: edge
applications: [spring-cloud-a, spring-cloud-b]
---
kind: Lane
group: order-flow
name: gray
tag: gray
rule:
  conditions:
    - {source: header, name: canary, operator: "==", value: gray}
    - {source: query, name: city, operator: in, value: [hz, bj]}
"""
)

Admin = tuple[str, Control]


def applied(admin: Admin) -> str:
    """URL of the admin API with DEFINITIONS in it."""
    laneway("apply", "-f", "-", stdin=DEFINITIONS, LANEWAY_SERVER=admin[0])
    return admin[0]


def test_apply_says_what_it_did_and_what_it_would_do(admin: Admin, tmp_path: Path):
    for number, document in enumerate(DEFINITIONS.split("---\n")):
        (tmp_path / f"{number}.yaml").write_text(document)
    command = ("apply", "-f", str(tmp_path), "--server", admin[0], "-o", "json")
    wanted = {"Gateway/edge", "Route/a", "LaneGroup/order-flow", "Lane/gray"}
    assert len(json.loads(laneway(*command, "--dry-run"))["created"]) == len(wanted)
    created = json.loads(laneway(*command))["created"]
    assert {one.split("/")[0] for one in created} == {one.split("/")[0] for one in wanted}
    again = json.loads(laneway(*command))
    assert (again["created"], again["changed"], len(again["unchanged"])) == ([], [], 4)


def test_services_with_their_sources(admin: Admin):
    url, control = admin
    table = laneway("get", "services", "--server", url)
    assert "nacos/public/DEFAULT_GROUP/sc-A" in table
    (source,) = [line.split() for line in table.splitlines() if line.startswith("nacos ")]
    assert source[:5] == ["nacos", "Nacos", "2.3.2", "complete", "2"]
    control.source = replace(
        SOURCE, unreachable_since=time.time() - 125, held_services=1, held=2, error="Nacos does not answer"
    )
    table = laneway("get", "services", "--server", url)
    (row,) = [line for line in table.splitlines() if line.startswith("nacos ")]
    assert "stale" in row
    assert "1 (2 instances)" in row
    assert row.endswith("not heard for 2m: Nacos does not answer")
    told = json.loads(laneway("get", "services", "-o", "json", "--server", url))
    assert told["sources"][0]["state"] == "stale"
    assert "sources" not in json.loads(laneway("get", "service", "sc-A", "-o", "json", "--server", url))


def test_lists_for_people_and_for_machines(admin: Admin):
    server = applied(admin)
    table = laneway("get", "lanes", "--server", server)
    assert "header canary == gray and query city in [hz, bj]" in table
    wide = laneway("get", "lanes", "-o", "wide", "--server", server)
    assert "PRIORITY" in wide
    assert "PRIORITY" not in table
    items = json.loads(laneway("get", "lanes", "-o", "json", "--server", server))["items"]
    assert [one["name"] for one in items] == ["gray"]
    assert (
        yaml.safe_load(laneway("get", "lane", "order-flow/gray", "-o", "yaml", "--server", server))
        == items[0]
    )
    for kind in ("gateways", "routes", "applications", "groups", "services", "proxies"):
        assert laneway("get", kind, "--server", server)


def test_describe(admin: Admin):
    server = applied(admin)
    assert "tag: gray" in (text := laneway("describe", "lane", "gray", "--server", server))
    assert "127.0.1.4:20001" in text
    service = laneway("describe", "service", "nacos/public/DEFAULT_GROUP/sc-A", "--server", server)
    assert "10.0.0.2:80" in service
    assert "the tag is empty" in service
    for words in (("proxies", "edge/1"), ("describe", "proxy", "edge/1")):
        proxy = laneway(*words, "--server", server)
        assert "no such cluster" in proxy
        assert "rejected" in proxy
        assert "no such filter" in proxy
    assert "last good route" in laneway("proxies", "--server", server)


def test_watch_shows_each_change_until_interrupted(admin: Admin):
    server = applied(admin)
    command = [LANEWAY, "get", "lanes", "--watch", "-o", "yaml", "--server", server]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    assert any("enabled: true" in line for line in process.stdout)
    laneway("lane", "disable", "gray", "--server", server)
    assert any("enabled: false" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == os.EX_OK


def test_watch_asks_only_when_something_has_changed(admin: Admin):
    """A quiet control plane is asked once for what is there, and once more when the watch begins."""
    from controlplane.cli.client import Client
    from controlplane.cli.following import Following

    server = applied(admin)
    with Client(server) as client:
        following = Following(client, ["/v1/lanes", "/v1/services"])
        following.wait()  # the watches have begun
        seen = threading.Event()

        def wait() -> None:
            following.wait()
            seen.set()

        for _ in range(20):  # what the other watch began with may come now
            threading.Thread(target=wait, daemon=True).start()
            if not seen.wait(1.5):
                break
            seen.clear()
        assert not seen.is_set()
        laneway("lane", "disable", "gray", "--server", server)
        assert seen.wait(30)


def test_lane_switch(admin: Admin):
    server = applied(admin)
    assert "gray is disabled" in laneway("lane", "disable", "gray", "--server", server)
    assert " no " in laneway("get", "lanes", "--server", server)
    assert "gray is enabled" in laneway("lane", "enable", "gray", "--server", server)


def test_matches_and_explain(admin: Admin):
    server = applied(admin)
    assert json.loads(laneway("matches", "gray", "-o", "json", "--server", server)) == MATCHES
    assert "base (fallback)" in laneway("matches", "gray", "--server", server)
    question = ("explain", "--gateway", "edge", "--path", "/a?x=1", "-H", "canary: gray", "-H", "b:c:d")
    text = laneway(*question, "--host", "shop", "-X", "POST", "--server", server)
    assert "gray" in text
    assert "127.0.1.2:20002" in text
    asked = admin[1].asked
    assert asked is not None
    assert (asked.gateway, asked.method, asked.host, asked.path) == ("edge", "POST", "shop", "/a?x=1")
    assert [tuple(pair) for pair in asked.headers] == [("canary", "gray"), ("b", "c:d")]


def test_export_is_taken_back(admin: Admin):
    server = applied(admin)
    text = laneway("export", "--server", server)
    result = json.loads(laneway("apply", "-f", "-", "-o", "json", "--server", server, stdin=text))
    assert (result["created"], result["changed"]) == ([], [])


def test_history_and_undo(admin: Admin):
    server = applied(admin)
    laneway("lane", "disable", "gray", "--server", server)
    newest = json.loads(laneway("history", "-o", "json", "--server", server))["items"][0]
    assert str(newest["revision"]) in laneway("history", "--server", server)
    laneway("undo", str(newest["revision"]), "--server", server)
    assert json.loads(laneway("get", "lane", "gray", "-o", "json", "--server", server))["enabled"] is True


def test_delete(admin: Admin, tmp_path: Path):
    server = applied(admin)
    assert "deleted Lane/gray" in laneway("delete", "lane", "gray", "--server", server)
    file = tmp_path / "all.yaml"
    file.write_text(DEFINITIONS)
    text = laneway("delete", "-f", str(file), "--server", server)
    assert "absent Lane/gray" in text
    assert "deleted Gateway/edge" in text
    assert json.loads(laneway("get", "gateways", "-o", "json", "--server", server))["items"] == []


def test_a_refused_change_is_told_field_by_field(admin: Admin):
    server = applied(admin)
    wrong = "kind: Lane\ngroup: order-flow\nname: red\ntag: red\npriorty: 1\nratio: {percent: 1}\n"
    text = laneway("apply", "-f", "-", "--server", server, stdin=wrong, code=1)
    assert text == (
        "error: standard input (Lane/red): priorty: is not a known field (it is 1)\n"
        "  remedy: did you mean priority?\n"
    )


def test_exit_codes(admin: Admin, tmp_path: Path):
    nobody = f"http://127.0.0.1:{free_port()}"
    assert "no answer from" in laneway("get", "lanes", "--server", nobody, code=3)
    assert "there is no lane" in laneway("lane", "enable", "red", "--server", admin[0], code=1)
    assert "unknown kind" in laneway("get", "things", code=2)
    assert "cannot read" in laneway("apply", "-f", str(tmp_path / "absent.yaml"), code=2)
    assert "Name: value" in laneway("explain", "--gateway", "edge", "-H", "canary", code=2)
    assert "KIND NAME" in laneway("delete", code=2)


def test_tokens(guarded: str):
    assert "LANEWAY_TOKEN" in laneway("get", "lanes", "--server", guarded, code=1)
    laneway("get", "lanes", "--server", guarded, LANEWAY_TOKEN="secret-of-alice")
    laneway("get", "lanes", "--server", guarded, "--token", "secret-of-alice")


def test_completion_of_kinds():
    words = laneway(
        _LANEWAY_COMPLETE="complete_bash", COMP_WORDS="laneway get la", COMP_CWORD="2", code=0
    ).split()
    assert {"lanes", "lane-groups"} <= set(words)
