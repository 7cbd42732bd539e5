"""Many WebSocket clients that cost nearly nothing: bare sockets whose bytes are counted and thrown away."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.support.fanout_servers import SIZE, SPAN, WARM_UP, Job, clock, names
from tests.support.raw_clients import TEXT, encode_frame, request

ROOT = Path(__file__).parents[2]
FRAME = SIZE + 2
"""Bytes of a quote on the wire, unmasked."""
TIMEOUT = 60.0


class Cost(NamedTuple):
    """What one run cost the server, in CPU seconds, and how old the quotes were when they came (in microseconds).

    Attributes:
        cpu: All of it.
        longest: The longest that one task kept the loop, if it was watched.
        delivered: Quotes that were sent to the clients, as ours counts them; those who stall included.
        latencies: In the order in which the quotes came, if they were asked for.
    """

    cpu: float
    longest: float
    delivered: int
    latencies: list[int]

    def percentile(self, percent: float) -> float:
        """Of the latencies of the second half: by then, who does not read is full."""
        ordered = sorted(self.latencies[len(self.latencies) // 2 :])
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class NotInstalled(Exception):
    """The peer's library is not here."""


def pin(core: int, pid: int = 0) -> None:
    """Keep a process on one core, where there are several and the platform can."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(pid, {cores[core % len(cores)]})


def connect(port: int, symbols: list[str] | None, *, room: int | None = None) -> socket.socket:
    """One client that has done the handshake, and has subscribed if it is told to; `room`: of its receive buffer."""
    sock = socket.socket()
    sock.settimeout(TIMEOUT)
    if room is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    sock.connect(("127.0.0.1", port))
    sock.sendall(request())
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(65536)
        assert data, head
        head += data
    assert b" 101 " in head, head
    if symbols:
        text = json.dumps({"op": "subscribe", "symbols": symbols}).encode()
        sock.sendall(encode_frame(TEXT, text))
        answers = b""
        while answers.count(b'"subscribed"') < len(symbols):
            data = sock.recv(65536)
            assert data, answers
            answers += data
    sock.setblocking(False)
    return sock


def drain(sockets: list[socket.socket], expected: int, latencies: list[int] | None) -> None:
    """Read until that many bytes came; keep how old the last quote of each read was."""
    by_fd = {sock.fileno(): sock for sock in sockets}
    buffer = bytearray(256 * 1024)
    with select.epoll() as poll:
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        while expected > 0:
            ready = poll.poll(TIMEOUT)
            assert ready, f"{expected} bytes did not come"
            for fd, _ in ready:
                size = by_fd[fd].recv_into(buffer)
                assert size, "the server closed"
                expected -= size
                if latencies is not None and buffer[size - 1] == 0x7D:  # a brace: the quote is whole
                    latencies.append((clock() - int(buffer[size - 7 : size - 1])) % SPAN)
        assert expected == 0, "more came than was sent"


def run(peer: str, job: Job, *, stall: bool = False, watch: bool = False, latencies: bool = False) -> Cost:
    """One server and its clients, from beginning to end.

    Args:
        peer: Who serves.
        job: What is sent.
        stall: Whether one more client connects and never reads.
        watch: Whether to measure how long the server's loop was kept.
        latencies: Whether to keep how old quotes were when they came.

    Raises:
        NotInstalled: The peer is not here.
    """
    arguments = [peer, *map(str, job), *(["watch"] if watch else [])]
    pin(1)
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.fanout_servers", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    sockets: list[socket.socket] = []
    try:
        pin(0, child.pid)
        line = child.stdout.readline().strip()
        if not line.isdecimal():
            raise NotInstalled(line)
        symbols = names(job.symbols) if peer == "ours" else None
        sockets += [connect(int(line), symbols) for _ in range(job.clients)]
        stalled = [connect(int(line), symbols, room=4096)] if stall else []
        time.sleep(0.2)  # what connecting costs is not measured
        child.stdin.write("begin\n")
        child.stdin.flush()
        taken: list[int] = []
        drain(sockets, job.clients * job.symbols * (WARM_UP + job.ticks) * FRAME, taken if latencies else None)
        child.stdin.write("end\n")
        child.stdin.flush()
        told = json.loads(child.stdout.readline())
        for sock in stalled:
            sock.close()
        return Cost(told["cpu"], told.get("longest", 0.0), int(told.get("delivered", 0)), taken)
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
        for sock in sockets:
            sock.close()
