"""Completion in the shell: of kinds, and of the names that the control plane knows.

Nothing of it may print or take long: where the control plane does not answer within a second, there is no
completion.
"""

from __future__ import annotations

import os
from typing import Any

import typer

from controlplane.cli.options import DEFAULT_SERVER

PATIENCE_S = 1.0
MOST = 500
"""Names that are asked for."""


def kind(context: typer.Context, incomplete: str) -> list[str]:
    """A kind, or KIND/NAME."""
    from controlplane.cli import kinds

    word, slash, rest = incomplete.partition("/")
    if slash:
        return [f"{word}/{one}" for one in _names(context, word, rest)]
    return [one for one in (*(one.plural for one in kinds.every()), "all") if one.startswith(incomplete)]


def defined(context: typer.Context, incomplete: str) -> list[str]:
    """A kind of definition, or KIND/NAME."""
    from controlplane.cli import kinds

    if "/" in incomplete:
        return kind(context, incomplete)
    return [one.plural for one in kinds.every() if one.document and one.plural.startswith(incomplete)]


def name(context: typer.Context, incomplete: str) -> list[str]:
    """A thing of the kind that was written before."""
    return _names(context, str(context.params.get("kind") or ""), incomplete)


def gateway(context: typer.Context, incomplete: str) -> list[str]:
    """A gateway."""
    return _names(context, "gateways", incomplete)


def group(context: typer.Context, incomplete: str) -> list[str]:
    """A lane group."""
    return _names(context, "lane-groups", incomplete)


def lane(context: typer.Context, incomplete: str) -> list[str]:
    """A lane."""
    return _names(context, "lanes", incomplete)


def proxy(context: typer.Context, incomplete: str) -> list[str]:
    """The node id of a proxy."""
    return _names(context, "proxies", incomplete)


def revision(context: typer.Context, incomplete: str) -> list[str]:
    """The number of a revision."""
    found = _get(context, "/v1/revisions?limit=100")
    return [str(one["revision"]) for one in found if str(one["revision"]).startswith(incomplete)]


def _names(context: typer.Context, word: str, incomplete: str) -> list[str]:
    from controlplane.cli import kinds

    of = kinds.known(word)
    if of is None:
        return []
    found = _get(context, f"/v1/{of.plural}?limit={MOST}")
    names = [str(one.get(of.key, "")) for one in found]
    names += [f"{one[of.owner]}/{one[of.key]}" for one in found if of.owner and "/" in incomplete]
    if of.plural == "services":  # the short name is enough where it is the only one
        names += [one.rpartition("/")[2] for one in names]
    return sorted({one for one in names if one.startswith(incomplete)})


def _get(context: typer.Context, path: str) -> list[dict[str, Any]]:
    """The items at `path` of the control plane that the command would ask; none where it does not answer."""
    import httpx

    server = str(context.params.get("server") or os.environ.get("LANEWAY_SERVER") or DEFAULT_SERVER)
    token = str(context.params.get("token") or os.environ.get("LANEWAY_TOKEN") or "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    address = server if "://" in server else f"http://{server}"
    try:
        answer = httpx.get(address + path, headers=headers, timeout=PATIENCE_S, trust_env=False)
        return answer.json()["items"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return []
