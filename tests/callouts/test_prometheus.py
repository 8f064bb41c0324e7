"""Queries to a real Prometheus."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controlplane.callouts.answers import value_in
from controlplane.callouts.client import Callouts
from tests.monitoring.prometheus import program
from tests.ports import free_port

pytestmark = pytest.mark.mesh  # it takes a while to start


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "scrape_configs: [{job_name: self, scrape_interval: 1s, scrape_timeout: 1s, "
        f'static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]\n'
    )
    command = [
        program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def test_what_it_answers(prometheus: str) -> None:
    callouts = Callouts([prometheus])

    async def value(query: str) -> float | str:
        return value_in(await callouts.query(prometheus, query))

    async with asyncio.timeout(60):
        async with httpx.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    if (await http.get(f"{prometheus}/-/ready")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        while await value("up") != 1:  # noqa: ASYNC110 - until its first scrape
            await asyncio.sleep(0.1)
    assert await value("2 * 3.5") == 7
    assert await value("vector(4)") == 4
    assert await value("vector(0) / 0") == "it gives no number"
    assert await value("nothing_of_this_name") == "it gives no series"
    several = await value("prometheus_http_requests_total")
    assert several != 1
    assert await value("up[1m]") == "it gives a matrix, not one value"
    assert str(await value("sum(")).startswith("it answered 400: invalid parameter")
