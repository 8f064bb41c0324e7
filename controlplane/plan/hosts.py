"""Hosts as definitions and requests name them, brought into one form so that they can be compared."""

from __future__ import annotations

from controlplane.ip import ip_address


def canonical_host(host: str) -> str:
    """A host of a definition as requests are compared with it: lower case, no dot at the end."""
    return f"[{ip_address(host)}]" if host.startswith("[") else host.lower().removesuffix(".")


def asked_host(authority: str) -> str:
    """The host that a request asks for: in lower case (ASCII), without its port and a dot at the end."""
    return strip_port(without_dot(authority)).encode().lower().decode()


def without_dot(authority: str) -> str:
    """`authority` without a dot that ends its host: the name is the same (`strip_trailing_host_dot`)."""
    host, dot, rest = authority.rpartition(".")
    return host + rest if dot and (not rest or rest.startswith(":")) else authority


def strip_port(authority: str) -> str:
    """`authority` without its port; IPv6 literals keep their brackets."""
    head, colon, port = authority.rpartition(":")
    if colon and port.isdigit() and (head.endswith("]") or ":" not in head):
        return head
    return authority
