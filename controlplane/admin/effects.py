"""What a change would do, found out without making it."""

from __future__ import annotations

from fastapi import Request

from controlplane.admin import answers, shapes
from controlplane.admin.changes import change_or_try
from controlplane.admin.control import ControlPlane
from controlplane.model.definitions import Definitions
from controlplane.store.history import changes_between
from controlplane.store.interface import Transform


async def of_change(control: ControlPlane, request: Request, transform: Transform) -> answers.Effect:
    """The differences that `transform` makes, and the requests that they move. Raises what it raises, and
    ApiError 403.
    """
    both: list[Definitions] = []

    def tried(definitions: Definitions) -> Definitions:
        both[:] = definitions, transform(definitions)
        return both[1]

    request.scope["state"]["dry_run"] = True
    await change_or_try(control, request, tried, "", True)
    before, after = both
    moves = shapes.moves(await control.moves(after))
    return answers.Effect(changes=shapes.changes(changes_between(before, after)), moves=moves)
