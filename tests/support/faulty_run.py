"""A client that keeps a journal while it is done to what can be done: run it in a network namespace (``unshare -n``).

Prints one JSON object: of each fault, its Unix time, what it was, and when it was over.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import trio

from heartbeat_trio import BackoffPolicy, HeartbeatPolicy, RestartPolicy, Session, SessionStatus, open_session
from heartbeat_trio.journal import open_journal

HEARTBEAT = HeartbeatPolicy(ping_interval=0.3, pong_timeout=0.2, max_missed_pongs=2)
BACKOFF = BackoffPolicy(initial=0.05, maximum=0.1, first_maximum=0.05, mass_maximum=0.05)
RESTART = RestartPolicy(stable_after=0.3, intensity=1000, connect_timeout=0.5)
"""What belongs together is over after 0.3 s here."""
PORT = "127.0.0.1:47613"
LONG = 1.2
"""Seconds that each fault lasts: longer than the heartbeat's bound."""
APART = 0.8
"""Seconds between two faults."""


def start_server() -> subprocess.Popen[bytes]:
    """A quote server in a process of its own, which listens."""
    command = [
        sys.executable,
        "-m",
        "heartbeat_trio",
        "serve",
        "--tcp",
        PORT,
        "--ws",
        "none",
        "--symbols",
        "A",
        "--rate",
        "20",
    ]
    server = subprocess.Popen([*command, "--output", "json"], stdout=subprocess.PIPE)
    assert server.stdout is not None
    server.stdout.readline()
    return server


def link(state: str) -> None:
    """Switch this namespace's loopback device up or down."""
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


async def until_well(session: Session) -> float:
    """Wait for a connection that stands, then for a while; when it stood, in Unix seconds."""
    while session.status is not SessionStatus.CONNECTED:
        await trio.sleep(0.005)
    at = time.time()
    await trio.sleep(APART)
    return at


async def suffer(
    session: Session, server: subprocess.Popen[bytes]
) -> tuple[list[dict[str, object]], subprocess.Popen[bytes]]:
    """Freeze, kill, cut, and a stall of our own; each is over before the next begins."""
    faults: list[dict[str, object]] = []

    def begin(what: str) -> None:
        faults.append({"what": what, "begun_at": time.time()})

    await until_well(session)
    begin("freeze")
    server.send_signal(signal.SIGSTOP)
    await trio.sleep(LONG)
    server.send_signal(signal.SIGCONT)
    faults[-1]["ended_at"] = await until_well(session)
    begin("kill")
    server.kill()
    server.wait()
    server = await trio.to_thread.run_sync(start_server)
    faults[-1]["ended_at"] = await until_well(session)
    begin("cut")
    link("down")
    await trio.sleep(LONG)
    link("up")
    faults[-1]["ended_at"] = await until_well(session)
    begin("stall")
    time.sleep(LONG)  # noqa: ASYNC251 - that is the fault
    faults[-1]["ended_at"] = time.time()
    await trio.sleep(APART)
    return faults, server


async def main(folder: Path) -> None:
    """Keep a journal of all that."""
    link("up")
    server = await trio.to_thread.run_sync(start_server)
    run = partial(open_session, heartbeat=HEARTBEAT, backoff=BACKOFF, restart=RESTART)
    async with open_journal(folder) as journal, run(f"tcp://{PORT}", subscribe=["A"], journal=journal) as session:
        faults, server = await suffer(session, server)
    server.kill()
    server.wait()
    print(json.dumps(faults))


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
