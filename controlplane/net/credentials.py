"""Credentials in headers and URLs, and how texts for logs and terminals are kept free of them. Pure."""

from __future__ import annotations

import re

import yaml

_USER = re.compile(r"[^\s/'\"]+@(?=[^\s/@]*)")


def bearer(token: str) -> dict[str, str]:
    """The header Authorization of RFC 6750 for a token, none for an empty one.

    Raises ValueError, whose text has nothing of the token, where no header can carry it: what HTTP clients
    say then has all of it.
    """
    if any(not 33 <= ord(char) <= 126 for char in token):
        raise ValueError("the token has a space, a line break or another character that no header can carry")
    return {"Authorization": f"Bearer {token}"} if token else {}


def without_users(text: str) -> str:
    """`text` with `...` in place of the user and the password in URLs."""
    return _USER.sub("...@", text)


def where(error: yaml.YAMLError) -> str:
    """What is wrong with a YAML file that may hold secrets: its parser's own words quote them."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return f"it is not YAML{place}: are brackets closed, and values with special characters quoted?"
