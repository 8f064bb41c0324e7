"""Names of services: their ids `<source>/<namespace>/<group>/<name>[:<port name>]`, and suffixes of these."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property


class ServiceNameError(LookupError):
    """A name that no service has, or several: `problem` says what is wrong, `remedy` what may be meant, if
    anything.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__()
        self.name = name
        self.problem = problem

    @property
    def remedy(self) -> str:
        return ""

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem


class AmbiguousService(ServiceNameError):
    """A suffix of the ids of several services, which are `candidates`, sorted."""

    def __init__(self, name: str, candidates: tuple[str, ...]) -> None:
        super().__init__(name, f"service {name!r} is ambiguous")
        self.candidates = candidates

    @property
    def remedy(self) -> str:
        return f"it may be {', '.join(self.candidates)}"


class UnknownService(ServiceNameError):
    """No service has this name. `nearest` is the service with the most similar name, written as shortly as
    is unambiguous, or None.

    It is computed when it is first read: that takes milliseconds for each name, and plans try many names.
    """

    def __init__(self, name: str, nearest: Callable[[str], str | None]) -> None:
        super().__init__(name, f"no service {name!r}")
        self._nearest = nearest

    @cached_property
    def nearest(self) -> str | None:
        """The shortest name of the service with the most similar one, or None."""
        return self._nearest(self.name)

    @property
    def remedy(self) -> str:
        return f"did you mean {self.nearest}?" if self.nearest else ""


def canonical_id(source: str, namespace: str, group: str, name: str, port_name: str = "") -> str:
    """The id of a service, from the name of its source, which has no `/`, and the registry's own names."""
    return f"{source}/{namespace}/{group}/{name}" + (f":{port_name}" if port_name else "")


def last_part(name: str) -> str:
    """The part after the last `/`, which a name and every id that it may mean have in common."""
    return name.rpartition("/")[2]


class ServiceNames:
    """Finds services by their id, or by a suffix of it that begins after a `/`. Adding and removing
    is cheap.
    """

    def __init__(self, service_ids: Iterable[str] = ()) -> None:
        self._ids: set[str] = set()
        self._by_last: dict[str, set[str]] = {}
        self._aliases: dict[str, tuple[str, ...]] = {}
        for service_id in service_ids:
            self.add(service_id)

    def __contains__(self, service_id: object) -> bool:
        return service_id in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, service_id: str, aliases: Iterable[str] = ()) -> None:
        """Find this service, too, from now on. `aliases` are other spellings of the last part of its id."""
        self.discard(service_id)
        self._ids.add(service_id)
        self._aliases[service_id] = tuple(aliases)
        for last in self._lasts(service_id):
            self._by_last.setdefault(last, set()).add(service_id)

    def discard(self, service_id: str) -> None:
        """Do not find this service any more."""
        if service_id not in self._ids:
            return
        self._ids.discard(service_id)
        for last in self._lasts(service_id):
            same = self._by_last.get(last, set())
            same.discard(service_id)
            if not same:
                self._by_last.pop(last, None)
        del self._aliases[service_id]

    def _lasts(self, service_id: str) -> Iterator[str]:
        yield last_part(service_id)
        yield from self._aliases[service_id]

    def candidates(self, name: str) -> tuple[str, ...]:
        """The ids that `name` may mean, sorted. A whole id means itself only.

        Where a registry has no groups, the empty part may be left out: `default/sc-a`. `nacos/*/sc-a` means
        the services with the suffix `sc-a` whose source is nacos.
        """
        source, star, suffix = name.partition("/*/")
        if star:
            return tuple(id_ for id_ in self.candidates(suffix) if id_.startswith(f"{source}/"))
        if not name or name.startswith("/"):
            return ()
        if name in self._ids:
            return (name,)
        ending, last = "/" + name, last_part(name)
        found = {
            id_
            for id_ in self._by_last.get(last, ())
            if (whole := f"{id_.removesuffix(last_part(id_))}{last}").endswith(ending)
            or whole.replace("//", "/").endswith(ending)
        }
        return tuple(sorted(found))

    def resolve(self, name: str) -> str:
        """The id that `name` means. Raises AmbiguousService or UnknownService."""
        found = self.candidates(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousService(name, found)
        raise UnknownService(name, self._nearest)

    def short(self, service_id: str) -> str:
        """The shortest name that means this service and no other."""
        name = service_id
        for at in (at for at, character in enumerate(service_id) if character == "/"):
            if self.candidates(service_id[at + 1 :]) == (service_id,):
                name = service_id[at + 1 :]
        return name

    def _nearest(self, name: str) -> str | None:
        close = difflib.get_close_matches(last_part(name), self._by_last, n=1, cutoff=0.6)
        return self.short(min(self._by_last[close[0]])) if close else None


def resolve(service_ids: Iterable[str], name: str) -> str:
    """The id among `service_ids` that `name` means. Raises AmbiguousService or UnknownService."""
    return ServiceNames(service_ids).resolve(name)
