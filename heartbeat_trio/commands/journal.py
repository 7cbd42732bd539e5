"""``heartbeat-trio journal``: what went wrong, whose fault it was, and what to do."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from ..events import Cause
from ..exceptions import ConfigError, LossCause
from ..journal import read_journal
from ..journal.records import ISSUES, SCHEMA
from ..observe import jsonlines
from ..observe.text import printable
from ..sansio.cause import SENTENCES

if TYPE_CHECKING:
    from pathlib import Path

    from ..journal import Entry, JournalReader

AGO = re.compile(r"(\d+)([smhd])")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
HIDDEN = ("evidence", "blame", "endpoint")
"""Fields that a line for people does not show as they are."""


def show_journal(
    folder: Path,
    *,
    since: str | None,
    cause: str | None,
    endpoint: str | None,
    output: Literal["text", "json"],
) -> int:
    """Print the issues of a folder's journals, oldest first; the exit code.

    Raises:
        ConfigError: There is no such folder, or a filter is none.
    """
    reader = read_journal(folder)
    wanted = None if cause is None else _cause(cause)
    totals: Counter[str] = Counter()
    for entry in reader.entries(since=None if since is None else _since(since)):
        if entry.event not in ISSUES or (endpoint is not None and endpoint not in (entry.endpoint or "")):
            continue
        names = {entry.blame, entry.fields.get("cause")}
        if wanted is not None and wanted not in names:
            continue
        totals[_kind(entry)] += 1
        print(_json(entry) if output == "json" else _line(entry))
    if output == "text":
        _print_totals(reader, totals)
    return 0


def _print_totals(reader: JournalReader, totals: Counter[str]) -> None:
    listed = ", ".join(f"{count} {kind}" for kind, count in totals.most_common())
    print(f"{totals.total()} issues: {listed}" if totals else "nothing went wrong")
    if reader.torn:
        print(f"{reader.torn} torn lines skipped: the last words of programs that were killed")
    if reader.newest_schema > SCHEMA:
        print(f"some of it was written by a newer version (schema {reader.newest_schema}): update to see everything")


def _kind(entry: Entry) -> str:
    return f"{entry.event} {entry.blame}" if entry.blame is not None else entry.event


def _json(entry: Entry) -> str:
    head = {"event": entry.event, "at": entry.at, "t": entry.t, "session": entry.session, "endpoint": entry.endpoint}
    return jsonlines.to_line({**head, **entry.fields})


def _line(entry: Entry) -> str:
    """One issue for people, with the sentence of its cause."""
    told = ", ".join(
        f"{name} {value if isinstance(value, str) else msgspec.json.encode(value).decode()}"
        for name, value in entry.fields.items()
        if name not in HIDDEN and value not in (None, [], "")
    )
    sentence = SENTENCES[Cause(entry.blame)] if entry.blame in Cause.__members__ else ""
    # A loss tells its cause in words already.
    why = "" if not sentence else f" [{entry.blame}]" if sentence in told else f" [{entry.blame}: {sentence}]"
    return printable(f"{entry.at[:19]}Z {entry.endpoint or '-'}  {entry.event}: {told}{why}")


def _cause(text: str) -> str:
    known: list[str] = [*Cause.__members__, *get_args(LossCause)]
    for name in known:
        if text.lower() == name.lower():
            return name
    raise ConfigError(f"--cause {printable(text)!r} must be one of {', '.join(known)}")


def _since(text: str) -> str:
    """A time in UTC as the records have it."""
    ago = AGO.fullmatch(text)
    if ago is not None:
        when = datetime.now(UTC) - timedelta(seconds=int(ago[1]) * UNITS[ago[2]])
        return jsonlines.timestamp(when.timestamp())
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        example = "2026-11-24, 2026-11-24T10:00 (UTC), or 30m, 2h, 7d ago"
        raise ConfigError(f"--since {printable(text)!r} must be a time such as {example}") from None
    return jsonlines.timestamp(when.replace(tzinfo=when.tzinfo or UTC).timestamp())
