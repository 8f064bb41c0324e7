"""Signing in, roles, and a control plane that goes away and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.auth.rights import rights_of
from controlplane.auth.tokens import Token, digest_of
from tests.cli.served import Served, served
from tests.console.conftest import Opened, accessible

pytestmark = pytest.mark.console
ROLES = {"viewer": ["viewer"], "root": ["admin"]}


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


def test_the_connection_is_lost_and_taken_up_again(opened: Opened, tmp_path: Path) -> None:
    with served(tmp_path) as one:
        page = opened(f"http://127.0.0.1:{one.admin}/")
        page.locator("[data-state=live]").wait_for()
        admin = one.admin
    page.get_by_text("The connection to the control plane is lost").wait_for()
    with served(tmp_path, admin=admin):
        page.locator("[data-state=live]").wait_for()
        assert page.get_by_text("The connection to the control plane is lost").count() == 0
