"""An admin port that everybody could use is not opened by mistake."""

from __future__ import annotations

import ipaddress


def check_exposure(host: str, authentication: object | None, allow_anonymous: bool) -> None:
    """Raise ValueError for an admin address outside of loopback that everybody could use."""
    if authentication or allow_anonymous or is_loopback(host):
        return
    raise ValueError(
        f"the admin address {host} is not on loopback: give a file of tokens, "
        "or allow anonymous access explicitly (--admin-allow-anonymous)"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
