"""Measure round trips under a flood with a slow consumer, and hold them against what the peer or the link saw.

As a program it is the client at one end of a link: it prints a JSON list of ``[nonce, rtt, is_exact]``, one for each pong.
Usage: truth.py URL SECONDS
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trio

from heartbeat_trio.config import HeartbeatPolicy, InboxPolicy, SilencePolicy
from heartbeat_trio.events import Overrun, PongReceived
from heartbeat_trio.session import open_session
from heartbeat_trio.transports.over_stream import StreamTransport
from tests.support.tun_link import PEER_ADDRESS

HERE = Path(__file__).parent
PEER = HERE / "truth_peer.py"
POLICY = HeartbeatPolicy(ping_interval=0.05, pong_timeout=3.0)


class Truth(NamedTuple):
    """What was measured, in seconds. An error is what is left of a round trip beyond the peer's own time: the wire's."""

    exact: list[float]
    """Errors of exact samples, sorted: the pong is taken to leave just before the peer hands it over."""
    beyond: list[float]
    """The same, of exact samples, if it left just after: what remains is not the peer's wait for a core in between."""
    inexact: list[float]
    """Errors of upper bounds, sorted."""
    local: list[float]
    """Our own delays, sorted."""
    quotes: int
    """Quotes that came, most of them dropped."""

    @property
    def share(self) -> float:
        """Part of the samples that is exact."""
        return len(self.exact) / (len(self.exact) + len(self.inexact))


def percentile(values: list[float], p: float) -> float:
    """Of sorted values; the nearest rank."""
    return values[int(p / 100 * (len(values) - 1) + 0.5)]


@contextmanager
def noted_nonces() -> Iterator[list[str]]:
    """The nonces of the pings that are sent, in order: events tell numbers, the peer nonces."""
    nonces: list[str] = []
    ping = StreamTransport.ping

    def note(self: StreamTransport, nonce: bytes, on_sent: object) -> None:
        nonces.append(nonce.decode())
        ping(self, nonce, on_sent)  # type: ignore[arg-type]  # handed through

    StreamTransport.ping = note  # type: ignore[method-assign]  # for the length of this block
    try:
        yield nonces
    finally:
        StreamTransport.ping = ping  # type: ignore[method-assign]


async def listen(url: str, seconds: float) -> tuple[list[PongReceived], int]:
    """Take few of the quotes, and all pongs."""
    pongs: list[PongReceived] = []
    quotes = 0
    async with (
        open_session(
            url, subscribe=["A"], heartbeat=POLICY, inbox=InboxPolicy(size=1000), silence=SilencePolicy(last_step="none")
        ) as session,
        session.events() as events,
        trio.open_nursery() as nursery,
    ):

        async def follow() -> None:
            nonlocal quotes
            async for event in events:
                if isinstance(event, PongReceived):
                    pongs.append(event)
                elif isinstance(event, Overrun):
                    quotes += event.dropped

        nursery.start_soon(follow)
        with trio.move_on_after(seconds):
            async for _quote in session:
                quotes += 1
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    return pongs, quotes


def measure(scheme: str, *, rate: float, seconds: float) -> Truth:
    """Flood one connection for so long."""
    command = [sys.executable, str(PEER), scheme, str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as peer, noted_nonces() as nonces:
        assert peer.stdout is not None
        try:
            url = f"{scheme}://127.0.0.1:{peer.stdout.readline().strip()}"
            pongs, quotes = trio.run(listen, url, seconds)
            times: dict[str, tuple[float, float, float]] = json.loads(peer.stdout.readline())
        finally:
            peer.kill()
    exact: list[float] = []
    beyond: list[float] = []
    inexact: list[float] = []
    for pong in pongs:
        came, begun, left = times[nonces[pong.ping - 1]]
        if pong.rtt is None:
            continue
        (exact if pong.is_exact else inexact).append(pong.rtt - (begun - came))
        if pong.is_exact:
            beyond.append(pong.rtt - (left - came))
    local = sorted(pong.local or 0.0 for pong in pongs)
    return Truth(sorted(exact), sorted(beyond), sorted(inexact), local, quotes)


def why_no_link() -> str | None:
    """Why there can be no link of our own, if there cannot."""
    if sys.platform != "linux" or os.geteuid() != 0 or not Path("/dev/net/tun").exists() or not shutil.which("ip"):
        return "a link of its own needs Linux, root, ip and /dev/net/tun"
    return None


def measure_over_link(
    scheme: str, *, seconds: float, delay: float, jitter: float, seed: int
) -> list[tuple[float, tuple[float, float], bool]]:
    """Each pong's round trip as we measured it, as the link's log has it (at least and at most), and whether ours is exact.

    All in seconds.

    Args:
        scheme: `tcp` or `ws`.
        seconds: How long.
        delay: Milliseconds each way.
        jitter: Milliseconds by which that varies.
        seed: Of the jitter.
    """
    peer = shlex.join([sys.executable, str(PEER), scheme, "1", PEER_ADDRESS])
    client = shlex.join([sys.executable, "-m", "tests.support.truth", f"{scheme}://{PEER_ADDRESS}:{{port}}", str(seconds)])
    command = [sys.executable, str(HERE / "tun_link.py"), str(delay), str(jitter), str(seed), peer, client]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=30 + seconds, cwd=HERE.parent.parent)
    pongs, log = (json.loads(line) for line in done.stdout.splitlines())
    return [(rtt, log[nonce], is_exact) for nonce, rtt, is_exact in pongs if nonce in log]


def main() -> None:
    """Be the client at one end of a link."""
    with noted_nonces() as nonces:
        pongs, _ = trio.run(listen, sys.argv[1], float(sys.argv[2]))
    print(json.dumps([(nonces[pong.ping - 1], pong.rtt, pong.is_exact) for pong in pongs if pong.rtt is not None]))


if __name__ == "__main__":
    main()
