"""`make sbom`: sbom.cdx.json, the packages that Laneway runs with, as CycloneDX 1.6 describes them.

Names, versions and hashes are those of requirements/laneway.txt; licences and what needs what come from the
metadata of the packages. What the console is built of comes from its lock, see `npm`. The document says
nothing about the time or the machine: the same locks give the same file.
"""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import Distribution, distribution
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import npm
from tools.licences import licence_of, settings
from tools.locks import ROOT, Pin, locked

LOCK = ROOT / "requirements" / "laneway.txt"
FILE = ROOT / "sbom.cdx.json"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def component(name: str, pin: Pin, licence: str | None) -> Component:
    """A package, with the hashes of all files of its version, of which one is installed."""
    hashes = [
        HashType(alg=HashAlgorithm.SHA_256, content=one.partition(":")[2]) for one in sorted(pin.hashes)
    ]
    return Component(
        name=name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"pkg:pypi/{name}@{pin.version}",
        purl=PackageURL("pypi", None, name, pin.version),
        licenses=[LicenseExpression(licence)] if licence else [],
        hashes=hashes,
    )


def needed(package: Distribution) -> set[str]:
    """Names of what a package needs here, extras left aside."""
    found = (Requirement(text) for text in package.requires or ())
    return {
        str(canonicalize_name(one.name))
        for one in found
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }


def npm_component(name: str, version: str, kind: ComponentType, **more: Any) -> Component:
    """A package of npm, whose name may have a scope, such as @mantine/core."""
    scope, _, own = name.rpartition("/")
    url = PackageURL("npm", scope or None, own, version)
    return Component(
        name=own, group=scope or None, version=version, type=kind, bom_ref=url.to_string(), purl=url, **more
    )


def add_console(bom: Bom) -> Component:
    """Add what the console's files are built of. Returns the console."""
    version, direct = npm.console()
    project = LicenseExpression(PROJECT["license"])
    console = npm_component("laneway-console", version, ComponentType.APPLICATION, licenses=[project])
    packages = npm.bundled()
    parts = {
        name: npm_component(
            name,
            one.version,
            ComponentType.LIBRARY,
            licenses=[LicenseExpression(one.licence)],
            hashes=[HashType(alg=HashAlgorithm.SHA_512, content=one.sha512)],
        )
        for name, one in packages.items()
    }
    for part in (console, *parts.values()):
        bom.components.add(part)
    bom.register_dependency(console, [parts[name] for name in direct if name in parts])
    for name, part in parts.items():
        bom.register_dependency(part, [parts[one] for one in packages[name].needs])
    return console


def document() -> str:
    """The SBOM as JSON. Raises ValueError if it is not what the schema asks for."""
    _, known = settings()
    own = Component(
        name=PROJECT["name"],
        version=PROJECT["version"],
        type=ComponentType.APPLICATION,
        bom_ref=f"pkg:pypi/{PROJECT['name']}@{PROJECT['version']}",
        purl=PackageURL("pypi", None, PROJECT["name"], PROJECT["version"]),
        licenses=[LicenseExpression(PROJECT["license"])],
    )
    pins = {name: pin for name, pin in locked(LOCK).items() if pin.here}
    packages = {name: distribution(name) for name in pins}
    parts = {name: component(name, pin, licence_of(packages[name], known)) for name, pin in pins.items()}
    bom = Bom(components=parts.values())
    bom.metadata.component = own
    direct = {str(canonicalize_name(Requirement(text).name)) for text in PROJECT["dependencies"]}
    bom.register_dependency(own, [*(parts[name] for name in direct), add_console(bom)])
    for name, part in parts.items():
        bom.register_dependency(part, [parts[one] for one in needed(packages[name]) if one in parts])
    made = json.loads(JsonV1Dot6(bom).output_as_string())
    # Of the time at which it was made, and random: two files of the same lock would differ.
    del made["serialNumber"], made["metadata"]["timestamp"]
    text = json.dumps(made, indent=1, sort_keys=True) + "\n"
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise ValueError(f"the SBOM is not valid: {wrong}")
    return text


if __name__ == "__main__":
    FILE.write_text(document())
