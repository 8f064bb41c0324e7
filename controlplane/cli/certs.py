"""`laneway certs init|issue|show`: certificates for trials. In earnest: docs/how-to/tls.md."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.cli.options import Exit
from controlplane.cli.output import console, fail, line

if TYPE_CHECKING:
    from controlplane.net.authority import Issued

EARNEST = (
    "This CA is for trials: its key is a file. In earnest use SPIRE, cert-manager or Vault, see "
    "docs/how-to/tls.md."
)


class Kind(StrEnum):
    """Whom a certificate is for."""

    SERVER = "server"
    GATEWAY = "gateway"
    APPLICATION = "application"
    OPERATOR = "operator"


Directory = Annotated[Path, typer.Option("--dir", help="Directory of the CA: ca.pem, ca-key.pem and domain.")]


def init(
    directory: Directory = Path("certs"),
    domain: Annotated[
        str, typer.Option(help="Trust domain: spiffe://DOMAIN/gateway/edge.")
    ] = "laneway.local",
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long the CA is valid.")] = 30,
) -> None:
    """Make a CA for trials, in files. An existing one is left alone."""
    from controlplane.net.authority import new_authority

    if (directory / "ca-key.pem").exists():
        fail(f"{directory} has a CA already: remove it, or name another --dir", Exit.USAGE)
    try:
        made = new_authority(domain, timedelta(days=days))
        directory.mkdir(parents=True, exist_ok=True)
        _write(directory / "ca-key.pem", made.key, 0o600)
        _write(directory / "domain", domain.encode(), 0o644)
        _write(directory / "ca.pem", made.certificate, 0o644)
    except (OSError, ValueError) as error:
        fail(f"cannot make a CA in {directory}: {error}")
    console().print(line("made ", (str(directory / "ca.pem"), "bold"), f" for {days} days. {EARNEST}"))


def issue(
    kind: Annotated[Kind, typer.Argument(help="server, gateway, application or operator.")],
    name: Annotated[str, typer.Argument(help="Its name; of a server, the name of its files.")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="DNS name or address; may be repeated. A server needs one; a client's certificate with "
            "addresses is valid for a sidecar at these addresses alone."
        ),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=87600, help="How long it is valid.")] = 24,
    directory: Directory = Path("certs"),
    out: Annotated[Path | None, typer.Option(help="Where to write it. [default: --dir]")] = None,
    peer: Annotated[
        bool,
        typer.Option("--peer", help="Valid for clients, too: a control plane shows it to its --peers."),
    ] = False,
    shared_key: Annotated[
        bool,
        typer.Option("--shared-key", help="Let every user of the machine read the key, as containers need."),
    ] = False,
) -> None:
    """Issue a certificate: NAME.pem and NAME-key.pem, with a kind before the name unless it is a server.

    Files are replaced whole, so that a server or an Envoy that watches them takes the new ones.
    """
    from controlplane.net import authority

    server = kind is Kind.SERVER
    if server and not host:
        fail("a server's certificate needs --host: by it clients know the server", Exit.USAGE)
    try:
        ca = authority.Issued((directory / "ca.pem").read_bytes(), (directory / "ca-key.pem").read_bytes())
        domain = (directory / "domain").read_text(encoding="utf-8").strip()
    except OSError as error:
        fail(f"{directory} has no CA: run `laneway certs init --dir {directory}` ({error})", Exit.USAGE)
    uris = [] if server else [f"spiffe://{domain}/{kind.value}/{name}"]
    lifetime = timedelta(hours=hours)
    try:
        made = authority.issue(
            ca, lifetime, uris=uris, hosts=host or [], server=server, client=not server or peer
        )
    except ValueError as error:
        fail(f"cannot issue a certificate for {name!r}: {error}")
    stem = name if server else f"{kind.value}-{name}"
    _save(out or directory, stem, made, 0o644 if shared_key else 0o600)
    console().print(line("issued ", (str((out or directory) / f"{stem}.pem"), "bold"), f" for {hours:g} h"))


def show(files: Annotated[list[Path], typer.Argument(help="Certificates (PEM).")]) -> None:
    """Show the names in certificates, how long they are valid, and who their holders are."""
    from controlplane.app.certificates import described

    for file in files:
        try:
            said = described(file.read_bytes())
        except OSError as error:
            fail(f"cannot read {file}: {error.strerror}")
        except ValueError:
            fail(f"{file} is not a certificate (PEM)")
        out = console()
        out.print(line((str(file), "bold")))
        for text in said:
            out.print(line("  ", text))


def _save(directory: Path, stem: str, made: Issued, mode: int) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # The key first: who takes the pair at the second rename finds both.
        _write(directory / f"{stem}-key.pem", made.key, mode)
        _write(directory / f"{stem}.pem", made.certificate, 0o644)
    except OSError as error:
        fail(f"cannot write into {directory}: {error}")


def _write(path: Path, content: bytes, mode: int) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=mode)
    new.chmod(mode)
    new.write_bytes(content)
    new.replace(path)
