"""Applications as `get` shows them: what instances name, what groups list, and what is defined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.cli import kinds
from controlplane.cli.client import Client
from controlplane.cli.output import fail, table

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS = ("name", "defined", "services", "instances", "tags", "groups")


def fetched(client: Client, of: kinds.Kind, name: str | None) -> dict[str, Any]:
    """`items`: the definitions. `live`: every application, defined or not, with its instances. With a name,
    its definition, or what is live of it. Ends the command if nothing knows it.
    """
    items = client.items("/v1/applications")
    live = _live(items, client.items("/v1/services"), client.items("/v1/lane-groups"))
    if name is None:
        return {"items": items, "live": live}
    for one in [*items, *live]:
        if name in (one.get("name"), one.get("application")):
            return one
    fail(f"there is no application {name!r}; known are {kinds.names([one['application'] for one in live])}")


def _live(
    items: list[dict[str, Any]], services: list[dict[str, Any]], groups: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    defined = {one["name"] for one in items}
    listed = {name for group in groups for name in group["applications"]}
    instances: dict[str, list[tuple[str, dict[str, Any]]]] = {name: [] for name in defined | listed}
    for service in services:
        for one in service["instances"]:
            instances.setdefault(one["application"], []).append((service["service"], one))
    return [
        {
            "application": name,
            "defined": name in defined,
            "services": sorted({service for service, _ in found}),
            "instances": len(found),
            "healthy": sum(one["health"] == "healthy" for _, one in found),
            "tags": sorted({one["tag"] for _, one in found if one["tag"]}),
            "groups": sorted(group["name"] for group in groups if name in group["applications"]),
        }
        for name, found in sorted(instances.items())
    ]


def table_of(value: dict[str, Any], wide: bool) -> RenderableType:
    """A row for each application; the fields of its definition in a wide table."""
    if "live" not in value:
        live = [value] if "application" in value else []
        items = [] if live else [value]
    else:
        live, items = value["live"], value["items"]
    of = kinds.find("applications")
    cells = {one["name"]: of.cells(one) for one in items}
    more = tuple(name for name in (*of.columns, *of.wide) if name not in ("name", "services")) if wide else ()
    rows = []
    for one in live or [{"application": name, "defined": True} for name in cells]:
        row = (
            one["application"],
            kinds.yes(one["defined"]),
            kinds.names(one.get("services")),
            f"{one['healthy']}/{one['instances']}" if "healthy" in one else "",
            kinds.names(one.get("tags")) or "-",
            kinds.names(one.get("groups")) or "-",
        )
        known = cells.get(one["application"], {})
        rows.append((*row, *(known.get(name, "-") for name in more)))
    return table((*COLUMNS, *more), rows)
