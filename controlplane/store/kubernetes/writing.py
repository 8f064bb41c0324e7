"""What a change of definitions writes into custom resources, each with its version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

from controlplane.kubernetes.client import Client
from controlplane.kubernetes.errors import KubernetesError, NotFound
from controlplane.model.definitions import AnyKind, Definitions, Key, key_of
from controlplane.model.kinds import KINDS
from controlplane.store.interface import Change
from controlplane.store.kubernetes.head import Head
from controlplane.store.kubernetes.patches import combined, difference, merged, overlaps
from controlplane.store.kubernetes.resources import (
    API,
    WRITTEN,
    CustomObject,
    Json,
    Ref,
    digest_of,
    new_ref,
    path_of,
    read_object,
    spec_of,
)

MERGE = "application/merge-patch+json"
MANAGER = "?fieldManager=laneway"
TRIES = 5
"""How often an object that others change is read again."""


def to_write(head: Head, changes: Iterable[Change], after: Definitions) -> dict[Ref, Json | None]:
    """The patches of the objects after `changes`, with those of the head that are still to be written."""
    pending = dict(head.pending)
    refs = {record.key: ref for ref, record in head.records.items()}
    for change in changes:
        ref = refs.get(change.key) or new_ref(change.key)
        document = after.get(change.key)
        if document is None:
            if ref in head.records or ref in pending:
                pending[ref] = None
            continue
        earlier = pending.get(ref)
        if change.before is None or (ref in pending and earlier is None) or (not _known(head, ref)):
            pending[ref] = spec_of(document, ref)
        elif patch := difference(_spec(change.key, change.before), _spec(change.key, change.after or {})):
            pending[ref] = patch if earlier is None else combined(earlier, patch)
    return pending


def _known(head: Head, ref: Ref) -> bool:
    return ref in head.records or ref in head.pending


def _spec(key: Key, value: Json) -> Json:
    without = ("kind", "name", "status", *KINDS[key.kind].written)
    return {name: field for name, field in value.items() if name not in without}


def missing(head: Head, definitions: Definitions) -> list[AnyKind]:
    """Documents that no object defines and that none is about to define."""
    defined = {record.key for record in head.records.values()}
    coming = set(head.pending)
    return [
        one
        for one in definitions.documents()
        if key_of(one) not in defined and new_ref(key_of(one)) not in coming
    ]


def _note(spec: Json, revision: int) -> Json:
    return {"annotations": {WRITTEN: f"{revision}:{digest_of(spec)}"}}


class Writer:
    """Writes into the objects of `namespace`."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def write(
        self,
        pending: Mapping[Ref, Json | None],
        objects: Mapping[Ref, CustomObject],
        kind: Callable[[Ref], str],
        revision: int,
    ) -> list[Ref]:
        """Bring all objects to what `pending` says: first what others need.

        objects: what the change was made from. revision: what it leads to. Returns those into which nothing
        was written, because somebody else has changed the same fields meanwhile. Raises KubernetesError; what
        was not written can be written again.
        """
        order = list(KINDS)
        wanted = sorted(pending, key=lambda ref: order.index(kind(ref)))
        lost: list[Ref] = []
        for ref in [ref for ref in reversed(wanted) if pending[ref] is None]:
            await self._delete(ref, objects.get(ref))
        for ref in wanted:
            patch = pending[ref]
            if patch is not None and not await self._patch(ref, patch, objects.get(ref), kind(ref), revision):
                lost.append(ref)
        return lost

    async def _delete(self, ref: Ref, found: CustomObject | None) -> None:
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if found is not None:
            body["preconditions"] = {"uid": found.uid}
        try:
            await self._client.change("DELETE", path_of(self._namespace, *ref), body)
        except NotFound:
            return
        except KubernetesError as error:
            if error.status != HTTPStatus.CONFLICT:  # it is another object of the same name
                raise

    async def _patch(
        self, ref: Ref, patch: Json, base: CustomObject | None, kind: str, revision: int
    ) -> bool:
        found = base
        for _ in range(TRIES):
            try:
                if found is None:
                    if await self._create(ref, patch, kind, revision):
                        return True
                else:
                    noted = _note(merged(found.spec, patch), revision)
                    body = {"metadata": {"resourceVersion": found.version, **noted}, "spec": patch}
                    path = path_of(self._namespace, *ref) + MANAGER
                    await self._client.change("PATCH", path, body, MERGE)
                    return True
            except KubernetesError as error:
                if error.status != HTTPStatus.CONFLICT:
                    if isinstance(error, NotFound):
                        return True  # it was deleted meanwhile, and that counts
                    raise
            try:
                found = read_object(ref.plural, await self._client.get(path_of(self._namespace, *ref)))
            except NotFound:
                if base is not None:
                    return True
                found = None
                continue
            if merged(found.spec, patch) == found.spec:
                return True
            at = found.written_at
            if at is not None and at >= revision:
                return True  # another control plane has written this change and a later one
            if at is None and base is not None and overlaps(patch, base.spec, found.spec):
                return False
        return False

    async def _create(self, ref: Ref, spec: Json, kind: str, revision: int) -> bool:
        """False if there is one of this name by now."""
        metadata = {"name": ref.name, **_note(spec, revision)}
        body = {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}
        try:
            await self._client.change("POST", path_of(self._namespace, ref.plural) + MANAGER, body)
        except KubernetesError as error:
            if error.status == HTTPStatus.CONFLICT:
                return False
            raise
        return True
