"""The types of problems (RFC 9457), which /docs/problems shows: what each status means, and what to do."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

PAGE = "/docs/problems"


class ProblemType(NamedTuple):
    """`slug` is its place on the page; `title`, `meaning` and `remedy` are for people."""

    slug: str
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        """What `type` of a problem is: the path of its description on the server that answered."""
        return f"{PAGE}#{self.slug}"


TYPES: dict[int, ProblemType] = {
    400: ProblemType(
        "unreadable", "The request cannot be read",
        "The body is not JSON or YAML within the bounds, or the request is not HTTP/1.1.",
        "Each error names the line and the column, or the bound.",
    ),
    401: ProblemType(
        "unauthenticated", "A known token is needed",
        "The control plane asks for a token, and the request has none, or one that is unknown or expired.",
        "Send `Authorization: Bearer TOKEN`; the command takes --token or LANEWAY_TOKEN.",
    ),
    403: ProblemType(
        "forbidden", "This is not allowed",
        "The role of the token does not include this, or the request comes from a page of another origin.",
        "Use a token whose role includes it; the error says which one is needed.",
    ),
    404: ProblemType(
        "absent", "It does not exist",
        "The thing that the URL names, its parent, or the path itself does not exist.",
        "The error names the nearest known name; lists show what there is.",
    ),
    405: ProblemType(
        "method", "This method is not possible here",
        "The path exists, and takes other methods.",
        "The header Allow lists them.",
    ),
    408: ProblemType(
        "timeout", "The request took too long",
        "Headers or body did not arrive in time.",
        "Send the request again; the times are settings (admin_header_time, admin_body_time).",
    ),
    409: ProblemType(
        "conflict", "It is in conflict with what is defined",
        "Something refers to what would be deleted, a name is taken, or a name may mean several things.",
        "Change or delete first what the error names.",
    ),
    412: ProblemType(
        "precondition", "It has changed since",
        "If-Match or If-None-Match does not hold.",
        "GET it again, and repeat the change with that ETag.",
    ),
    413: ProblemType(
        "too-large", "The body is too large",
        "A body has at most 4 MiB, a question to explain 512 KiB.",
        "Send the documents in parts.",
    ),
    415: ProblemType(
        "media-type", "This type of content is not taken",
        "Bodies are JSON or YAML in UTF-8, and for PATCH also application/merge-patch+json.",
        "Set Content-Type; the header Accept or Accept-Patch lists what is taken.",
    ),
    421: ProblemType(
        "host", "This server is not called so",
        "The header Host is not a name of this server.",
        "Call the address that is bound, or list the name with --admin-hosts.",
    ),
    422: ProblemType(
        "invalid", "The definitions or parameters are not valid",
        "The request can be read, but a field of it cannot be used. Nothing was changed.",
        "Each error names the document, the field, the value and the remedy.",
    ),
    429: ProblemType(
        "too-many-attempts", "Too many wrong tokens",
        "Too many wrong tokens came from this address.",
        "Wait for the seconds in Retry-After, and give the right token.",
    ),
    431: ProblemType(
        "headers", "The headers are too large",
        "A request has at most 100 lines of headers and 32 KiB of them.",
        "Leave some out.",
    ),
    500: ProblemType(
        "internal", "An error of Laneway itself",
        "Nothing that a client can mend.",
        "The log of the control plane says more; please report it.",
    ),
    503: ProblemType(
        "unavailable", "Not possible now",
        "The server is overloaded, or the store of definitions is not loaded or cannot be written. "
        "Nothing was changed, and proxies go on.",
        "Try again after the seconds in Retry-After; /readyz says what is waited for.",
    ),
}  # fmt: skip
"""By status."""


def page() -> str:
    """The page of all types."""
    parts = [
        f'<h2 id="{one.slug}">{escape(one.title)}</h2>\n'
        f"<p>Status {status}. {escape(one.meaning)}</p>\n<p>{escape(one.remedy)}</p>\n"
        for status, one in TYPES.items()
    ]
    head = '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Problems</title></head>\n'
    return f"{head}<body>\n<h1>Problems</h1>\n{''.join(parts)}</body>\n</html>\n"
