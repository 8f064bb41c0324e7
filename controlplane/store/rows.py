"""Definitions as rows of text, and back, with an error that tells what is wrong with a row. Pure.

A row of a document has its key and its JSON; a row of slots has a gateway, a route, and the ranges of the
lanes there. The SQLite file and the snapshots consist of such rows.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from controlplane.model.definitions import AnyKind, Definitions, Key, key_of
from controlplane.model.kinds import KINDS
from controlplane.model.loading import load_json
from controlplane.model.older import updated
from controlplane.model.parsing import parse_document
from controlplane.model.problems import DefinitionError, shortened
from controlplane.model.shares import by_route
from controlplane.model.slots import TOTAL, Share, SlotRange

Row = tuple[Any, Any, Any, Any]
"""Kind, parent, name and body. All are texts unless another program wrote the row."""

SlotsRow = tuple[Any, Any, Any]
"""Gateway, route and ranges, texts likewise."""


class Unreadable(ValueError):
    """Rows are not what Laneway wrote. The text is a sentence without its subject, the file."""


def document_row(document: AnyKind) -> tuple[str, str, str, str]:
    """The row of `document`."""
    kind, parent, name = key_of(document)
    return kind, parent, name, document.model_dump_json()


def slots_row(key: tuple[str, str], table: Iterable[SlotRange]) -> tuple[str, str, str]:
    """The row of the slots `table` on the base route `key`: gateway and route."""
    return (*key, json.dumps(list(table)))


def definitions_of(
    rows: Iterable[Row], slots_rows: Iterable[SlotsRow], known: Iterable[AnyKind] = ()
) -> Definitions:
    """The definitions of these rows, with every rule checked as for a change. A row that one of the documents
    `known` would have is that document, which is not read again. Raises Unreadable.
    """
    documents: dict[Key, AnyKind] = {}
    read = {document_row(one): one for one in known}
    for row in rows:
        document = (read.get(row) if read else None) or _document(row)
        if documents.setdefault(key_of(document), document) is not document:
            raise Unreadable(f"has {key_of(document)} twice")
    slots = dict(map(_table, slots_rows))
    given: dict[str, dict[str, list[tuple[int, int]]]] = {}
    for (_, route), table in slots.items():
        for start, end, lane in table:
            given.setdefault(lane, {}).setdefault(route, []).append((start, end))
    puts = [
        (document, {route: tuple(parts) for route, parts in given.get(document.name, {}).items()})
        if document.kind == "Lane"
        else (document, None)
        for document in documents.values()
    ]
    try:
        # Shares were judged when they were stored: a lane whose time is over by now may have counted or not.
        definitions = Definitions(at=math.inf).change(puts)
    except DefinitionError as error:
        raise Unreadable(f"has definitions that break a rule: {error.title}") from error
    shares = by_route(definitions)
    for key in sorted({*slots, *definitions.slots}):
        if not _fits(slots.get(key, ()), shares.get(key, {})):
            gateway, route = key
            raise Unreadable(
                f"has slots of route {shortened(route)} of gateway {shortened(gateway)} that do not fit "
                "the shares of its lanes"
            )
    return Definitions.of(definitions.documents(), slots)


def _fits(table: tuple[SlotRange, ...], shares: Mapping[str, Share]) -> bool:
    """Whether each lane has as many slots as its share: exactly if it is enabled, fewer at most if not."""
    owned: Counter[str] = Counter()
    for start, end, lane in table:
        owned[lane] += end - start
    return owned.keys() <= shares.keys() and all(
        owned[lane] == share.slots or (not share.enabled and owned[lane] < share.slots)
        for lane, share in shares.items()
    )


def _validated(kind: str, body: str) -> Any:
    """The document of a row. Raises ValidationError."""
    model = KINDS[kind].model
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError:
        try:
            value = load_json(body.encode(errors="surrogatepass"))
        except DefinitionError:
            value = None
        now = updated(value)
        if now is value:
            raise
        return model.model_validate_json(json.dumps(now), strict=True)


def _document(row: Row) -> AnyKind:
    kind, parent, name, body = row
    if not all(isinstance(part, str) for part in row):
        raise Unreadable(f"has a definition that is not text ({shortened(kind)}/{shortened(name)})")
    label = shortened(f"{kind}/{name}")
    if kind not in KINDS:
        raise Unreadable(f"has {label}, which is not of a known kind")
    try:
        document = _validated(kind, body)
    except ValidationError:
        raise Unreadable(f"has {label}, which cannot be read: {_mistake(body)}") from None
    if key_of(document) != Key(kind, parent, name):
        raise Unreadable(f"has {shortened(str(key_of(document)))} in the row of {label}")
    return document


def _mistake(body: str) -> str:
    try:
        parse_document(load_json(body.encode(errors="surrogatepass")))
    except DefinitionError as error:
        return error.title
    return "it is not a definition"


def _table(row: SlotsRow) -> tuple[tuple[str, str], tuple[SlotRange, ...]]:
    gateway, route, text = row
    if not all(isinstance(part, str) for part in row):
        raise Unreadable("has slots that are not text")
    where = f"has slots of route {shortened(route)} of gateway {shortened(gateway)}"
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable(f"{where} that are not JSON") from None
    position = 0
    table: list[SlotRange] = []
    for entry in entries if isinstance(entries, list) else [None]:
        if not (isinstance(entry, list) and [type(part) for part in entry] == [int, int, str]):
            raise Unreadable(f"{where} that are not [[start, end, lane], ...]: {shortened(text)}")
        start, end, lane = entry
        if not 0 <= start < end <= TOTAL:
            raise Unreadable(f"{where} that are out of range (0 to {TOTAL}): {shortened(entry)}")
        if start < position:
            raise Unreadable(f"{where} that overlap: {shortened(entry)} begins before {position}")
        position = end
        table.append(SlotRange(start, end, lane))
    return (gateway, route), tuple(table)


def rows_of(definitions: Definitions) -> Iterator[tuple[str, str, str, str]]:
    """A row for each document."""
    return map(document_row, definitions.documents())


def slots_rows_of(definitions: Definitions) -> Iterator[tuple[str, str, str]]:
    """A row for each base route with slots."""
    return (slots_row(key, table) for key, table in sorted(definitions.slots.items()))
