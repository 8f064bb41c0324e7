"""Changes of definitions by requests: only what the caller may change, and under the caller's name."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from controlplane.admin.control import ControlPlane
from controlplane.admin.permissions import permitted
from controlplane.auth.rights import Caller
from controlplane.model.definitions import Definitions
from controlplane.store.interface import Stored, Transform

NOTE_LIMIT = 500
Note = Annotated[
    str, Query(max_length=NOTE_LIMIT, description="Why; it is kept in the history with the change")
]
DryRun = Annotated[bool, Query(description="Only say what would be done")]
TAKE_OVER = "Stop releases that move shares of these lanes; else they keep them"


def caller_of(request: Request) -> Caller:
    """Who sends the request."""
    return request.scope["state"]["caller"]


def check(request: Request, before: Definitions, after: Definitions) -> None:
    """Raises ApiError 403 where the caller may not make this change."""
    permitted(caller_of(request), before, after)


async def change(control: ControlPlane, request: Request, transform: Transform, note: str = "") -> Stored:
    """Make a change. Raises what `transform` raises, and ApiError 403."""

    def checked(definitions: Definitions) -> Definitions:
        changed = transform(definitions)
        check(request, definitions, changed)
        both[:] = definitions, changed
        return changed

    both: list[Definitions] = []
    stored = await control.store.change(checked, caller_of(request).name, note)
    _note(request, both, stored)
    return stored


async def change_or_try(
    control: ControlPlane, request: Request, transform: Transform, note: str, dry_run: bool
) -> None:
    """Make a change; or, in a dry run, only find out whether it can be made. Raises as `change` does."""
    if dry_run:
        now = control.store.current.definitions.judged_at(control.now())
        check(request, now, transform(now))
    else:
        await change(control, request, transform, note)


async def undo(control: ControlPlane, request: Request, revision: int) -> Stored:
    """Undo a change by a new one. Raises DefinitionError (404, 409) and ApiError 403."""

    def checked(before: Definitions, after: Definitions) -> None:
        check(request, before, after)
        both[:] = before, after

    both: list[Definitions] = []
    stored = await control.store.undo(revision, caller_of(request).name, checked)
    _note(request, both, stored)
    return stored


def _note(request: Request, both: list[Definitions], stored: Stored) -> None:
    """What the audit will say of the request."""
    request.scope["state"]["change"] = (*both, stored.revision)
