"""What an answer of explain says of the port, the headers and the retries of a request, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def parts(result: dict[str, Any]) -> Iterator[str]:
    """Lines, each with its subject in the first seven characters."""
    if listener := result.get("listener"):
        yield f"port   {_entrance(listener)}"
    for key, what in (("request_headers", "the service gets"), ("response_headers", "the client gets")):
        for one in result.get(key) or ():
            yield f"header {what}: {_change(one)}  ({one['by']})"
    if "cors_allowed" in result:
        may = "may" if result["cors_allowed"] else "may not"
        yield f"cors   pages of the request's Origin {may} read the answer"
    if retries := result.get("retries"):
        yield f"tries  {_tries(retries)}"
    if result.get("keeps_request_id"):
        yield "id     the application gets the x-request-id that arrived"
    if logged := result.get("access_log"):
        yield f"log    {logged}"
    if traced := result.get("tracing"):
        yield f"spans  {traced}"


def _entrance(listener: dict[str, Any]) -> str:
    said = [f"{listener['port']} at {', '.join(listener['addresses'])}"]
    if listener.get("certificate"):
        said.append(f"TLS with {listener['certificate']}")
    if listener.get("http3"):
        said.append(f"HTTP/3 on port {listener['http3']}")
    if listener.get("proxy_protocol"):
        said.append("PROXY protocol")
    return ", ".join(said)


def _change(one: dict[str, Any]) -> str:
    if one["change"] == "remove":
        return f"no {one['name']}"
    return f"{'also ' if one['change'] == 'add' else ''}{one['name']}: {one.get('value', '')}"


def _tries(retries: dict[str, Any]) -> str:
    when = ", ".join([*retries.get("conditions", ()), *map(str, retries.get("statuses", ()))])
    said = f"at most {retries['tries']} times" + (f" after {when}" if when else "")
    limit = retries.get("per_try_timeout")
    return f"{said}; each try within {limit:g} s" if limit else said
