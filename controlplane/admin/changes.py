"""Changes of definitions by requests: only what the caller may change, and under the caller's name.

What a changed gateway asks of Envoy is tried before it is stored, whatever the way by which it comes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Query, Request

from controlplane.admin.control import ControlPlane
from controlplane.admin.permissions import permitted
from controlplane.admin.problems import ApiError
from controlplane.auth.rights import Caller
from controlplane.model.definitions import Definitions
from controlplane.model.documents import Gateway
from controlplane.model.problems import Problem
from controlplane.store.interface import Check, Stored, Transform

NOTE_LIMIT = 500
Note = Annotated[
    str, Query(max_length=NOTE_LIMIT, description="Why; it is kept in the history with the change")
]
DryRun = Annotated[bool, Query(description="Only say what would be done")]
TAKE_OVER = "Stop releases that move shares of these lanes; else they keep them"
MOST_TRIES = 5
"""Times that a change is begun again, because somebody else changed the same gateway while it was tried."""


class _Untried(Exception):
    """A change that has to be tried first: that needs time, and a store runs changes without waiting."""

    def __init__(self, before: Definitions, after: Definitions) -> None:
        super().__init__("not tried yet")
        self.before = before
        self.after = after


def caller_of(request: Request) -> Caller:
    """Who sends the request."""
    return request.scope["state"]["caller"]


def check(request: Request, before: Definitions, after: Definitions) -> None:
    """Raises ApiError 403 where the caller may not make this change."""
    permitted(caller_of(request), before, after)


async def change(
    control: ControlPlane, request: Request, transform: Transform, note: str = "", labelled: bool = True
) -> Stored:
    """Make a change. Raises what `transform` raises, ApiError 403, and DefinitionError 422 for a gateway that
    cannot be served. `labelled`: problems that only a trial finds name their document.
    """

    async def make(checked: Check) -> Stored:
        def whole(definitions: Definitions) -> Definitions:
            changed = transform(definitions)
            checked(definitions, changed)
            return changed

        return await control.store.change(whole, caller_of(request).name, note)

    return await _made(control, request, make, labelled)


async def change_or_try(
    control: ControlPlane, request: Request, transform: Transform, note: str, dry_run: bool
) -> None:
    """Make a change; or, in a dry run, only find out whether it can be made. Raises as `change` does."""
    if dry_run:
        now = control.store.current.definitions.judged_at(control.now())
        after = transform(now)
        check(request, now, after)  # before it is tried: to try patches runs an Envoy
        if any(now.gateways.get(name) != one for name, one in after.gateways.items()):
            await control.check(now, after, labelled=True)
    else:
        await change(control, request, transform, note)


async def undo(control: ControlPlane, request: Request, revision: int, first: Check) -> Stored:
    """Undo a change by a new one, once `first` has looked at it. Raises DefinitionError (404, 409, 422),
    ApiError 403 and what `first` raises.
    """

    async def make(checked: Check) -> Stored:
        def both(before: Definitions, after: Definitions) -> None:
            first(before, after)
            checked(before, after)

        return await control.store.undo(revision, caller_of(request).name, both)

    return await _made(control, request, make, True)


async def _made(
    control: ControlPlane, request: Request, make: Callable[[Check], Awaitable[Stored]], labelled: bool
) -> Stored:
    tried: dict[str, Gateway] = {}
    both: list[Definitions] = []

    def checked(before: Definitions, after: Definitions) -> None:
        check(request, before, after)
        for name, gateway in after.gateways.items():
            former = before.gateways.get(name)
            if former is not gateway and former != gateway and tried.get(name) != gateway:
                raise _Untried(before, after)
        both[:] = before, after

    for _ in range(MOST_TRIES):
        try:
            stored = await make(checked)
        except _Untried as waits:
            await control.check(waits.before, waits.after, labelled)
            tried.update(waits.after.gateways)
        else:
            request.scope["state"]["change"] = (*both, stored.revision)  # what the audit will say of it
            return stored
    wrong = Problem("", "was changed by somebody else again and again", None, "look at it, and try again")
    raise ApiError(409, "A gateway was changed by somebody else while the change was tried.", wrong)
