"""What warnings about 500 lanes of one gateway cost: CPU of the first look, and of one after a lane changed.

python -m bench.warnings
"""

from __future__ import annotations

import time

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_documents
from controlplane.plan.warnings import Warner, Warnings
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Instance, Service, Services

LANES = 500
ROUTES = 10
GROUPS = 50
SERVICES: Services = {
    "file///s": Service("file///s", "file", "s", tuple(Instance("10.0.0.1", 80, tag) for tag in (None, "t")))
}


def conditions(shape: str, number: int) -> str:
    """The conditions of a lane's rule, by the shape that the table names."""
    header = '{{source: header, name: "{}", operator: "{}", value: "{}"}}'
    return {
        "canary == vN": header.format("canary", "==", f"v{number}"),
        "a header of its own": header.format(f"h{number}", "==", "1"),
        "canary = vN, and 30 % of users": header.format("canary", "==", f"v{number}")
        + ", {source: cookie, name: uid, operator: percentage, value: 30}",
        "regex vN-.*": header.format("canary", "regex", f"v{number}-.*"),
        "regex vN[0-9a-f]*x": header.format("canary", "regex", f"v{number}[0-9a-f]*x"),
        "regex (a|b){N}[a-z]+": header.format("canary", "regex", f"(a|b){{{number % 30 + 1}}}[a-z]+"),
    }[shape]


SHAPES = (
    "canary == vN", "a header of its own", "canary = vN, and 30 % of users",
    "regex vN-.*", "regex vN[0-9a-f]*x", "regex (a|b){N}[a-z]+",
)  # fmt: skip


def lane(shape: str, number: int, rule: int) -> str:
    """A lane; `rule` says which of the rules of this shape it has."""
    return (
        f"{{kind: Lane, group: g{number % GROUPS}, name: l{number:03}, tag: t, "
        f"rule: {{conditions: [{conditions(shape, rule)}]}}}}"
    )


def changed(of: Definitions, *documents: str) -> Definitions:
    return of.apply(parse_documents("\n---\n".join(documents).encode())).definitions


def looked(warner: Warner, of: Definitions) -> tuple[float, Warnings]:
    """Seconds of CPU, and what was found."""
    began = time.thread_time()
    found = warner.warnings(of, SERVICES, ServiceNames(SERVICES).resolve, 0.0)
    return time.thread_time() - began, found


def main() -> None:
    print("| conditions | first look | searches | warnings | after one lane changed | searches |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for shape in SHAPES:
        of = changed(
            Definitions(),
            "{kind: Gateway, name: edge, listeners: [{port: 80}]}",
            *(
                f"{{kind: Route, gateway: edge, name: r{n}, service: s, match: {{path: {{prefix: /r{n}}}}}}}"
                for n in range(ROUTES)
            ),
            *(f"{{kind: LaneGroup, name: g{n}, gateway: edge, applications: [s]}}" for n in range(GROUPS)),
            *(lane(shape, n, n) for n in range(LANES)),
        )
        warner = Warner()
        first, found = looked(warner, of)
        searches, told = warner.searches, sum(map(len, found.definitions.values()))
        again, _ = looked(warner, changed(of, lane(shape, 7, LANES + 7)))
        shown = shape.replace("|", "\\|")
        print(f"| `{shown}` | {first:.2f} s | {searches} | {told} | {again:.3f} s | {warner.searches} |")


if __name__ == "__main__":
    main()
