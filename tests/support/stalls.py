"""What the tests and the benchmark of stalls share: a distant peer in another process, and many connections to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from ssl import SSLContext
from statistics import median
from typing import NamedTuple

import trio
import trustme

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.connection import Connection, open_connection
from heartbeat_trio.events import Cause, Event, PongMissed, PongReceived, PongVoided
from heartbeat_trio.exceptions import ConnectionLost
from heartbeat_trio.sansio.heartbeat import NOTICEABLE
from heartbeat_trio.transports.tls import client_context

PEER = Path(__file__).parent / "delayed_peer.py"
POLICY = HeartbeatPolicy(ping_interval=0.5, pong_timeout=0.6, max_missed_pongs=3)
ENGINE = "#engine=trio-websocket"
KINDS = ("tcp", "tcps", "ws", "wss", "ws" + ENGINE, "wss" + ENGINE)


class Peer(NamedTuple):
    """The other process."""

    process: subprocess.Popen[str]
    addresses: dict[str, str]
    context: SSLContext

    def url(self, kind: str) -> str:
        """Where to connect for a kind of connection."""
        scheme, mark, option = kind.partition("#")
        return self.addresses[scheme] + mark + option


@contextmanager
def distant_peer(folder: Path, *, rate: float, delay: float = 0.05) -> Iterator[Peer]:
    """A server `2 * delay` seconds away, with quotes at a rate per connection, plain and over TLS."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    cert, key, ca = (str(folder / name) for name in ("cert.pem", "key.pem", "ca.pem"))
    certificate.private_key_pem.write_to_path(key)
    for number, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(cert, append=number > 0)
    authority.cert_pem.write_to_path(ca)
    command = [sys.executable, str(PEER), "--rate", str(rate), "--delay", str(delay), "--cert", cert, "--key", key]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Peer(process, json.loads(process.stdout.readline()), client_context(ca))
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


class Outcome(NamedTuple):
    """What became of all connections together."""

    lost: int
    missed: int
    voided: int
    answered: int
    found_dead_after: float
    delayed: int
    """Pings whose pong waited for us in our kernel."""
    excused: int
    """Of those, the ones that were voided or answered with the blame on our own stall."""
    wire_before: list[float]
    wire_after: list[float]
    """Round trips on the wire, exact ones only, in seconds: before the stall, and of pongs that came in it or after it."""

    @property
    def wire_moved(self) -> float:
        """By how much the median moved, in seconds."""
        return abs(median(self.wire_after) - median(self.wire_before))


async def survive(
    peer: Peer,
    kinds: Sequence[str],
    *,
    connections: int,
    stall: float,
    subscribe: bool,
    kill: bool = False,
    after: float = 1.0,
    policy: HeartbeatPolicy = POLICY,
) -> Outcome:
    """Open connections of each kind, stop our own loop for `stall` seconds, and look at what was blamed on the peer."""
    counts: Counter[str] = Counter()
    wire: list[list[float]] = [[], []]
    lost_at: list[float] = []
    live: list[Connection] = []
    has_stalled = False

    def note(event: Event) -> None:
        counts[type(event).__name__] += 1
        if isinstance(event, PongReceived) and event.rtt is not None and event.is_exact:
            wire[has_stalled].append(event.rtt)
        if isinstance(event, PongVoided) or (isinstance(event, PongReceived) and (event.local or 0.0) > NOTICEABLE):
            counts["delayed"] += 1
            counts["excused"] += event.blame is Cause.LOCAL_STALL

    async def one(kind: str) -> None:
        try:
            async with open_connection(
                peer.url(kind), heartbeat=policy, ssl_context=peer.context, on_event=note
            ) as connection:
                if subscribe:
                    await connection.subscribe("A")
                live.append(connection)
                await trio.sleep_forever()
        except ConnectionLost:
            lost_at.append(trio.current_time())

    begin = 0.0
    async with trio.open_nursery() as nursery:
        for kind in kinds:
            for _ in range(connections):
                nursery.start_soon(one, kind)
        while len(live) < connections * len(kinds):
            await trio.sleep(0.05)
        await trio.sleep(1)
        while sum(connection.quality().in_flight for connection in live) < len(live) // 4:
            await trio.sleep(0.005)  # stall with pings in flight, or it would prove nothing
        counts.clear()
        if kill:
            peer.process.send_signal(signal.SIGSTOP)
        begin = trio.current_time()
        has_stalled = True
        time.sleep(stall)  # noqa: ASYNC251 - the stall of our own loop is what this is about
        await trio.sleep(after)
        nursery.cancel_scope.cancel()
    return Outcome(
        len(lost_at),
        counts[PongMissed.__name__],
        counts[PongVoided.__name__],
        counts[PongReceived.__name__],
        max(lost_at, default=begin) - begin,
        counts["delayed"],
        counts["excused"],
        *wire,
    )
