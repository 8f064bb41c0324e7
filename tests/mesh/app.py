"""A small application for tests: answers who it is and what it got, and calls the next service if it has one.

    python app.py '[{"name": "A", "address": "127.2.0.1", "port": 30001, "next": "http://sc-B/b",
                     "proxy": ["127.2.0.1", 15001], "carriers": ["x-lane", "baggage"], "config": "FILE"}]'

One process may be several applications. It knows nothing of lanes: it hands on the request headers that it
is told to, as a framework or an agent would. A request header `x-delay: C=0.2` makes the named application
answer late, `x-hand-on: B=b3,sw8` has it hand on these headers alone, `x-fail: C=503 name:value` makes it
answer this status with this header. An application closes connections that are idle for `keep_alive` seconds,
if it has such a time, and answers how often it has seen a request's `x-id`. With `fails` each request of this
number fails, such as every tenth. `how` is how it calls: `pool` from a thread of a pool, which knows no
headers, `queue` after its answer, from a worker that knows none, `own-id` with a request id that it has made.
A request header `x-how: B=pool` says so for one request.
`polls` are the seconds between calls of its own; `x-polls: B=0.01` changes them from then on, 0 ends them.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
TRACES = ("traceparent", "b3", "x-b3-traceid", "sw8", "uber-trace-id", "x-request-id")
HANDED_ON = ("x-delay", "x-fail", "x-hand-on", "x-how", "x-polls", *TRACES)


async def read_message(reader: Reader) -> tuple[str, list[tuple[str, str]], bytes] | None:
    """First line, headers and body of one HTTP/1.1 message; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    headers = [(n.lower(), v.strip(" \t")) for n, _, v in (line.partition(":") for line in lines)]
    named = dict(headers)
    body = b""
    if "content-length" in named:
        body = await reader.readexactly(int(named["content-length"]))
    elif "chunked" in named.get("transfer-encoding", ""):
        chunks: list[bytes] = []
        while True:
            size = int(await reader.readline(), 16)
            chunk = await reader.readexactly(size + 2)
            if not size:
                break
            chunks.append(chunk[:-2])
        body = b"".join(chunks)
    return first, headers, body


class Caller:
    """Calls the next service through the sidecar's proxy, over connections that are kept open."""

    def __init__(self, proxy: tuple[str, int], url: str) -> None:
        self.proxy = proxy
        self.url = url
        self.host = url.split("/")[2]
        self.idle: list[tuple[Reader, Writer]] = []

    async def call(self, method: str, headers: list[tuple[str, str]], body: bytes) -> tuple[int, bytes]:
        lines = [f"{method} {self.url} HTTP/1.1", f"host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body or method in ("POST", "PUT"):
            lines.append(f"content-length: {len(body)}")
        raw = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        reused = bool(self.idle)
        reader, writer = self.idle.pop() if reused else await asyncio.open_connection(*self.proxy)
        writer.write(raw)
        answer = await read_message(reader)
        if answer is None and reused and method != "POST":
            writer.close()
            reader, writer = await asyncio.open_connection(*self.proxy)
            writer.write(raw)
            answer = await read_message(reader)
        if answer is None:
            writer.close()
            return 599, b'{"error": "the sidecar closed the connection"}'
        self.idle.append((reader, writer))
        return int(answer[0].split()[1]), answer[2]


class Application:
    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        self.name: str = entry["name"]
        self.carriers: list[str] = entry.get("carriers", ["x-lane", "baggage"])
        self.handed_on: list[str] = entry.get("handed_on") or list(HANDED_ON)
        self.how: str = entry.get("how", "")
        self.pool = ThreadPoolExecutor(4)
        self.queued: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.tasks: list[asyncio.Task[None]] = []
        self.polling: asyncio.Task[None] | None = None
        self.keep_alive: float | None = entry.get("keep_alive")
        self.fails: int = entry.get("fails", 0)
        self.answered = 0
        self.seen: Counter[str] = Counter()
        self.caller = Caller(tuple(entry["proxy"]), entry["next"]) if entry.get("next") else None

    async def serve(self, reader: Reader, writer: Writer) -> None:
        try:
            while (message := await asyncio.wait_for(read_message(reader), self.keep_alive)) is not None:
                status, answer = await self.answer(*message)
                extra = ""
                for value in self.told(message[1], "x-fail"):
                    code, _, extra = value.partition(" ")
                    status, extra = int(code), f"{extra}\r\n" if extra else ""
                head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{extra}"
                head += f"content-length: {len(answer)}\r\n"
                writer.write(head.encode() + b"\r\n" + answer)
                await writer.drain()
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def told(self, headers: list[tuple[str, str]], name: str) -> list[str]:
        """What headers of that name say to this application."""
        mine = f"{self.name}="
        return [v.removeprefix(mine) for n, v in headers if n == name and v.startswith(mine)]

    async def answer(self, first: str, headers: list[tuple[str, str]], body: bytes) -> tuple[int, bytes]:
        method, path, _ = first.split(" ")
        self.answered += 1
        if self.fails and self.answered % self.fails == 0:
            return 500, json.dumps({"name": self.name, "error": "a defect of this version"}).encode()
        for seconds in self.told(headers, "x-delay"):
            await asyncio.sleep(float(seconds))
        mine = {"name": self.name, "method": method, "path": path, "headers": headers, "size": len(body)}
        for name, value in headers:
            if name == "x-id":
                self.seen[value] += 1
                mine["times"] = self.seen[value]
        if self.caller is None:
            return 200, json.dumps({**mine, "chain": [self.name]}).encode()
        for seconds in self.told(headers, "x-polls"):
            self.poll_every(float(seconds))
        how = self.how
        for value in self.told(headers, "x-how"):
            how = value
        if how == "queue":
            self.queued.put_nowait((method, body))
            return 202, json.dumps({**mine, "chain": [self.name]}).encode()
        kept = [(n, v) for n, v in headers if n in (*self.carriers, *self.handed_on)]
        for names in self.told(headers, "x-hand-on"):
            kept = [(n, v) for n, v in headers if n in names.split(",")]
        if how == "own-id":
            kept = [(n, v) for n, v in kept if n not in TRACES] + [("x-request-id", str(uuid.uuid4()))]
        if how == "pool":
            loop = asyncio.get_running_loop()
            status, text = await loop.run_in_executor(self.pool, self.from_thread, method, body)
        else:
            status, text = await self.caller.call(method, kept, body)
        try:
            downstream = json.loads(text)
        except ValueError:
            downstream = {"error": text.decode(errors="replace")}
        chain = [self.name, *downstream.get("chain", [f"{status}"])]
        return status, json.dumps({**mine, "chain": chain, "next": downstream}).encode()

    def from_thread(self, method: str, body: bytes) -> tuple[int, bytes]:
        assert self.caller is not None
        connection = http.client.HTTPConnection(*self.caller.proxy, timeout=20)
        connection.request(method, self.caller.url, body, {"host": self.caller.host})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def begin(self) -> None:
        """Start what it does by itself."""
        if self.caller is not None:
            self.tasks.append(asyncio.create_task(self.work()))
            self.poll_every(self.entry.get("polls", 0.0))

    def poll_every(self, seconds: float) -> None:
        """Call by itself each so many seconds; 0: no more."""
        if self.polling is not None:
            self.polling.cancel()
        self.polling = asyncio.create_task(self.poll(seconds)) if seconds else None

    async def work(self) -> None:
        while True:
            method, body = await self.queued.get()
            await asyncio.sleep(0.02)
            assert self.caller is not None
            await self.caller.call(method, [], body)

    async def poll(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            assert self.caller is not None
            await self.caller.call("GET", [], b"")


async def main(entries: list[dict[str, Any]]) -> None:
    servers = []
    for entry in entries:
        application = Application(entry)
        application.begin()
        servers.append(
            await asyncio.start_server(application.serve, entry["address"], entry["port"], backlog=512)
        )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
