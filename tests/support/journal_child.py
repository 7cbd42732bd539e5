"""Writes a journal as fast as asked until it is killed; prints the number of each record once it must be on disk.

Usage: python -m tests.support.journal_child FOLDER RATE
"""

from __future__ import annotations

import sys

import trio

from heartbeat_trio.events import PingRecord, QualitySnapshot
from heartbeat_trio.journal import JournalPolicy, open_journal
from heartbeat_trio.sansio.quality import ConnectionQuality

SLICE = 0.02


def nothing() -> QualitySnapshot:
    """Statistics of a session without pings."""
    return ConnectionQuality(pong_timeout=3).snapshot(0.0)


async def main(folder: str, rate: float) -> None:
    """Put records evenly; say which ones are older than a second."""
    async with open_journal(folder, policy=JournalPolicy(max_bytes=256 * 1024)) as journal:
        session = journal.start_session("tcp://127.0.0.1:1", {}, nothing)
        begin, number = trio.current_time(), 0
        while True:
            await trio.sleep(SLICE)
            due = int((trio.current_time() - begin) * rate)
            for each in range(number, due):
                session.record_ping(
                    1, PingRecord(ping=each, at=trio.current_time(), sent_after=1e-5, fate="answered", rtt=2e-4)
                )
            number = max(number, due)
            print(number, int(max(0.0, trio.current_time() - begin - 1.0) * rate), flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], float(sys.argv[2]))
