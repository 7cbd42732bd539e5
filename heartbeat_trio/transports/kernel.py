"""What the Linux kernel knows of a TCP connection, for a few microseconds: receive timestamps and `TCP_INFO`.

Everything here returns None where the platform does not offer it. Python's socket module lacks some of the names; each
value below stands with its source in the kernel's headers.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

IS_LINUX = sys.platform == "linux" and struct.calcsize("l") == 8

SO_TIMESTAMPNS = 35
"""include/uapi/asm-generic/socket.h: SO_TIMESTAMPNS_OLD, whose control message is a 64-bit `struct timespec`."""
ANCILLARY = 64
"""Bytes for one such control message: 16 of header and 16 of timespec, with room to spare."""
_TIMESPEC = struct.Struct("@ll")

TCP_INFO_SIZE = 232
# include/uapi/linux/tcp.h, struct tcp_info, up to tcpi_snd_wnd (Linux 5.4). Older kernels give less; zeros fill it up.
_TCP_INFO = struct.Struct("=8B24I4Q6I4Q2I2Q4I")
_BACKOFF, _UNACKED, _LAST_DATA_RECV, _LAST_ACK_RECV, _RTT, _NOTSENT, _SND_WND = 4, 12, 19, 20, 23, 38, 53
_RTT_OFFSET = 8 + 4 * (_RTT - 8)
"""Eight single bytes come before the first of the 32-bit fields."""

TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)
MAX_TIMEOUT = 2**31 - 1
"""Milliseconds: the option is an `int`."""


class Clocks(NamedTuple):
    """Three clocks of the machine at one instant, in seconds; ``since_boot`` counts suspended time too."""

    monotonic: float
    since_boot: float | None
    wall: float


def read_clocks() -> Clocks:
    """Read all three."""
    boot = time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else None
    return Clocks(time.monotonic(), boot, time.time())


class TcpInfo(NamedTuple):
    """The part of `struct tcp_info` that says whether a connection lives. Seconds, bytes and segments."""

    unacknowledged: int
    backoff: int
    acknowledged_ago: float
    received_ago: float
    unsent: int
    window: int | None
    rtt: float


def enable_timestamps(sock: socket.socket) -> bool:
    """Ask for a receive timestamp with every read; False where there is no such thing."""
    if not IS_LINUX or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def stamp_age(ancillary: Sequence[tuple[int, int, bytes]]) -> float | None:
    """Seconds since the kernel received the last segment of a read, from its control messages; None without a stamp.

    The stamp is wall-clock time (CLOCK_REALTIME), so the age is only as good as the clock was steady since: clamp it.
    """
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return float(time.time_ns() - seconds * 1_000_000_000 - nanoseconds) / 1e9
    return None


def read_tcp_info(sock: socket.socket) -> TcpInfo | None:
    """Ask the kernel about a TCP socket; None where it does not tell."""
    if not IS_LINUX or sock.fileno() < 0:
        return None
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
    except OSError:  # no TCP socket
        return None
    info = _TCP_INFO.unpack(raw.ljust(TCP_INFO_SIZE, b"\0"))
    return TcpInfo(
        unacknowledged=info[_UNACKED],
        backoff=info[_BACKOFF],
        acknowledged_ago=info[_LAST_ACK_RECV] / 1e3,
        received_ago=info[_LAST_DATA_RECV] / 1e3,
        unsent=info[_NOTSENT],
        window=info[_SND_WND] if len(raw) >= TCP_INFO_SIZE else None,
        rtt=info[_RTT] / 1e6,
    )


def read_network_rtt(sock: socket.socket) -> float | None:
    """The smoothed round-trip time in seconds alone, which is asked for with each pong; None where it is not told."""
    if not IS_LINUX or sock.fileno() < 0:
        return None
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RTT_OFFSET + 4)
    except OSError:
        return None
    return int.from_bytes(raw[_RTT_OFFSET:], sys.byteorder) / 1e6


def set_user_timeout(sock: socket.socket, seconds: float) -> None:
    """Let the kernel end the connection when what we sent is not acknowledged for so long (RFC 5482); a backstop."""
    if TCP_USER_TIMEOUT is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, min(int(seconds * 1000), MAX_TIMEOUT))
