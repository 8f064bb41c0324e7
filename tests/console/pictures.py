"""The pictures of docs/console.md: `make console-pictures`."""

from __future__ import annotations

from playwright.sync_api import sync_playwright

from tests.console.conftest import CHROMIUM, ROOT, demo
from tests.mesh.client import until

FOLDER = ROOT / "docs" / "images"
LANE = "/v1/lane-groups/order-flow/lanes/gray"
VIEWS = {
    "overview": ("#/", 560),
    "group": ("#/groups/order-flow", 900),
    "lane": ("#/groups/order-flow/lanes/gray/edit", 980),
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
        for scheme in ("light", "dark"):
            for name, (address, height) in VIEWS.items():
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
        browser.close()


if __name__ == "__main__":
    main()
