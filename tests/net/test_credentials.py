"""Texts that must not repeat credentials."""

from __future__ import annotations

import pytest
import yaml

from controlplane.net.credentials import bearer, where, without_users

SECRET = "hunter2"


@pytest.mark.parametrize(
    "token", [f"{SECRET}\nx", f"{SECRET} x", f"\xe9{SECRET}", f"{SECRET}\x00", f" {SECRET}", f"{SECRET}\r"]
)
def test_a_token_that_no_header_carries_is_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="no header can carry") as refused:
        bearer(token)
    assert SECRET not in str(refused.value)


def test_a_token_in_its_header() -> None:
    assert bearer("") == {}
    assert bearer(SECRET) == {"Authorization": f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"https://ann:{SECRET}@h.test:1/x", "https://...@h.test:1/x"),
        (f"'{SECRET}@h' is not a URL", "'...@h' is not a URL"),
        (f"https://ann:{SECRET}%40@h, https://ann:{SECRET}@h2", "https://...@h, https://...@h2"),
        ("https://h.test/x", "https://h.test/x"),
    ],
)
def test_users_of_urls_are_not_shown(text: str, shown: str) -> None:
    assert without_users(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        f'password: "{SECRET}\n',
        f"password: *{SECRET}\n",
        f"password: !{SECRET} x\n",
        f"password: {SECRET}: x\n",
        f"password: [{SECRET}\n",
        f"{SECRET}\nx: y\n",
        f"password: '\x01{SECRET}'\n",
    ],
)
def test_a_file_that_is_not_yaml_is_not_quoted(text: str) -> None:
    with pytest.raises(yaml.YAMLError) as error:
        yaml.safe_load(text.encode())
    said = where(error.value)
    assert SECRET not in said
    assert said.startswith("it is not YAML")
