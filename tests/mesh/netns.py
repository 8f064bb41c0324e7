"""Network namespaces for tests: one host that the control plane and plain applications live on, and pods
whose connections iptables really redirects to their Envoy.

Only for Linux with root; `missing()` says what is not there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
EXCLUDED_UID = 1337
OUTBOUND, INBOUND = 15006, 15008


def missing() -> str:
    """Why no namespaces can be made here, or ""."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "needs root, for network namespaces and iptables"
    for tool in ("ip", "iptables", "ip6tables", "setpriv"):
        if shutil.which(tool) is None:
            return f"needs the command {tool} (Debian: iptables, iproute2, util-linux)"
    probe = subprocess.run(
        ["unshare", "-n", "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-j", "REDIRECT"],
        capture_output=True,
        text=True,
    )
    return "" if probe.returncode == 0 else f"iptables cannot redirect here: {probe.stderr.strip()}"


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stderr)


class Namespace:
    """One network namespace; `enter` moves this thread there, and what it starts meanwhile stays there."""

    def __init__(self, name: str) -> None:
        self.name = name
        run("ip", "netns", "add", name)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command: str) -> None:
        run("ip", "netns", "exec", self.name, *command)

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _set(there)
            yield
        finally:
            _set(back)
            os.close(there)
            os.close(back)

    def connect(self, address: tuple[str, int], timeout: float = 10.0) -> socket.socket:
        """A connection made from inside; it may be used from anywhere."""
        with self.enter():
            return socket.create_connection(address, timeout)

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


def _set(file: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(file, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def hosted(prefix: str, *names: str) -> Iterator[tuple[Namespace, dict[str, Namespace]]]:
    """A host with the addresses 10.9.0.1 to .59 and .248 to .251, and pods by name, each joined to it.

    This thread is inside of the host meanwhile.
    """
    made: list[Namespace] = []
    try:
        host = Namespace(f"{prefix}{os.getpid()}h")
        made.append(host)
        for number in [*range(1, 60), *range(248, 252)]:
            host.run("ip", "addr", "add", f"10.9.0.{number}/32", "dev", "lo")
        for number in range(1, 5):
            host.run("ip", "addr", "add", f"fd09::{number}/128", "dev", "lo", "nodad")
        pods: dict[str, Namespace] = {}
        for number, name in enumerate(names, 1):
            pods[name] = Namespace(f"{prefix}{os.getpid()}p{number}")
            made.append(pods[name])
            join(host, pods[name], number)
        with host.enter():
            yield host, pods
    finally:
        for one in reversed(made):
            one.remove()


def join(host: Namespace, pod: Namespace, number: int) -> None:
    """A link between the two: the host gets 10.9.0.1-.40 and fd09::1-..., the pod 10.9.<number>.2."""
    end = f"pod{number}"
    host.run("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", pod.name)
    host.run("ip", "addr", "add", f"10.9.{number}.1/24", "dev", end)
    host.run("ip", "addr", "add", f"fd09:{number}::1/64", "dev", end, "nodad")
    host.run("ip", "link", "set", end, "up")
    pod.run("ip", "addr", "add", f"10.9.{number}.2/24", "dev", "eth0")
    pod.run("ip", "addr", "add", f"fd09:{number}::2/64", "dev", "eth0", "nodad")
    pod.run("ip", "link", "set", "eth0", "up")
    pod.run("ip", "route", "add", "default", "via", f"10.9.{number}.1")
    pod.run("ip", "-6", "route", "add", "default", "via", f"fd09:{number}::1")


def capture(pod: Namespace, inbound: list[int]) -> None:
    """What an init container does: outbound connections go to 15006, those to `inbound` ports to 15008."""
    for tables, own in (("iptables", "127.0.0.0/8"), ("ip6tables", "::1/128")):
        nat = (tables, "-t", "nat", "-A")
        pod.run(*nat, "OUTPUT", "-m", "owner", "--uid-owner", str(EXCLUDED_UID), "-j", "RETURN")
        pod.run(*nat, "OUTPUT", "-d", own, "-j", "RETURN")
        pod.run(*nat, "OUTPUT", "-p", "tcp", "-j", "REDIRECT", "--to-ports", str(OUTBOUND))
        for port in inbound:
            match = ("-p", "tcp", "--dport", str(port))
            pod.run(*nat, "PREROUTING", *match, "-j", "REDIRECT", "--to-ports", str(INBOUND))


def as_excluded(command: list[str], pod: Namespace) -> list[str]:
    """`command` inside the pod as the user whose connections are left alone, able to read any file."""
    rights = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--pdeathsig", "KILL"]
    user = ["setpriv", f"--reuid={EXCLUDED_UID}", f"--regid={EXCLUDED_UID}", "--clear-groups", *rights]
    return ["ip", "netns", "exec", pod.name, *user, *command]
