"""REST over the history of definitions: the last changes, and the ways back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from controlplane.admin import answers, bodies, effects, openapi, shapes, tags
from controlplane.admin.changes import DryRun, Note, change, undo
from controlplane.admin.control import ControlPlane
from controlplane.admin.definitions import IF_MATCH
from controlplane.admin.problems import ApiError
from controlplane.model.definitions import Definitions
from controlplane.model.problems import Problem
from controlplane.store.history import changes_between, encode_changes, restoring, undoing
from controlplane.store.interface import Change, Transform

REVISIONS_READ = 1000
TAG = "Of a dry run: what If-Match has to hold so that this is done and nothing else"
LAST_REVISION = 2**53  # what every JSON reader holds exactly


def add_routes(routes: APIRouter, control: ControlPlane) -> None:
    """The routes of `history`, `undo` and `restore`."""

    @routes.get(
        "/v1/revisions",
        operation_id="listRevisions",
        tags=["revisions"],
        summary="The last changes, the newest first",
        openapi_extra={"parameters": openapi.IF_NONE_MATCH},
        responses={
            200: openapi.answer(
                openapi.items("Revision"), "Who changed what, and when", ETag="A weak entity tag"
            ),
            **openapi.UNCHANGED,
            **openapi.failures(422, 503),
        },
    )
    async def revisions(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=REVISIONS_READ)] = 100,
        after: Annotated[
            str | None,
            Query(
                alias="continue",
                pattern="^[0-9]{1,16}$",
                description="`continue` of the page before, for the next one",
            ),
        ] = None,
    ) -> Response:
        kept = await control.store.revisions(REVISIONS_READ if after is not None else limit + 1)
        older = [one for one in kept if after is None or one.number < int(after)]
        page = [shapes.revision(one) for one in older[:limit]]
        items = b",".join(one.model_dump_json(exclude_defaults=True).encode() for one in page)
        rest = b',"continue":"%d"' % older[limit - 1].number if len(older) > limit else b""
        body = b'{"items":[' + items + b"]" + rest + b"}"
        return tags.answer(request, body, tags.weak(body))

    @routes.post(
        "/v1/revisions/{revision}/undo",
        operation_id="undoRevision",
        tags=["revisions"],
        summary="Take one change back, as a new change",
        openapi_extra=_parameters(1),
        responses={
            200: openapi.answer(
                _or_effect("Revision"), "The new revision; in a dry run what would change", ETag=TAG
            ),
            **openapi.failures(404, 409, 412, 422, 503),
        },
    )
    async def undo_revision(request: Request, dry_run: DryRun = False) -> Response:
        number = _number(request)
        if dry_run:
            kept = await control.store.revisions(REVISIONS_READ)
            back = undoing(next((one for one in kept if one.number == number), None), number)
            return await tried(request, back)

        def first(before: Definitions, after: Definitions) -> None:
            bodies.as_seen(request, _tag(changes_between(before, after)))

        stored = await undo(control, request, number, first)
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
            200: openapi.answer(
                _or_effect("Restored"), "What was changed; in a dry run what would change", ETag=TAG
            ),
            **openapi.failures(404, 409, 412, 422, 503),
        },
    )
    async def restore(request: Request, dry_run: DryRun = False, note: Note = "") -> Response:
        number = _number(request)
        back = restoring(await control.store.revisions(REVISIONS_READ), number)
        if dry_run:
            return await tried(request, back)
        told: list[answers.Restored] = []

        def transform(definitions: Definitions) -> Definitions:
            after = back(definitions)
            changes = changes_between(definitions, after)
            bodies.as_seen(request, _tag(changes))
            told[:] = [answers.Restored(changes=shapes.changes(changes))]
            return after

        await change(control, request, transform, note or f"restore of revision {number}")
        return told[0].response()

    async def tried(request: Request, transform: Transform) -> Response:
        seen: list[str] = []

        def tagged(definitions: Definitions) -> Definitions:
            after = transform(definitions)
            seen[:] = [_tag(changes_between(definitions, after))]
            return after

        effect = await effects.of_change(control, request, tagged)
        return effect.response(headers={"ETag": seen[0]})


def _tag(changes: tuple[Change, ...]) -> str:
    return tags.of_change(encode_changes(changes).encode())


def _or_effect(name: str) -> dict[str, Any]:
    return {"anyOf": [openapi.reference(name), openapi.reference("Effect")]}


def _parameters(least: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": least, "maximum": LAST_REVISION}
    named = {"name": "revision", "in": "path", "required": True, "schema": schema}
    return {"parameters": [named, IF_MATCH]}


def _number(request: Request) -> int:
    """The revision that the path names. Raises ApiError 404."""
    text = request.path_params["revision"]
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(LAST_REVISION)):
        remedy = "see `laneway history`, or /v1/revisions"
        wrong = Problem("revision", "is not the number of a revision", text, remedy)
        raise ApiError(404, "There is no such revision.", wrong)
    return int(text)
