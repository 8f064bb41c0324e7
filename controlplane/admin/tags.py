"""Entity tags (RFC 9110, 8.8.3), and the answer 304 to whoever has what there is.

What a list or an item says may change without a change of definitions: its status does. So the tags of
answers are weak ones that cover all that is shown. The tag of a definition is `W/"D.S"`: D is the strong tag
of the definition alone, which a PUT answers with and `If-Match` compares; S covers the status.
"""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response


def weak(data: bytes) -> str:
    """The weak tag of an answer."""
    return f'W/"{_hash(data)}"'


def of_change(changes: bytes) -> str:
    """The tag of what a change would do, as its dry run tells it, for `If-Match`: nothing else is done."""
    return f'"{_hash(changes)}"'


def of_definition(strong: str, shown: bytes) -> str:
    """The weak tag of a definition with the tag `strong` that is shown with its status."""
    return f'W/"{strong.strip(chr(34))}.{_hash(shown)[:16]}"'


def definition_in(tag: str) -> str:
    """The strong tag of the definition in a tag that a GET or a PUT has answered with."""
    if not tag.startswith('W/"'):
        return tag
    return f'"{tag[3:].rstrip(chr(34)).partition(".")[0]}"'


def answer(request: Request, body: bytes, tag: str) -> Response:
    """`body` as JSON, or 304 if the client has it."""
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    given = ",".join(request.headers.getlist("if-none-match"))
    if given and _has(given, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def _has(given: str, tag: str) -> bool:
    """Whether a list of tags has `tag`, by the weak comparison."""
    return given.strip() == "*" or tag.removeprefix("W/") in (
        part.strip().removeprefix("W/") for part in given.split(",")
    )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
