"""Every view, from a telephone to a large screen, in light and dark: axe finds nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.console.conftest import Mesh, Opened, accessible

pytestmark = pytest.mark.console
SHARES = "/v1/lane-groups/shares"
VIEWS = {
    "/": "Overview",
    "/groups/order-flow": "order-flow",
    "/groups/shares": "shares",
    "/groups/order-flow/edit": "Group order-flow",
    "/groups/order-flow/new-lane": "New lane",
    "/groups/order-flow/lanes/gray/edit": "Lane gray",
    "/groups/shares/lanes/tenth/edit": "Lane tenth",
    "/new-group": "New group",
    "/releases": "Releases",
    "/releases/shares/go": "go",
    "/releases/shares/go/edit": "Release go",
    "/new-release/shares": "New release in shares",
    "/new-freeze": "New freeze",
    "/freezes/later": "Freeze later",
    "/explain": "Explain",
    "/services": "Services",
    "/proxies": "Proxies",
    "/history": "History",
    "/no-such-page": "",
}
"""Addresses, and the heading of each."""
RELEASE = {
    "lane": "tenth",
    "steps": [{"percent": 5, "hold": "1h", "approval": True, "persons": 2, "by_others": True}],
    "checks": [{"measure": "latency", "quantile": 0.99, "max": 100}],
    "hooks": [{"name": "smoke", "when": "before", "url": "https://tests.example.com/smoke"}],
    "windows": [{"days": ["mon"], "hours": "09:00-16:00", "time_zone": "Europe/Berlin"}],
}


@pytest.fixture(scope="module")
def filled(mesh: Mesh) -> Iterator[Mesh]:
    """The mesh with a lane by share and a release of it, so that no view is empty."""
    mesh.put(SHARES, {"gateway": "edge", "applications": ["spring-cloud-c"]})
    mesh.put(f"{SHARES}/lanes/tenth", {"tag": "gray", "ratio": {"percent": 10}, "enabled": False})
    mesh.put(f"{SHARES}/releases/go", RELEASE)
    mesh.put("/v1/freezes/later", {"from": "2999-01-01T00:00:00Z", "groups": ["shares"]})
    yield mesh
    mesh.http.delete(f"{mesh.admin}/v1/freezes/later")
    mesh.http.delete(f"{mesh.admin}{SHARES}/releases/go")
    mesh.http.delete(f"{mesh.admin}{SHARES}")


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (3840, "light")])
def test_every_view(filled: Mesh, opened: Opened, width: int, scheme: str) -> None:
    page = opened(f"{filled.admin}/", width=width, scheme=scheme)
    page.locator("[data-state=live]").wait_for()
    proxy = filled.http.get(f"{filled.admin}/v1/proxies").json()["items"][0]["node"]
    for address, heading in {**VIEWS, f"/proxies/{proxy}": proxy}.items():
        page.evaluate("address => { window.location.hash = address; }", address)
        if heading:
            page.get_by_role("heading", name=heading, exact=True).first.wait_for()
        try:
            accessible(page)
        except AssertionError as error:
            raise AssertionError(f"{address} at {width} pixels, {scheme}: {error}") from None
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
