"""An admin port that everybody could use, or read on the way, is not opened by mistake."""

from __future__ import annotations

import ipaddress


def check_exposure(host: str, authenticated: bool, encrypted: bool) -> None:
    """Raise ValueError for an admin address outside of loopback that everybody could use.

    authenticated, encrypted: whether that is so, or was given up in words.
    """
    if is_loopback(host):
        return
    missing: list[str] = []
    if not authenticated:
        missing.append(
            "give --admin-tokens FILE, or --admin-allow-anonymous if everyone who reaches it may change "
            "traffic"
        )
    if not encrypted:
        missing.append(
            "give --admin-certificate and --admin-key, or --admin-allow-plaintext if everyone on the way may "
            "read tokens"
        )
    if missing:
        raise ValueError(f"the admin address {host} is not on loopback: {'; '.join(missing)}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
