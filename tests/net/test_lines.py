"""Log lines that anybody can cause are counted where they are too many."""

from __future__ import annotations

from typing import Any

from controlplane.net.lines import EACH, PERIOD, Lines, host_of


class Log:
    """Keeps the lines, has a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.written: list[tuple[str, dict[str, Any]]] = []
        self.lines = Lines(lambda: self.now)

    def write(self, event: str, host: str) -> None:
        self.lines.write(lambda event, **fields: self.written.append((event, fields)), event, host, text="x")


def test_so_many_lines_of_one_address_and_all_of_another():
    log = Log()
    for _ in range(EACH + 25):
        log.write("no", "10.0.0.1")
    log.write("yes", "10.0.0.2")
    assert [event for event, _ in log.written] == ["no"] * EACH + ["yes"]
    assert log.lines.suppressed == 25


def test_the_next_line_says_how_many_were_left_out():
    log = Log()
    for _ in range(EACH + 25):
        log.write("no", "10.0.0.1")
    log.now += PERIOD
    log.write("no", "10.0.0.1")
    log.write("no", "10.0.0.1")
    assert [fields for _, fields in log.written[-2:]] == [{"text": "x", "suppressed": 25}, {"text": "x"}]


def test_addresses_of_one_network_count_together_and_few_are_remembered():
    log = Log()
    for index in range(EACH + 1):
        log.write("no", f"2001:db8::{index}")
    assert len(log.written) == EACH
    for index in range(5_000):
        log.write("no", f"10.0.{index // 250}.{index % 250}")
    assert len(log.lines._senders) <= 1_000


def test_hosts_of_peers():
    assert host_of("ipv4:10.0.0.1:80") == "10.0.0.1"
    assert host_of("ipv6:[::1]:80") == "::1"
    assert host_of("unix:") == ""
