"""Errors as RFC 9457 problems: one way out for all of them, and never a stack trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from controlplane.model.problems import Problem

MEDIA_TYPE = "application/problem+json"


class ApiError(Exception):
    """An error of the HTTP side (paths, preconditions, media types); `error.field` is what is wrong of it."""

    def __init__(
        self,
        status: int,
        detail: str,
        error: Problem,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.error = error
        self.headers = dict(headers or {})


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def problem(
    status: int,
    detail: str,
    errors: Iterable[Problem] = (),
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> ProblemResponse:
    """The response that says `detail`; `errors` are the mistakes field by field, `members` what is special
    to this problem.
    """
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail.encode("utf-8", "backslashreplace").decode()[:2000],
        "errors": [error.as_json() for error in errors],
        **members,
    }
    return ProblemResponse(body, status_code=status, headers=dict(headers or {}))
