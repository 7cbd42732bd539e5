"""Inject a cause on many real connections side by side, and see what they blame.

As a program, it prints what each connection said as JSON: ``causes.py CAUSE --connections N``. `PATH_DEAD` cuts the loopback
device, so run it in a network namespace of its own (`classify_in_child` does).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import trio

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.connection import Connection, open_connection
from heartbeat_trio.events import Cause, Event, Evidence, PongMissed, PongReceived, PongVoided
from heartbeat_trio.exceptions import ConnectionLost
from heartbeat_trio.protocol.messages import Subscribe
from heartbeat_trio.transports.evidence import SocketStream, open_socket_stream

HERE = Path(__file__).parent
POLICY = HeartbeatPolicy(ping_interval=1.0, pong_timeout=0.9, max_missed_pongs=3)
STALL = 1.5
SMALL = 4096
"""Bytes of a socket's buffers where they have to become full."""


class Verdict(msgspec.Struct):
    """What one connection blamed first."""

    scheme: str
    blame: str | None
    evidence: Evidence | None


class Injection:
    """Peer, connections, and what they say after the injection."""

    def __init__(self, cause: Cause, peer: subprocess.Popen[str], addresses: dict[str, str]) -> None:
        self.cause = cause
        self.peer = peer
        self.addresses = addresses
        self.verdicts: dict[int, Verdict] = {}
        self.live: list[Connection] = []
        self._has_begun = False

    async def run(self, connections: int) -> list[Verdict]:
        """Open them, inject, and wait until the first verdicts are there."""
        async with trio.open_nursery() as nursery:
            for number in range(connections):
                nursery.start_soon(self._hold, number, ("tcp", "ws")[number % 2])
            while len(self.live) < connections:
                await trio.sleep(0.02)
            await trio.sleep(2 * POLICY.ping_interval)
            if self.cause is Cause.WRITER_BLOCKED:
                self._command("deaf")
                for connection in self.live:
                    nursery.start_soon(self._clog, connection)
                await trio.sleep(1.0)  # until every buffer is full
            self._has_begun = True
            self._inject()
            await trio.sleep(POLICY.ping_interval + POLICY.pong_timeout + 1.0)
            nursery.cancel_scope.cancel()
        return list(self.verdicts.values())

    def _inject(self) -> None:
        match self.cause:
            case Cause.LOCAL_STALL:
                time.sleep(STALL)  # the stall is what this is about
            case Cause.PATH_DEAD:
                link("down")
            case Cause.PEER_SILENT:
                self.peer.send_signal(signal.SIGSTOP)
            case Cause.PEER_SLOW:
                self._command("hold")
            case _:
                pass

    def _command(self, command: str) -> None:
        assert self.peer.stdin is not None
        self.peer.stdin.write(command + "\n")
        self.peer.stdin.flush()

    async def _hold(self, number: int, scheme: str) -> None:
        def note(event: Event) -> None:
            if not self._has_begun or number in self.verdicts:
                return
            if isinstance(event, PongMissed | PongVoided):
                self.verdicts[number] = Verdict(scheme, event.blame and event.blame.value, event.evidence)
            elif isinstance(event, PongReceived) and event.blame is not None:
                self.verdicts[number] = Verdict(scheme, event.blame.value, None)

        try:
            async with open_connection(
                self.addresses[scheme], heartbeat=POLICY, on_event=note, connector=self._connect
            ) as connection:
                self.live.append(connection)
                await trio.sleep_forever()
        except ConnectionLost:
            pass

    async def _connect(self, host: str, port: int) -> SocketStream:
        stream = await open_socket_stream(host, port)
        if self.cause is Cause.WRITER_BLOCKED:
            stream._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        return stream

    async def _clog(self, connection: Connection) -> None:
        try:
            while True:
                await connection.send(Subscribe("X" * 64))
        except ConnectionLost:
            pass


@contextmanager
def misbehaving_peer(cause: Cause) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Start a peer fit for a cause."""
    command = [sys.executable, str(HERE / "cause_peer.py")]
    if cause is Cause.LOCAL_STALL:
        command += ["--delay", "0.5"]  # so that many pings are in flight
    if cause is Cause.WRITER_BLOCKED:
        command += ["--buffer", str(SMALL)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


def inject(cause: Cause, connections: int) -> list[Verdict]:
    """Do it in this process."""
    if cause is Cause.PATH_DEAD:
        link("up")
    with misbehaving_peer(cause) as (peer, addresses):
        return trio.run(Injection(cause, peer, addresses).run, connections)


def link(state: str) -> None:
    """Switch the loopback device of this namespace up or down."""
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


def why_not(cause: Cause) -> str | None:
    """Why a cause cannot be injected here, if it cannot."""
    if cause is not Cause.PATH_DEAD:
        return None
    if sys.platform != "linux" or os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("ip")):
        return "cutting a line of its own needs Linux, root, unshare and ip"
    return None


def classify_in_child(cause: Cause, connections: int) -> list[Verdict]:
    """Do it in a process of its own: a stall or a cut must hit nobody else."""
    prefix = ["unshare", "-n"] if cause is Cause.PATH_DEAD else []
    command = [*prefix, sys.executable, "-m", "tests.support.causes", cause.value, "--connections", str(connections)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60, cwd=HERE.parent.parent)
    return msgspec.json.decode(done.stdout, type=list[Verdict])


def main() -> None:
    """Print the verdicts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cause", choices=[cause.value for cause in Cause])
    parser.add_argument("--connections", type=int, default=2)
    options = parser.parse_args()
    sys.stdout.buffer.write(msgspec.json.encode(inject(Cause(options.cause), options.connections)))


if __name__ == "__main__":
    main()
