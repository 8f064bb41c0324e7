"""REST that takes things away: delete of many definitions, pruning, and the way back to a revision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from controlplane.admin import answers, bodies, openapi, shapes
from controlplane.admin.changes import change, check
from controlplane.admin.control import ControlPlane
from controlplane.model.definitions import Definitions, Key
from controlplane.model.kinds import KINDS
from controlplane.model.mistakes import meant
from controlplane.model.parsing import parse_keys
from controlplane.model.problems import DefinitionError, Problem
from controlplane.store.history import changes_between, restoring

NOTE_LIMIT = 500
REVISIONS_READ = 1000
LAST_REVISION = 2**53  # what every JSON reader holds exactly

Note = Annotated[
    str, Query(max_length=NOTE_LIMIT, description="Why; it is kept in the history with the change")
]
DryRun = Annotated[bool, Query(description="Only say what would be done")]


def check_known(definitions: Definitions, parents: Iterable[Key]) -> None:
    """Raises DefinitionError 422 where something that is to be pruned does not exist."""
    for key in parents:
        if definitions.get(key) is None:
            words = KINDS[key.kind].words
            known = sorted(one.name for one in definitions.table(key.kind))
            remedy = meant(key.name, known[:20], "known:") if known else "leave it out"
            wrong = Problem(f"prune_{KINDS[key.kind].parameter}", f"is not a known {words}", key.name, remedy)
            raise DefinitionError(422, f"There is no {words} {key.name} to prune", [wrong])


def add_routes(routes: APIRouter, control: ControlPlane) -> None:
    """The routes of `delete` and `restore`."""

    @routes.post(
        "/v1/delete",
        operation_id="deleteMany",
        tags=["definitions"],
        summary="Delete many definitions with all that goes with them, all or nothing",
        openapi_extra=openapi.body(
            {"anyOf": [NAMED, {"type": "array", "items": NAMED}]},
            "Documents, of which only kind and names are read: a YAML stream, or a JSON object or array",
        ),
        responses={
            200: openapi.answer(openapi.reference("Deleted"), "What was or would be deleted"),
            **openapi.failures(400, 409, 413, 415, 422, 503),
        },
    )
    async def delete(request: Request, dry_run: DryRun = False, note: Note = "") -> Response:
        data, is_yaml = await bodies.read(request)
        keys = parse_keys(data, yaml=is_yaml)
        told: list[answers.Deleted] = []

        def transform(definitions: Definitions) -> Definitions:
            named = [_completed(definitions, key) for key in keys]
            there = [key for key in dict.fromkeys(named) if definitions.get(key) is not None]
            after = definitions.change([], there) if there else definitions
            gone = [str(one.key) for one in changes_between(definitions, after) if one.after is None]
            absent = [str(key) for key in dict.fromkeys(named) if definitions.get(key) is None]
            told[:] = [answers.Deleted(deleted=gone, absent=absent)]
            return after

        if dry_run:
            now = control.store.current.definitions.judged_at(control.now())
            check(request, now, transform(now))
        else:
            await change(control, request, transform, note or "delete")
        return told[0].response()

    @routes.post(
        "/v1/revisions/{revision}/restore",
        operation_id="restoreRevision",
        tags=["revisions"],
        summary="Bring every definition back to what it was after this revision, as a new change",
        openapi_extra={
            "parameters": [
                {
                    "name": "revision",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "integer", "minimum": 0, "maximum": LAST_REVISION},
                }
            ]
        },
        responses={
            200: openapi.answer(openapi.reference("Restored"), "What was or would be changed"),
            **openapi.failures(404, 409, 422, 503),
        },
    )
    async def restore(request: Request, dry_run: DryRun = False, note: Note = "") -> Response:
        text = request.path_params["revision"]
        known = text.isascii() and text.isdecimal() and len(text) <= 16
        revisions = await control.store.revisions(REVISIONS_READ)
        back = restoring(revisions, int(text) if known else -1)
        told: list[answers.Restored] = []

        def transform(definitions: Definitions) -> Definitions:
            after = back(definitions)
            told[:] = [answers.Restored(changes=shapes.changes(changes_between(definitions, after)))]
            return after

        if dry_run:
            now = control.store.current.definitions.judged_at(control.now())
            check(request, now, transform(now))
        else:
            await change(control, request, transform, note or f"restore of revision {text}")
        return told[0].response()


NAMED = {
    "type": "object",
    "required": ["kind", "name"],
    "properties": {
        "kind": {"type": "string", "enum": list(KINDS)},
        **{name: {"type": "string"} for name in ("name", "gateway", "group")},
    },
}


def _completed(definitions: Definitions, key: Key) -> Key:
    """The key, with the group of a lane that does not say it: names of lanes are unique."""
    lane = definitions.lanes.get(key.name) if key.kind == "Lane" and not key.parent else None
    return key if lane is None else Key("Lane", lane.group, key.name)
