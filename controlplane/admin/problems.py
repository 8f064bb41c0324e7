"""Errors as RFC 9457 problems: one way out for all of them, and never a stack trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from controlplane.admin import answers
from controlplane.admin.problem_types import TYPES
from controlplane.model.problems import Problem

MEDIA_TYPE = "application/problem+json"


class ApiError(Exception):
    """An error of the HTTP request (path, precondition, media type). `error.field` names the part that is
    wrong.
    """

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


def problem(
    status: int,
    detail: str,
    errors: Iterable[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response with the sentence `detail`; `errors` are the mistakes, field by field."""
    return answers.Problem(**_said(status, detail, errors)).response(status, MEDIA_TYPE, headers)


def not_ready(
    detail: str, errors: Iterable[Problem], store: answers.Store, sources: list[answers.Source]
) -> Response:
    """The response of the readiness probe while the control plane is not ready."""
    body = answers.NotReady(**_said(503, detail, errors), store=store, sources=sources)
    return body.response(503, MEDIA_TYPE)


def _said(status: int, detail: str, errors: Iterable[Problem]) -> dict[str, Any]:
    return {
        "type": TYPES[status].uri if status in TYPES else "about:blank",
        "title": TYPES[status].title if status in TYPES else HTTPStatus(status).phrase,
        "status": status,
        "detail": detail.encode("utf-8", "backslashreplace").decode()[:2000],
        "errors": [answers.Mistake(**error.as_json()) for error in errors],
    }
