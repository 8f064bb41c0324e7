"""diff, prune, delete, history and undo, as a shell would call them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Control
from tests.cli.test_forms import GROUP, LANES, run
from tests.entrance import ENTRANCE

Admin = tuple[str, Control]


@pytest.fixture
def server(admin: Admin) -> str:
    run("apply", "-f", "-", server=admin[0], stdin=f"{ENTRANCE}{GROUP}---\n{LANES}")
    return admin[0]


@pytest.fixture
def changed(tmp_path: Path) -> str:
    """The lanes with another priority and value of gray, without blue, and with a new one."""
    text = LANES.replace("tag: gray", "tag: gray\npriority: 7", 1).replace("value: gray", "value: pale")
    path = tmp_path / "lanes.yaml"
    path.write_text(text.replace("blue", "green"))
    return str(path)


FIELDS = """changed Lane/gray
  priority: 100 -> 7
  rule.conditions[0].value: gray -> pale
created Lane/green
"""


def test_diff_has_the_exit_codes_of_kubectl(server: str, changed: str, tmp_path: Path) -> None:
    assert run("diff", "-f", changed, server=server, code=1).stdout == FIELDS
    assert run("diff", "-f", "-", server=server, stdin=LANES).stdout == ""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(LANES.replace('operator: "=="', "operator: like"))
    told = run("diff", "-f", str(wrong), server=server, code=2)
    assert "wrong.yaml, document 1 (Lane/gray): rule.conditions[0].operator" in told.stderr
    assert run("diff", "-f", changed, server="127.0.0.1:9", code=3).stdout == ""
    pruned = run("diff", "-f", changed, "--prune", "--group", "order-flow", server=server, code=1)
    assert pruned.stdout == "deleted Lane/blue\n" + FIELDS


def test_apply_says_the_same_and_does_it(server: str, changed: str) -> None:
    scope = ("--prune", "--group", "order-flow")
    dry = run("apply", "-f", changed, "--dry-run", *scope, server=server)
    assert "dry run" in dry.stderr
    done = run("apply", "-f", changed, *scope, "--note", "TICKET-7: paler", server=server)
    assert dry.stdout == done.stdout
    assert "deleted   Lane/blue" in done.stdout
    assert "  priority: 100 -> 7" in done.stdout
    assert run("get", "lanes", "-o", "name", server=server).stdout.split() == [
        "lane/order-flow/gray",
        "lane/order-flow/green",
    ]
    listed = run("history", server=server).stdout.splitlines()
    assert any("TICKET-7: paler" in text for text in listed)
    assert "say what to prune" in run("apply", "-f", changed, "--prune", server=server, code=2).stderr
    assert "--prune" in run("apply", "-f", changed, "--group", "order-flow", server=server, code=2).stderr


def test_what_stays_as_it_was_switched_is_told(server: str) -> None:
    run("lane", "disable", "gray", server=server)
    kept = run("apply", "-f", "-", server=server, stdin=LANES).stderr
    assert "note: Lane/gray keeps enabled: false, because the document does not give it" in kept
    short = run("lane", "enable", "gray", "--ttl", "2h", server=server).stdout
    assert short.startswith("lane gray is enabled; open until 20")
    assert "yes, until 20" in run("get", "lanes", server=server).stdout


def test_delete_says_what_goes_with_it_before_and_after(server: str, tmp_path: Path) -> None:
    dry = run("delete", "lane-group", "order-flow", "--dry-run", server=server)
    assert dry.stdout == "deleted LaneGroup/order-flow\ndeleted Lane/blue\ndeleted Lane/gray\n"
    assert "with what is named would go: Lane/blue, Lane/gray" in dry.stderr
    assert ", lane gray -> route a, base, for example: laneway explain --gateway edge " in dry.stderr
    path = tmp_path / "all.yaml"
    path.write_text(f"{GROUP}---\n{LANES}---\n{{kind: Application, name: none}}\n")
    done = run("delete", "-f", str(path), "--note", "the end", server=server)
    assert done.stdout == "absent Application/none\n" + dry.stdout
    assert "with what is named" not in done.stderr
    newest = run("history", "--limit", "1", server=server).stdout
    assert "the end" in newest
    assert "deleted LaneGroup/order-flow, deleted Lane/blue, deleted Lane/gray" in newest


def test_history_of_one_revision_and_the_way_back_to_any(server: str, changed: str) -> None:
    run("apply", "-f", changed, "--note", "paler", server=server)
    run("delete", "lane", "gray", server=server)
    told = run("history", "2", server=server).stdout
    assert told.splitlines()[1] == "note: paler"
    assert told.endswith(FIELDS)
    assert "-priority: 100\n+priority: 7" in run("history", "2", "--diff", server=server).stdout
    run("history", "99", server=server, code=1)
    dry = run("undo", "--to", "1", "--dry-run", server=server)
    assert dry.stdout == "deleted Lane/green\ncreated Lane/gray\n"
    done = run("undo", "--to", "1", server=server).stdout
    assert done == dry.stdout + "all is as after revision 1\n"
    assert run("diff", "-f", "-", server=server, stdin=LANES).stdout == ""
    dry = run("undo", "4", "--dry-run", server=server)
    assert dry.stderr.endswith("dry run: nothing was changed\n")
    done = run("undo", "4", server=server).stdout
    assert done == dry.stdout + "revision 4 is undone\n"
    run("undo", server=server, code=2)
    run("undo", "1", "--to", "1", server=server, code=2)
