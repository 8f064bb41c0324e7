"""REST that takes things away: delete of many definitions, and pruning."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Request, Response

from controlplane.admin import answers, bodies, openapi, shapes
from controlplane.admin.changes import DryRun, Note, change_or_try
from controlplane.admin.control import ControlPlane
from controlplane.model.definitions import Definitions, Key
from controlplane.model.kinds import KINDS
from controlplane.model.mistakes import meant
from controlplane.model.parsing import parse_keys
from controlplane.model.problems import DefinitionError, Problem
from controlplane.store.history import changes_between


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
    """The route of `delete`."""

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
        result: list[Definitions] = []

        def transform(definitions: Definitions) -> Definitions:
            named = [_completed(definitions, key) for key in keys]
            there = [key for key in dict.fromkeys(named) if definitions.get(key) is not None]
            after = definitions.change([], there) if there else definitions
            gone = [str(one.key) for one in changes_between(definitions, after) if one.after is None]
            absent = [str(key) for key in dict.fromkeys(named) if definitions.get(key) is None]
            told[:], result[:] = [answers.Deleted(deleted=gone, absent=absent)], [after]
            return after

        await change_or_try(control, request, transform, note or "delete", dry_run)
        moves = shapes.moves(await control.moves(result[0])) if dry_run else None
        return told[0].model_copy(update={"moves": moves}).response()


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
