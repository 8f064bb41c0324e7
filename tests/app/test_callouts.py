"""Releases that ask others: hooks before, during and after, and queries, on a real HTTP server."""

from __future__ import annotations

import json
import threading

from controlplane.app import telling
from controlplane.app.releasing import Releasing
from controlplane.callouts.client import Callouts
from controlplane.model.parsing import parse_documents
from controlplane.release import actions
from controlplane.store.memory import MemoryStore
from tests.app.test_releasing import BEFORE, KEY, Clock, progress, traffic
from tests.callouts.server import Asked, Server, serving


async def started(clock: Clock, more: str) -> MemoryStore:
    text = BEFORE.decode().replace("steps:", f"{more}\nsteps:")
    store = MemoryStore()
    await store.change(lambda empty: empty.apply(parse_documents(text.encode())).definitions)
    await store.change(lambda now: actions.start(now, KEY, "ann", clock.now))
    return store


def driving(store: MemoryStore, clock: Clock, server: Server) -> Releasing:
    return Releasing(lambda: store, traffic, clock, Callouts([server.url]))


async def looked(driver: Releasing) -> str:
    """Two looks: what the first one asks is answered for the second."""
    await driver.turn()
    await driver.asking.wait()
    await driver.turn()
    look = driver.looks.get(KEY)
    return look.advice.what if look is not None else ""


def hook(server: Server, when: str, more: str = "") -> str:
    return f"hooks: [{{name: smoke, when: {when}, url: '{server.url}/hook'{more}}}]"


async def test_a_hook_before_the_first_step() -> None:
    clock = Clock()
    with serving(lambda asked: (503, b"still warming")) as server:
        store = await started(clock, hook(server, "before"))
        assert progress(store).phase == "starting"
        assert not store.current.definitions.lanes["gray"].enabled
        driver = driving(store, clock, server)
        assert await looked(driver) == "hook smoke: it answered 503: still warming"
        assert not store.current.definitions.lanes["gray"].enabled
        server.answer = lambda asked: (200, b"")
        assert len(server.asked) == 1  # the next time is an interval later
        clock.now += 11
        await looked(driver)
        assert (progress(store).phase, progress(store).step) == ("running", 0)
        assert progress(store).since == clock.now
        assert store.current.definitions.lanes["gray"].enabled
        said = server.asked[-1].json
        names = ("hook", "when", "release", "lane", "tag", "phase", "step", "steps", "percent")
        assert [said[name] for name in names] == [
            "smoke", "before", "r", "gray", "gray", "starting", 1, 2, 5,
        ]  # fmt: skip
        assert progress(store).decisions[-1].findings[0].note == "it answered 200"


async def test_a_hook_that_refuses_ends_the_release() -> None:
    clock = Clock()
    with serving(lambda asked: (409, b"two tests of nine failed")) as server:
        store = await started(clock, hook(server, "before", ", failures: 2"))
        driver = driving(store, clock, server)
        assert "it has to fail again" in await looked(driver)
        clock.now += 11
        await looked(driver)
        last = progress(store).decisions[-1]
        assert (progress(store).phase, last.what) == (
            "aborted",
            "hook smoke: it answered 409: two tests of nine failed",
        )


async def test_a_hook_without_an_answer_ends_it_after_its_patience() -> None:
    clock = Clock()
    with serving(lambda asked: (500, b"")) as server:
        store = await started(clock, "patience: 5m\n" + hook(server, "before"))
        driver = driving(store, clock, server)
        await looked(driver)
        clock.now += 299
        await looked(driver)
        assert progress(store).phase == "starting"
        clock.now += 11
        await looked(driver)
        assert progress(store).phase == "aborted"
        assert progress(store).decisions[-1].what == "hook smoke: it answered 500 for 5m"


async def test_a_silent_hook_holds_up_no_look() -> None:
    clock, over = Clock(), threading.Event()

    def answer(asked: Asked) -> tuple[int, bytes]:
        over.wait(60)
        return 200, b""

    with serving(answer) as server:
        store = await started(clock, hook(server, "during", ", timeout: 5m"))
        driver = driving(store, clock, server)
        await driver.turn()
        clock.now += 61
        await driver.turn()
        assert driver.looks[KEY].advice.what == "hook smoke: it has not answered yet"
        await store.change(lambda now: actions.act(now, KEY, "abort", "ben", clock.now))
        await driver.turn()
        assert (progress(store).phase, driver.looks) == ("aborted", {})
        over.set()


async def test_a_hook_during_a_step_is_a_check() -> None:
    clock = Clock()
    with serving() as server:
        store = await started(clock, hook(server, "during"))
        driver = driving(store, clock, server)
        assert await looked(driver) == "step 1 holds for 1m"
        server.answer = lambda asked: (425, b"")
        clock.now += 61
        await driver.turn()
        assert driver.looks[KEY].advice.what == "hook smoke: it has not answered yet"  # the last one is old
        assert await looked(driver) == "hook smoke: it answered 425"
        server.answer = lambda asked: (200, b"")
        clock.now += 11
        await looked(driver)
        assert progress(store).step == 1
        server.answer = lambda asked: (400, b"no")
        await looked(driver)
        assert progress(store).phase == "aborted"
        assert store.current.definitions.lanes["gray"].ratio.percent == 0  # type: ignore[union-attr]


async def test_a_query() -> None:
    clock, values = Clock(), ["1"]

    def answer(asked: Asked) -> tuple[int, bytes]:
        result = [{"metric": {}, "value": [1, value]} for value in values]
        return 200, json.dumps(
            {"status": "success", "data": {"resultType": "vector", "result": result}}
        ).encode()

    with serving(answer) as server:
        check = f"checks: [{{measure: query, prometheus: '{server.url}', query: errors, max: 2}}]"
        store = await started(clock, check)
        driver = driving(store, clock, server)
        clock.now += 61
        await looked(driver)
        found = progress(store).decisions[-1].findings[0]
        assert (progress(store).step, found.value, found.limit, found.note) == (1, 1, 2, "it is 1")
        values[:] = []
        assert await looked(driver) == "query errors: it gives no series"
        values[:] = ["3"]
        clock.now += 11
        await looked(driver)
        assert progress(store).decisions[-1].what == "query errors: it is 3, more than 2"


async def test_how_it_ended_is_told_over_a_restart_and_once() -> None:
    clock = Clock()
    with serving(lambda asked: (503, b"")) as server:
        store = await started(clock, hook(server, "after"))
        await store.change(lambda now: actions.act(now, KEY, "abort", "ben", clock.now))
        first, second = (driving(store, clock, server) for _ in range(2))
        for driver in (first, second):
            driver.telling = telling.Telling(lambda: store, driver.callouts, clock, first_wait=0.01)
        first.telling.mine(KEY, progress(store).since)
        first.telling.turn(store.current.definitions)
        await first.telling.wait()
        assert len(server.asked) == telling.TRIES
        assert len({asked.headers["x-laneway-delivery"] for asked in server.asked}) == 1
        assert progress(store).told == ("smoke",)
        assert progress(store).decisions[-1].what == "hook smoke was not told: it answered 503"
        second.telling.turn(store.current.definitions)
        await second.telling.wait()
        assert len(server.asked) == telling.TRIES


async def test_the_end_is_told_after_a_restart() -> None:
    clock = Clock()
    with serving() as server:
        store = await started(clock, hook(server, "after"))
        await store.change(lambda now: actions.act(now, KEY, "abort", "ben", clock.now))
        driver = driving(store, clock, server)
        driver.telling.mine(KEY, progress(store).since)
        await driver.turn()
        await driver.telling.wait()
        await driver.turn()
        await driver.telling.wait()
        assert [(one.json["phase"], one.json["why"]) for one in server.asked] == [
            ("aborted", "aborted by ben")
        ]
        assert progress(store).told == ("smoke",)


async def test_urls_that_are_not_allowed_hold_it_up() -> None:
    clock = Clock()
    with serving() as server:
        store = await started(clock, hook(server, "before"))
        driver = Releasing(lambda: store, traffic, clock)
        assert "is not allowed" in await looked(driver)
        assert driver.refused(actions.release_of(store.current.definitions, KEY)) == [
            f"{server.url}/hook is not allowed: an administrator has to add it to --release-urls"
        ]
        assert server.asked == []
