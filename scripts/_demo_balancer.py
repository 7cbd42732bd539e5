"""The balancer's demonstration: three servers with one order book; the best becomes slow, then the next one is killed.

Orders go on, each once. What was executed is counted in the book: none doubled, none lost.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-u", "-m", "heartbeat_trio"]
FULL = 30.0
"""Below so many seconds, everything happens proportionally sooner."""
SLOW_AT, KILL_AT, END_AT = 9.0, 19.0, 26.0
NEAR, FAR = (0.001, 0.003, 0.005), 0.060
"""Seconds one way: to the three servers, and to the one that becomes slow."""
POLICY = {
    "--window": "8",
    "--confirmations": "4",
    "--dwell": "3",
    "--probes": "3",
    "--ejection": "5",
    "--max-switches": "20",
    "--ping-interval": "0.5",
    "--pong-timeout": "0.4",
}
"""Shortened, so that there is something to see in half a minute."""
SWITCHED = re.compile(r"orders go to (tcp://[\d.:]+)(, no longer)?.*?(quality)?(?::|$)")


class Server:
    """One server's process, and the way to it, which can become longer."""

    def __init__(self, name: str, delay: float) -> None:
        self.name = name
        self.delay = delay
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.url = ""

    def start(self, book: Path) -> None:
        """Start the process, and learn its port."""
        options = ["--tcp", "127.0.0.1:0", "--ws", "none", "--order-book", str(book), "--output", "json"]
        self.process = subprocess.Popen([*COMMAND, "serve", *options], stdout=subprocess.PIPE, cwd=ROOT)
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["tcp"].rpartition(":")[2])

    async def open_way(self, nursery: trio.Nursery) -> None:
        """Listen for those who take the long way."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.start_soon(trio.serve_listeners, self.forward, [listener])

    async def forward(self, near: trio.SocketStream) -> None:
        """Carry one connection until either end closes it."""
        try:
            async with await trio.open_tcp_stream("127.0.0.1", self.port) as far, trio.open_nursery() as nursery:
                nursery.start_soon(self.carry, near, far, nursery.cancel_scope)
                nursery.start_soon(self.carry, far, near, nursery.cancel_scope)
        except OSError:
            pass  # nobody is there
        finally:
            await trio.aclose_forcefully(near)

    async def carry(self, source: trio.SocketStream, target: trio.SocketStream, done: trio.CancelScope) -> None:
        """One direction: each read arrives a delay later, in order."""
        send, receive = trio.open_memory_channel[tuple[float, bytes]](10_000)

        async def deliver() -> None:
            async for due, data in receive:
                await trio.sleep_until(due)
                await target.send_all(data)
            done.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard, deliver, done)
            async with send:
                try:
                    while data := await source.receive_some():
                        await send.send((trio.current_time() + self.delay, bytes(data)))
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    done.cancel()

    def end(self) -> None:
        """Leave no process behind."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


async def guard(task: Callable[[], Awaitable[None]], done: trio.CancelScope) -> None:
    """Run a task whose connection may break."""
    await trio.lowlevel.checkpoint()
    try:
        await task()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        done.cancel()


class Show:
    """The servers, the balancer, and the order of events."""

    def __init__(self, seconds: float) -> None:
        self.scale = min(1.0, seconds / FULL)
        self.servers = [Server(f"server {letter}", delay) for letter, delay in zip("ABC", NEAR, strict=True)]
        self.best: Server | None = None
        self.reasons: list[str] = []
        self.counts: dict[str, str] = {}
        self.code = 1

    async def run(self) -> int:
        """Run it; 0 if a slow server was left, a dead one too, and no order was doubled or lost."""
        with tempfile.TemporaryDirectory() as folder:
            book = Path(folder) / "orders"
            try:
                async with trio.open_nursery() as nursery:
                    for server in self.servers:
                        await trio.to_thread.run_sync(server.start, book)
                        await server.open_way(nursery)
                        say(f"{server.name} at {server.url}, {2000 * server.delay:g} ms there and back")
                    nursery.start_soon(self.do_harm)
                    await self.balance(book)
                    nursery.cancel_scope.cancel()
            finally:
                for server in self.servers:
                    server.end()
        return self.verdict()

    async def balance(self, book: Path) -> None:
        """Run the command, and read what it says."""
        say("a shortened policy: " + " ".join(f"{name} {value}" for name, value in POLICY.items()))
        urls = [server.url for server in self.servers]
        options = [*(word for pair in POLICY.items() for word in pair), "--order-book", str(book)]
        command = [*COMMAND, "balance", *urls, *options, "--orders-per-second", "50"]
        process = await trio.lowlevel.open_process(
            [*command, "--duration", f"{END_AT * self.scale:g}"], stdout=subprocess.PIPE, cwd=ROOT
        )
        try:
            assert process.stdout is not None
            rest = b""
            async for data in process.stdout:
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.read(line.decode())
            self.code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()

    def read(self, line: str) -> None:
        """Show a line with the servers' names, and remember what matters."""
        switched = SWITCHED.search(line)
        if switched is not None:
            self.best = next(server for server in self.servers if server.url == switched[1].rstrip(":,"))
            self.reasons.append(re.findall(r"\((\w+):", line)[0] if switched[2] else "first")
        count = re.fullmatch(r"(\w[\w ]*?)  +([\w. ]+)", line)
        if count is not None:
            self.counts[count[1]] = count[2]
        for server in self.servers:
            line = line.replace(
                server.url, server.name.ljust(len(server.url)) if line.startswith(server.url) else server.name
            )
        print(line, flush=True)

    async def do_harm(self) -> None:
        """Slow down the best server; later, kill the one that took its place."""
        await trio.sleep(SLOW_AT * self.scale)
        if self.best is not None:
            say(f"{self.best.name}, the best, becomes slow: {2000 * FAR:g} ms more")
            self.best.delay += FAR
        await trio.sleep((KILL_AT - SLOW_AT) * self.scale)
        if self.best is not None and self.best.process is not None:
            say(f"{self.best.name} is killed (SIGKILL)")
            self.best.process.kill()

    def verdict(self) -> int:
        """Whether all of it happened as promised."""
        expected = {"doubled": "0", "lost": "0"}
        is_right = expected == {name: self.counts.get(name) for name in expected} and self.code == 0
        has_switched = "quality" in self.reasons and not {"lost", "suspect", "degraded"}.isdisjoint(self.reasons)
        say("none doubled, none lost" if is_right else "that should not have happened")
        return 0 if is_right and has_switched else 1


def say(text: str) -> None:
    """Tell what is done to the servers."""
    print(f"---- {text}", flush=True)


def main(seconds: float) -> int:
    """Run it for about so many seconds; the exit code."""
    return trio.run(partial(Show(seconds).run))
