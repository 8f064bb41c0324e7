"""REST over the history of definitions: the last changes, and the ways back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from controlplane.admin import answers, openapi, shapes
from controlplane.admin.changes import DryRun, Note, change_or_try, undo
from controlplane.admin.control import ControlPlane
from controlplane.admin.problems import ApiError
from controlplane.model.definitions import Definitions
from controlplane.model.problems import Problem
from controlplane.store.history import changes_between, restoring

REVISIONS_READ = 1000
LAST_REVISION = 2**53  # what every JSON reader holds exactly


def add_routes(routes: APIRouter, control: ControlPlane) -> None:
    """The routes of `history`, `undo` and `restore`."""

    @routes.get(
        "/v1/revisions",
        operation_id="listRevisions",
        tags=["revisions"],
        summary="The last changes, the newest first",
        responses={
            200: openapi.answer(openapi.reference("Revisions"), "Who changed what, and when"),
            **openapi.failures(422, 503),
        },
    )
    async def revisions(limit: Annotated[int, Query(ge=1, le=REVISIONS_READ)] = 100) -> Response:
        found = await control.store.revisions(limit)
        return answers.Revisions(items=[shapes.revision(one) for one in found]).response()

    @routes.post(
        "/v1/revisions/{revision}/undo",
        operation_id="undoRevision",
        tags=["revisions"],
        summary="Take one change back, as a new change",
        openapi_extra=_parameters(1),
        responses={
            200: openapi.answer(openapi.reference("Revision"), "The new revision"),
            **openapi.failures(404, 409, 422, 503),
        },
    )
    async def undo_revision(request: Request) -> Response:
        stored = await undo(control, request, _number(request))
        revisions = await control.store.revisions(REVISIONS_READ)
        made = [one for one in revisions if one.number == stored.revision]
        return shapes.revision(made[0]).response()

    @routes.post(
        "/v1/revisions/{revision}/restore",
        operation_id="restoreRevision",
        tags=["revisions"],
        summary="Bring every definition back to what it was after this revision, as a new change",
        openapi_extra=_parameters(0),
        responses={
            200: openapi.answer(openapi.reference("Restored"), "What was or would be changed"),
            **openapi.failures(404, 409, 422, 503),
        },
    )
    async def restore(request: Request, dry_run: DryRun = False, note: Note = "") -> Response:
        number = _number(request)
        back = restoring(await control.store.revisions(REVISIONS_READ), number)
        told: list[answers.Restored] = []

        def transform(definitions: Definitions) -> Definitions:
            after = back(definitions)
            told[:] = [answers.Restored(changes=shapes.changes(changes_between(definitions, after)))]
            return after

        await change_or_try(control, request, transform, note or f"restore of revision {number}", dry_run)
        return told[0].response()


def _parameters(least: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": least, "maximum": LAST_REVISION}
    return {"parameters": [{"name": "revision", "in": "path", "required": True, "schema": schema}]}


def _number(request: Request) -> int:
    """The revision that the path names. Raises ApiError 404."""
    text = request.path_params["revision"]
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(LAST_REVISION)):
        remedy = "see `laneway history`, or /v1/revisions"
        wrong = Problem("revision", "is not the number of a revision", text, remedy)
        raise ApiError(404, "There is no such revision.", wrong)
    return int(text)
