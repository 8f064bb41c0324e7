"""The pictures of docs/console.md: `make console-pictures`."""

from __future__ import annotations

from playwright.sync_api import Browser, sync_playwright

from tests.console.conftest import CHROMIUM, ROOT, Mesh, demo
from tests.mesh.client import until

FOLDER = ROOT / "docs" / "images"
LANE = "/v1/lane-groups/order-flow/lanes/gray"
Views = dict[str, tuple[str, int]]
VIEWS: Views = {
    "overview": ("#/", 560),
    "group": ("#/groups/order-flow", 900),
    "lane": ("#/groups/order-flow/lanes/gray/edit", 980),
}
SHARES = "/v1/lane-groups/shares"
RELEASE_VIEWS: Views = {
    "release": ("#/releases/shares/next/edit", 1400),
    "progress": ("#/releases/shares/now", 1100),
}
RELEASE = {
    "lane": "tenth",
    "steps": [{"percent": 5, "hold": "10m"}, {"percent": 10, "hold": "10m", "approval": True, "persons": 2}],
    "checks": [{"measure": "error_rate", "max": 2, "above_base": 0.5, "window": "1m", "requests": 10}],
    "windows": [{"days": ["mon", "tue", "wed", "thu"], "hours": "09:00-16:00", "time_zone": "Europe/Berlin"}],
}


def main() -> None:
    """Take each view, light and dark, while the demo has traffic."""
    FOLDER.mkdir(exist_ok=True)
    with demo() as mesh, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(400):
            mesh.ask(canary="gray")
            mesh.ask()

        def counted() -> bool:
            mesh.ask(canary="gray")
            mesh.ask()
            lanes = mesh.http.get(f"{mesh.admin}/v1/metrics/summary").json()["lanes"]
            return lanes[0]["qps"] > 0

        until(counted, 30, "traffic in the lane")
        taken(mesh, browser, VIEWS)
        mesh.put(SHARES, {"gateway": "edge", "applications": ["spring-cloud-c"]})
        mesh.put(f"{SHARES}/lanes/tenth", {"tag": "gray", "ratio": {"percent": 10}, "enabled": False})
        mesh.put(f"{SHARES}/releases/next", RELEASE)
        mesh.put(f"{SHARES}/releases/now", {**RELEASE, "windows": None})
        answer = mesh.http.post(f"{mesh.admin}{SHARES}/releases/now/start?force=true")
        assert answer.status_code == 200, answer.text
        taken(mesh, browser, RELEASE_VIEWS)
        browser.close()


def taken(mesh: Mesh, browser: Browser, views: Views) -> None:
    """Each view, light and dark."""
    for scheme in ("light", "dark"):
        for name, (address, height) in views.items():
            context = browser.new_context(
                viewport={"width": 1200, "height": height}, color_scheme=scheme, reduced_motion="reduce"
            )
            page = context.new_page()
            page.goto(f"{mesh.admin}/{address}")
            page.locator("[data-state=live]").wait_for()
            page.get_by_role("heading", level=1).wait_for()
            page.wait_for_load_state("load")
            for _ in range(40):
                mesh.ask(canary="gray")
                mesh.ask()
                page.wait_for_timeout(50)
            page.screenshot(path=FOLDER / f"console-{name}-{scheme}.png")
            context.close()


if __name__ == "__main__":
    main()
