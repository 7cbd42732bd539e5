"""Runs one measurement in a process of its own, within a time limit, so that a peer that hangs is a result as well.

The child starts the server that it talks to: that one gets the first core, the child the last.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from .settings import NotOfferedError

OPTIONAL = ("websockets", "picows", "aiohttp")


class Outcome(NamedTuple):
    """A measurement's result, or the word for why there is none."""

    value: Any = None
    problem: str | None = None


class Running(NamedTuple):
    """A child at work."""

    process: subprocess.Popen[str]
    limit: float


def start(target: str, arguments: dict[str, Any], limit: float) -> Running:
    """Begin ``tests.support.speed.MODULE:FUNCTION`` with keyword arguments that JSON can hold."""
    return start_command(["tests.support.speed.child", target, json.dumps(arguments)], limit)


def start_command(arguments: list[str], limit: float) -> Running:
    """Begin a Python module."""
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    return Running(process, limit)


def finish(running: Running) -> Outcome:
    """Wait for the child's result."""
    out = finish_command(running)
    return out if out.problem is not None else Outcome(*json.loads(out.value))


def finish_command(running: Running) -> Outcome:
    """Wait for the last line of its output. Past its limit it is killed with all that it started: it hung."""
    process = running.process
    try:
        out, errors = process.communicate(timeout=running.limit)
    except subprocess.TimeoutExpired:
        return Outcome(problem="hung")
    finally:
        _end(process)
    lines = out.splitlines()
    if not lines:
        words = (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return Outcome(problem=f"failed: {words[:120]}")
    return Outcome(lines[-1])


def run(target: str, arguments: dict[str, Any], *, limit: float) -> Outcome:
    """Both."""
    return finish(start(target, arguments, limit))


def run_together(targets: dict[str, str], arguments: dict[str, Any], *, limit: float) -> dict[str, Outcome]:
    """Several at once: for what waits more than it works."""
    running = {name: start(target, arguments, limit) for name, target in targets.items()}
    try:
        return {name: finish(each) for name, each in running.items()}
    finally:
        for each in running.values():  # after Ctrl-C, some are at work still
            if each.process.poll() is None:
                _end(each.process)


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its own session: the child and its server
    process.communicate()


# -- in the child ---------------------------------------------------------------------------------------------------------


def cores() -> list[int]:
    """Those that we may run on; [] where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(core: int) -> None:
    """Stay on one core, where the system can do that."""
    if core >= 0:
        os.sched_setaffinity(0, {core})


class Server:
    """The raw server, as a process; see `tests.support.speed.server`."""

    def __init__(self, *, core: int) -> None:
        self._core = core
        self.port = 0
        self.start_again()

    def start_again(self) -> None:
        """On the port that it had."""
        arguments = ["--core", str(self._core), "--port", str(self.port)]
        command = [sys.executable, "-m", "tests.support.speed.server", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        ports = json.loads(self._process.stdout.readline())
        self.port = ports["ws"]
        self.tcp_port: int = ports["tcp"]

    def url(self, path: str) -> str:
        """Where a client finds a behaviour."""
        return f"ws://127.0.0.1:{self.port}{path}"

    def connects(self) -> int:
        """How many have connected over WebSocket so far."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(b"GET /connects HTTP/1.1\r\n\r\n")
            with sock.makefile("rb") as answer:
                return int(answer.read().rpartition(b"\n")[2])

    def stop(self) -> None:
        """Freeze it: its sockets stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def serving(*, pinned: bool = True) -> Iterator[Server]:
    """A server on the first core, and ourselves on the last."""
    allowed = cores() if pinned else []
    is_apart = len(allowed) > 1
    server = Server(core=allowed[0] if is_apart else -1)
    if is_apart:
        pin(allowed[-1])
    try:
        yield server
    finally:
        server.kill()


def measure(target: str, arguments: dict[str, Any]) -> Outcome:
    """Call the function."""
    module, _, function = target.partition(":")
    try:
        return Outcome(getattr(importlib.import_module(f"tests.support.speed.{module}"), function)(**arguments))
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        return Outcome(problem="not installed")
    except NotOfferedError:
        return Outcome(problem="none built in")
    except Exception as error:  # noqa: BLE001 - whatever a peer does is its result
        traceback.print_exc()
        return Outcome(problem=f"failed: {type(error).__name__}: {error}"[:160])


def measure_all(calls: list[tuple[str, dict[str, Any]]]) -> list[Outcome]:
    """Several measurements in one process."""
    return [measure(target, arguments) for target, arguments in calls]


def answer_now(value: object) -> None:
    """Print a result, and end this process there and then."""
    print(json.dumps(Outcome(value)), flush=True)
    os._exit(0)


def main() -> None:
    """Print the outcome as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("arguments", nargs="?", default="{}")
    options = parser.parse_args()
    print(json.dumps(measure(options.target, json.loads(options.arguments))), flush=True)
    os._exit(0)  # a peer's threads and tasks may hang still


if __name__ == "__main__":
    main()
