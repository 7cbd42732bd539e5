"""Journals written by hand, line by line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from heartbeat_trio.observe.jsonlines import timestamp

if TYPE_CHECKING:
    from pathlib import Path

BEGUN = 1_764_028_800.0  # 2025-11-25T00:00:00Z
URL = "ws://venue/feed"


class HandJournal:
    """One program's journal. ``t`` is its own clock, which begins at 100; `offset` may be changed to set the wall clock."""

    def __init__(self, *, writer: str = "7-aaaaaa", begun: float = BEGUN) -> None:
        self.writer = writer
        self.session = f"{writer}-1"
        self.offset = begun - 100.0
        self.lines: list[bytes] = []
        self.head = self.tell("journal", 100.0, session=None, schema=1, writer=writer)
        self.begin(self.session)

    def tell(self, event: str, t: float, *, session: str | None = "", endpoint: str = URL, **fields: Any) -> bytes:
        """Add an object; `session` is the first one's where it is not given."""
        head: dict[str, Any] = {"event": event, "at": timestamp(t + self.offset), "t": t}
        if session is not None:
            head |= {"session": session or self.session, "endpoint": endpoint}
        return self.add(json.dumps(head | fields, separators=(",", ":")))

    def begin(self, session: str, *, endpoint: str = URL, t: float = 100.0) -> bytes:
        """Tell that a session began."""
        configuration = {"heartbeat": {"ping_interval": 5.0}}
        return self.tell("session", t, session=session, endpoint=endpoint, configuration=configuration)

    def ping(
        self, number: int, t: float, *rest: object, session: str = "", connection: int = 1, sent: int | None = 50
    ) -> bytes:
        """Add a ping: ``rest`` is fate, rtt, exact, first_in, last_in, blame, as far as they are known."""
        values = rest or ("a", 40_000, True, 40_050, 40_050)
        line = ["p", session or self.session, connection, number, round(t * 1e6), sent, *values]
        return self.add(json.dumps(line, separators=(",", ":")))

    def pings(self, count: int, *, first: int = 1, t: float = 101.0, session: str = "") -> None:
        """Add pings each 5 s, and statistics each minute."""
        for number in range(first, first + count):
            at = t + 5.0 * (number - first)
            self.ping(number, at, session=session)
            if number % 12 == 0:
                self.tell("statistics", at + 1.0, session=session, sent=number, p50=0.04)

    def add(self, line: str) -> bytes:
        """Add a line as it is."""
        self.lines.append(line.encode())
        return self.lines[-1]

    def text(self) -> bytes:
        """All lines."""
        return b"".join(line + b"\n" for line in self.lines)

    def write(self, folder: Path, *, name: str = "", number: int = 1) -> Path:
        """Write all lines to a file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (name or f"2025-11-25.{self.writer}.{number:04}.jsonl")
        path.write_bytes(self.text())
        return path
