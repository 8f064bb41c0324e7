"""Renders the Helm chart into the manifests for kustomize, `deploy/kubernetes/kustomize`: `make manifests`.

The CustomResourceDefinitions are copied: Helm and kustomize read nothing outside of their directories.

Give the program helm as the only argument.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHART = ROOT / "deploy" / "kubernetes" / "chart"
CRDS = ROOT / "deploy" / "kubernetes" / "crds"
KUSTOMIZE = ROOT / "deploy" / "kubernetes" / "kustomize"
SETTINGS = {
    "base": ("namespace.create=true",),
    "demo": ("demo.enabled=true",),
    "demo-injected": ("demo.enabled=true", "demo.sidecars=injected", "demo.capture=proxy"),
}
TEMPLATES = {
    "base": ("namespace", "rbac", "control-plane", "injector", "edge"),
    "demo": ("demo",),
    "demo-injected": ("demo",),
}
HEAD = "# Rendered from the Helm chart by `make manifests`. Change the chart, or patch this in an overlay.\n"


def render(helm: Path | str, name: str, template: str) -> str:
    """One template of the chart, with the settings of one directory."""
    command = [str(helm), "template", "laneway", str(CHART), "--namespace", "laneway"]
    command += ["--kube-version", "1.37.0", "--show-only", f"templates/{template}.yaml"]
    for setting in SETTINGS[name]:
        command += ["--set", setting]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise SystemExit(made.stderr)
    lines = (line for line in made.stdout.splitlines() if not line.startswith("# Source:"))
    return HEAD + "\n".join(line.rstrip() for line in lines) + "\n"


def files(helm: Path | str) -> dict[Path, str]:
    """What every file must contain."""
    found: dict[Path, str] = {}
    for name, templates in TEMPLATES.items():
        for template in templates:
            found[KUSTOMIZE / name / f"{template}.yaml"] = render(helm, name, template)
        listed = "".join(f"  - {template}.yaml\n" for template in _resources(name))
        head = f"{HEAD}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"
        found[KUSTOMIZE / name / "kustomization.yaml"] = head + listed
    kinds = {path.name: path.read_text(encoding="utf-8") for path in sorted(CRDS.glob("*.yaml"))}
    found |= {CHART / "crds" / name: text for name, text in kinds.items()}
    found[KUSTOMIZE / "base" / "crds.yaml"] = "---\n".join(kinds.values())
    return found


def _resources(name: str) -> tuple[str, ...]:
    return ("crds", *TEMPLATES[name]) if name == "base" else TEMPLATES[name]


if __name__ == "__main__":
    for path, text in files(sys.argv[1]).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
