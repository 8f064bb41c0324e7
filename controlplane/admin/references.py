"""Names of services in definitions, against what the registries know now."""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.admin.control import ControlPlane
from controlplane.model.definitions import AnyKind, key_of
from controlplane.model.documents import Application, Route
from controlplane.model.parsing import invalid
from controlplane.model.problems import Problem
from controlplane.registry.names import AmbiguousService, UnknownService


def refuse_ambiguous(control: ControlPlane, documents: Iterable[AnyKind], labelled: bool = False) -> None:
    """Raise DefinitionError 422 if a new or changed document names a service by a name that several services
    have.

    An unknown name is not a mistake: the registry may learn of the service later. A name that was accepted
    before and has become ambiguous since is not refused either, or a file could not be applied again.
    `labelled`: errors name their document.
    """
    definitions = control.store.current.definitions
    problems: list[Problem] = []
    for document in documents:
        if definitions.get(key_of(document)) == document:
            continue
        for field, name in _services(document):
            try:
                control.resolve_service(name)
            except AmbiguousService as error:
                remedy = f"say which: {', '.join(error.candidates)}"
                label = str(key_of(document)) if labelled else ""
                problems.append(Problem(field, "may be any of several services", name, remedy, label))
            except UnknownService:
                continue
    if problems:
        raise invalid(problems)


def _services(document: AnyKind) -> Iterable[tuple[str, str]]:
    if isinstance(document, Route):
        if document.called is not None:
            yield "service", document.called
    elif isinstance(document, Application):
        yield from ((f"services[{index}]", name) for index, name in enumerate(document.services))
