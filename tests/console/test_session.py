"""Signing in, roles, and a control plane that goes away and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.auth.rights import rights_of
from controlplane.auth.tokens import Token, digest_of
from tests.cli.served import Served, served
from tests.console.conftest import Opened, accessible, confirmed

pytestmark = pytest.mark.console
ROLES = {"viewer": ["viewer"], "root": ["admin"], "ann": ["admin"], "bob": ["admin"]}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, "--admin-tokens", str(tokens(tmp_path, *ROLES))) as one:
        yield one


def tokens(folder: Path, *names: str) -> Path:
    """The file of tokens, with these."""
    file = folder / "tokens"
    file.touch(0o600)
    lines = [Token(name, digest_of(f"secret-of-{name}"), rights_of(ROLES[name])) for name in names]
    file.write_text("".join(f"{one.line()}\n" for one in lines))
    return file


def test_signing_in_and_out(guarded: Served, opened: Opened, tmp_path: Path) -> None:
    page = opened(f"http://127.0.0.1:{guarded.admin}/")
    token = page.get_by_role("textbox", name="Token")
    token.fill("wrong-token")
    accessible(page)
    page.keyboard.press("Enter")
    page.get_by_text("This token is not known").wait_for()
    token.fill("secret-of-viewer")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()
    assert page.get_by_role("link", name="New group").count() == 0, "a viewer is offered no change"
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    page.get_by_role("button", name="Signed in as viewer").click()
    page.get_by_role("menuitem", name="Sign out").click()
    token.wait_for()
    assert page.context.cookies() == []
    token.fill("secret-of-root")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="New group").wait_for()
    tokens(tmp_path, "viewer")  # the token of the session is revoked
    token.wait_for()


DEFINITIONS = """
{kind: Gateway, name: edge, listeners: [{port: 8080}]}
---
{kind: Route, gateway: edge, name: a, service: sc-a}
---
{kind: LaneGroup, name: order-flow, gateway: edge, applications: [spring-cloud-a]}
---
{kind: Lane, group: order-flow, name: gray, tag: gray, ratio: {percent: 100}, enabled: false}
---
kind: Release
group: order-flow
name: go
lane: gray
interval: 1s
steps: [{percent: 50, approval: true, persons: 2, by_others: true}, {percent: 100, hold: 1h}]
"""


def test_several_persons_approve_a_step(guarded: Served, opened: Opened) -> None:
    """Who has approved and how many are missing is shown; who cannot approve is not asked to."""
    root = {"Authorization": "Bearer secret-of-root"}
    release = "/v1/lane-groups/order-flow/releases/go"
    yaml = {**root, "Content-Type": "application/yaml"}
    guarded.http.post("/v1/apply", content=DEFINITIONS, headers=yaml).raise_for_status()
    guarded.http.post(f"{release}/start?force=true", headers=root).raise_for_status()
    pages = {}
    for name in ("root", "ann", "bob"):
        page = pages[name] = opened(f"http://127.0.0.1:{guarded.admin}/#/releases/order-flow/go")
        page.get_by_role("textbox", name="Token").fill(f"secret-of-{name}")
        page.keyboard.press("Enter")
        page.get_by_text("2 of 2 approvals are missing").wait_for()
        page.get_by_text("Not by root, who started it").wait_for()
    pages["root"].get_by_text("You started this release; somebody else has to approve").wait_for()
    assert pages["root"].get_by_role("button", name="Approve").count() == 0
    pages["ann"].get_by_role("button", name="Approve").click()
    confirmed(pages["ann"], "Approve", "keeps 50 % until 1 more person approves")
    pages["ann"].get_by_text("You have approved this step").wait_for()
    for page in pages.values():
        page.get_by_text("Approved by ann").wait_for()
        page.get_by_text("1 of 2 approvals is missing").wait_for()
    accessible(pages["ann"])
    assert pages["ann"].get_by_role("button", name="Approve").count() == 0
    pages["bob"].get_by_role("button", name="Approve").click()
    confirmed(pages["bob"], "Approve", "goes on from 50 % to 100 %")
    pages["root"].get_by_text("running", exact=True).first.wait_for()
    decided = guarded.http.get(release, headers=root).json()["progress"]["decisions"]
    assert [one["what"] for one in decided if "approved" in one["what"]] == [
        "approved by ann, 1 of 2",
        "approved by bob",
    ]


def test_the_connection_is_lost_and_taken_up_again(opened: Opened, tmp_path: Path) -> None:
    with served(tmp_path) as one:
        page = opened(f"http://127.0.0.1:{one.admin}/")
        page.locator("[data-state=live]").wait_for()
        admin = one.admin
    page.get_by_text("The connection to the control plane is lost").wait_for()
    with served(tmp_path, admin=admin):
        page.locator("[data-state=live]").wait_for()
        assert page.get_by_text("The connection to the control plane is lost").count() == 0
