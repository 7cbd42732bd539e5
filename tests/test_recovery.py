"""The scripts on real sockets: frozen, killed, restarted; what comes back, what is told, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "heartbeat_trio"]

Line = dict[str, Any]


class Process:
    """One of the scripts with JSON output, read line by line."""

    def __init__(self, *arguments: str) -> None:
        self.popen = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.seen: list[Line] = []

    def next_line(self) -> Line:
        assert self.popen.stdout is not None
        text = self.popen.stdout.readline()
        assert text, f"the process ended: {self.popen.stderr.read() if self.popen.stderr else ''}"
        line: Line = json.loads(text)
        self.seen.append(line)
        return line

    def wait_for(self, event: str, **fields: object) -> Line:
        """Read on until such a line comes."""
        while True:
            line = self.next_line()
            if line["event"] == event and all(line.get(name) == value for name, value in fields.items()):
                return line

    def end(self, number: int = signal.SIGINT) -> int:
        """Ask it to stop; the exit code. What it still prints is kept."""
        self.popen.send_signal(number)
        assert self.popen.stdout is not None
        self.seen += [json.loads(text) for text in self.popen.stdout]
        return self.popen.wait(timeout=8)

    def events(self, event: str) -> list[Line]:
        return [line for line in self.seen if line["event"] == event]


@contextmanager
def running(*arguments: str) -> Iterator[Process]:
    """Start a script, and leave nothing behind."""
    process = Process(*arguments)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate()


@contextmanager
def running_server(*options: str, tcp: str = "127.0.0.1:0", ws: str = "127.0.0.1:0") -> Iterator[tuple[Process, Line]]:
    with running("serve", "--tcp", tcp, "--ws", ws, "--output", "json", *options) as server:
        yield server, server.wait_for("listening")


def url_of(kind: str, listening: Line) -> str:
    return f"tcp://{listening['tcp']}" if kind == "tcp" else str(listening["ws"]) + kind.removeprefix("ws")


CLIENT = ("--subscribe", "BTCUSD", "--output", "json", "--backoff-initial", "0.2", "--backoff-maximum", "0.5")
QUICK = ("--ping-interval", "1", "--pong-timeout", "0.6")
KINDS = ["tcp", "ws", "ws#engine=trio-websocket"]


def check_sequence(lines: list[Line]) -> None:
    """No hole that was not announced, and no repetition, in the order in which the client printed."""
    position: tuple[str, int] | None = None
    for line in lines:
        if line["event"] == "gap" and position is not None:
            if line["last"] is None:
                assert (line["stream"], line["first"]) == (position[0], position[1] + 1)
                position = None
            else:
                assert (line["stream"], line["first"]) == (position[0], position[1] + 1)
                position = (line["stream"], line["last"])
        elif line["event"] == "gap":
            assert line["first"] == 1
            position = (line["stream"], line["last"])
        elif line["event"] == "quote":
            if position is not None:
                assert (line["stream"], line["seq"]) == (position[0], position[1] + 1)
            position = (line["stream"], line["seq"])


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_server_is_lost_in_time_and_resumed_without_a_hole(kind: str) -> None:
    """SIGSTOP: reported lost within 4.2 s; SIGCONT: subscribed again, and nothing is missing or repeated."""
    with (
        running_server("--rate", "20") as (server, listening),
        running("watch", url_of(kind, listening), *CLIENT, *QUICK) as client,
    ):
        for _ in range(20):
            client.wait_for("quote")
        server.popen.send_signal(signal.SIGSTOP)
        stopped = time.time()
        lost = client.wait_for("lost")
        assert time.time() - stopped <= 4.2
        assert lost["cause"] == "pong_timeout"
        assert [1, 2, 3] == [line["missed"] for line in client.events("pong_missed")]
        server.popen.send_signal(signal.SIGCONT)
        client.wait_for("subscribed", symbol="BTCUSD")
        for _ in range(20):
            client.wait_for("quote")
        assert client.end() == 0
        assert client.events("gap") == []
        check_sequence(client.seen)
        assert server.end() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_restarted_server_is_found_again(kind: str) -> None:
    """SIGKILL and a new server on the same port: connected and subscribed again, and the new stream is announced."""
    with running_server("--rate", "20") as (server, listening):
        addresses = {"tcp": listening["tcp"], "ws": listening["ws"].removeprefix("ws://").removesuffix("/")}
        with running("watch", url_of(kind, listening), *CLIENT, *QUICK) as client:
            for _ in range(5):
                client.wait_for("quote")
            server.popen.kill()
            assert client.wait_for("lost")["cause"] in ("closed_by_peer", "reset")
            client.wait_for("retry_scheduled")
            with running_server("--rate", "20", **addresses):
                client.wait_for("connected")
                gap = client.wait_for("gap")
                assert (gap["reason"], gap["last"]) == ("stream_changed", None)
                for _ in range(5):
                    client.wait_for("quote")
                assert client.end() == 0
            check_sequence(client.seen)


def test_what_the_server_no_longer_holds_is_announced_with_exact_bounds() -> None:
    """Away for longer than the ring lasts: the gap begins after the last quote, and ends before the first one held."""
    with running_server("--rate", "500", "--idle-timeout", "1") as (server, listening):
        with running(
            "watch", f"tcp://{listening['tcp']}", *CLIENT, "--ping-interval", "0.3", "--pong-timeout", "0.2"
        ) as client:
            client.wait_for("quote")
            client.popen.send_signal(signal.SIGSTOP)  # the server drops it as idle; its ring lasts 2 s
            time.sleep(4.5)
            client.popen.send_signal(signal.SIGCONT)
            client.wait_for("lost")
            gap = client.wait_for("gap")
            assert gap["reason"] == "expired"
            for _ in range(50):
                client.wait_for("quote")
            assert client.end() == 0
            check_sequence(client.seen)
        assert server.end(signal.SIGTERM) == 0
        [stopped] = server.events("stopped")
        assert stopped["dropped_idle"] == 1


def test_goodbye_of_the_server_is_understood() -> None:
    """SIGTERM: the server says goodbye; the client knows it for what it is."""
    with running_server() as (server, listening):
        urls = [f"tcp://{listening['tcp']}", listening["ws"]]
        with running("watch", *urls, *CLIENT) as client:
            for url in urls:
                client.wait_for("quote", endpoint=url)
            assert server.end(signal.SIGTERM) == 0
            causes = {client.wait_for("lost")["cause"] for _ in urls}
            assert causes == {"goodbye"}
            assert client.end() == 0


def test_giving_up_lists_every_attempt() -> None:
    """Against no server: exit 3 in under 3 s, with every attempt and its cause."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    begin = time.monotonic()
    limits = ("--max-attempts", "4", "--backoff-initial", "0.05", "--backoff-maximum", "0.2")
    with running("watch", f"tcp://127.0.0.1:{port}", *limits, "--output", "json") as client:
        out, _ = client.popen.communicate(timeout=8)
    assert time.monotonic() - begin < 3
    assert client.popen.returncode == 3
    [gave_up] = [line for line in map(json.loads, out.splitlines()) if line["event"] == "gave_up"]
    assert [(number, "connect_refused") for number in (1, 2, 3, 4)] == [
        (each["number"], each["cause"]) for each in gave_up["attempts"]
    ]


def test_no_pong_is_exit_code_1() -> None:
    """Like ping(8): a silent server is no success."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with running("watch", url, "--duration", "0.5", "--output", "json") as client:
            client.popen.communicate(timeout=8)
    assert client.popen.returncode == 1


def test_accept_then_close_is_no_storm() -> None:
    """A server that accepts and closes at once sees a handful of connects, not hundreds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        with running(
            "watch", f"tcp://127.0.0.1:{server.getsockname()[1]}", "--max-attempts", "0", "--duration", "4"
        ) as client:
            connects = 0
            while client.popen.poll() is None:
                try:
                    server.accept()[0].close()
                    connects += 1
                except TimeoutError:
                    pass
            client.popen.communicate()
    assert 1 <= connects <= 6
