"""A network link 25 ± 5 ms long, between two network namespaces of its own, which keeps a log of every ping and pong.

Runs a peer at one end and a client at the other, each a command, and prints two JSON lines: what the client printed, and
for each nonce the seconds from the ping's first sight on the link to the pong's last, which is somewhere between two times:
just before it is written on and just after. Root and ``/dev/net/tun`` are needed.
Both namespaces end with the processes in them.

Usage: tun_link.py DELAY_MS JITTER_MS SEED PEER CLIENT; the last two are commands, quoted for a shell, and ``{port}`` in the
client's is what the peer prints first.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import shlex
import struct
import subprocess
import sys
import time
from typing import NamedTuple

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
TUNSETIFF = 0x400454CA  # include/uapi/linux/if_tun.h, as are the two below
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PEER_ADDRESS, CLIENT_ADDRESS = "10.231.9.1", "10.231.9.2"
NONCE = 8
PING_FRAME = b"\x89\x88"
"""A WebSocket ping of eight bytes, masked (RFC 6455 §5.2)."""
PONG_FRAME = b"\x8a\x08"


class Packet(NamedTuple):
    """On its way."""

    due: float
    number: int
    end: int
    data: bytes


def open_end(address: str) -> int:
    """Move into a new namespace, and open its end of the link. What is started from here on lives in it."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", b"link0", IFF_TUN | IFF_NO_PI))
    for words in ("link set lo up", f"addr add {address}/24 dev link0", "link set link0 up"):
        subprocess.run(["ip", *words.split()], check=True)
    return end


class Link:
    """Carries packets from end to end, late but in order.

    Args:
        ends: The two descriptors.
        delay: Seconds each way.
        jitter: Seconds by which that varies, in either direction.
        rng: Decides by how much.
    """

    def __init__(self, ends: tuple[int, int], delay: float, jitter: float, rng: random.Random) -> None:
        self._ends = ends
        self._delay, self._jitter, self._rng = delay, jitter, rng
        self._queue: list[Packet] = []
        self._last = dict.fromkeys(ends, 0.0)
        self._pings: dict[str, float] = {}
        self._number = 0
        self.log: dict[str, tuple[float, float]] = {}
        """Seconds from ping to pong, at least and at most, by nonce."""

    def carry(self, wait: float) -> None:
        """Do what is due within so many seconds."""
        self._deliver()
        until = self._queue[0].due - time.monotonic() if self._queue else wait
        readable, _, _ = select.select(self._ends, [], [], max(0.0, min(wait, until)))
        for end in readable:
            data = os.read(end, 65536)
            now = time.monotonic()
            self._look(data, now)
            other = self._ends[self._ends[0] == end]
            due = max(self._last[other], now + self._delay + self._rng.uniform(-self._jitter, self._jitter))
            self._last[other] = due
            self._number += 1
            heapq.heappush(self._queue, Packet(due, self._number, other, data))
        self._deliver()

    def _deliver(self) -> None:
        while self._queue and self._queue[0].due <= time.monotonic():
            packet = heapq.heappop(self._queue)
            begun = time.monotonic()
            os.write(packet.end, packet.data)
            self._look_again(packet.data, begun, time.monotonic())

    def _look(self, data: bytes, now: float) -> None:
        """A ping comes onto the link."""
        nonce = ping_nonce(payload(data))
        if nonce is not None:
            self._pings.setdefault(nonce, now)

    def _look_again(self, data: bytes, begun: float, now: float) -> None:
        """A pong leaves it."""
        nonce = pong_nonce(payload(data))
        if nonce in self._pings:
            self.log.setdefault(nonce, (begun - self._pings[nonce], now - self._pings[nonce]))


def payload(packet: bytes) -> bytes:
    """What a TCP segment over IPv4 carries; b"" for anything else."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != 6:
        return b""
    header = (packet[0] & 0xF) * 4
    return packet[header + (packet[header + 12] >> 4) * 4 :]


def ping_nonce(data: bytes) -> str | None:
    """The nonce of a segment that begins with a ping."""
    if data.startswith(b"PING "):
        return data[5 : 5 + NONCE].decode()
    if data.startswith(PING_FRAME):
        mask, masked = data[2:6] * 2, data[6 : 6 + NONCE]
        return bytes(each ^ key for each, key in zip(masked, mask, strict=True)).decode()
    return None


def pong_nonce(data: bytes) -> str | None:
    """The nonce of a segment that begins with a pong."""
    if data.startswith(b"PONG "):
        return data[5 : 5 + NONCE].decode()
    return data[2 : 2 + NONCE].decode() if data.startswith(PONG_FRAME) else None


def main() -> None:
    """Run both commands over the link, until the client ends."""
    delay, jitter, seed = float(sys.argv[1]) / 1e3, float(sys.argv[2]) / 1e3, int(sys.argv[3])
    peer_end = open_end(PEER_ADDRESS)
    peer = subprocess.Popen(shlex.split(sys.argv[4]), stdout=subprocess.PIPE, text=True)
    try:
        assert peer.stdout is not None
        port = peer.stdout.readline().strip()
        client_end = open_end(CLIENT_ADDRESS)
        client = subprocess.Popen(shlex.split(sys.argv[5].replace("{port}", port)), stdout=subprocess.PIPE, text=True)
        try:
            link = Link((peer_end, client_end), delay, jitter, random.Random(seed))
            while client.poll() is None:
                link.carry(0.05)
            told, _ = client.communicate()
        finally:
            client.kill()
            client.wait()
        print(told.strip())
        print(json.dumps(link.log), flush=True)
    finally:
        peer.kill()
        peer.wait()


if __name__ == "__main__":
    main()
