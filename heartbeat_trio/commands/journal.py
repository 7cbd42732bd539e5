"""``heartbeat-trio journal``: what went wrong, whose fault it was, and what to do."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from ..events import Cause, Evidence
from ..exceptions import ConfigError, LossCause
from ..journal import read_journal
from ..journal.reader import IRREGULAR
from ..journal.records import HEAD, ISSUES, SCHEMA
from ..observe import jsonlines
from ..observe.text import printable
from ..sansio.cause import explain
from .common import discard_stdout, warn

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
        ConfigError: There is no such folder, none of its journals may be read, or a filter is none.
    """
    reader = read_journal(folder)
    wanted = None if cause is None else _cause(cause)
    totals: Counter[str] = Counter()
    looked_at = 0
    try:
        for entry in reader.entries(since=None if since is None else _since(since)):
            looked_at += 1
            if (
                entry.event in ISSUES
                and (endpoint is None or endpoint in (entry.endpoint or ""))
                and (wanted is None or wanted in (entry.blame, entry.fields.get("cause")))
            ):
                totals[_kind(entry)] += 1
                print(_json(entry) if output == "json" else _line(entry))
        if totals and output == "text":
            print(_sum_up(totals))
        elif not totals:
            is_filtered = (since, cause, endpoint) != (None, None, None)
            _explain_nothing(reader, looked_at, is_filtered=is_filtered, output=output)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough, `head` for one
        discard_stdout()
    for note in _notes(reader):
        warn(note)
    return 0


def _sum_up(totals: Counter[str]) -> str:
    listed = ", ".join(f"{count} {printable(kind)}" for kind, count in totals.most_common())
    return f"{totals.total()} issues: {listed}"


def _explain_nothing(reader: JournalReader, looked_at: int, *, is_filtered: bool, output: str) -> None:
    """Why no issue is shown: nothing went wrong only where something was looked at."""
    issues = 0
    if is_filtered:  # files of earlier days were not even opened
        reader, looked_at = read_journal(reader.folder), 0
        for entry in reader.entries():
            looked_at += 1
            issues += entry.event in ISSUES
    where = printable(str(reader.folder))
    denied = [f"{printable(name)}: {why}" for name, why in reader.skipped.items() if why != IRREGULAR]
    if not looked_at and denied:
        raise ConfigError(f"journal {where!r}: nothing could be read: {denied[0]}; read it as the user who wrote it")
    if not looked_at:
        has_files = len(reader.files()) > len(reader.skipped)
        print(f"no {'records in the ' if has_files else ''}journal files in {where}", file=sys.stderr)
    elif output == "text":
        print(f"nothing matches ({issues} issues in all)" if is_filtered else "nothing went wrong")


def _notes(reader: JournalReader) -> list[str]:
    """What may be missing."""
    notes = [f"{printable(name)} skipped: {why}" for name, why in sorted(reader.skipped.items())]
    if reader.torn:
        notes.append(f"{reader.torn} torn lines skipped: the last words of programs that were killed, or are writing still")
    if reader.newest_schema > SCHEMA:
        notes.append(f"a newer version wrote some of it (schema {reader.newest_schema}): update to see everything")
    return notes


def _kind(entry: Entry) -> str:
    return f"{entry.event} {entry.blame}" if entry.blame is not None else entry.event


def _json(entry: Entry) -> str:
    head = {name: getattr(entry, name) for name in HEAD if name != "connection" or entry.connection is not None}
    line = jsonlines.to_line({**head, **entry.fields})
    # JSON itself escapes only some of what a terminal obeys.
    return line if line.isprintable() else "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in line)


def _line(entry: Entry) -> str:
    """One issue for people, with the sentence of its cause."""
    told = ", ".join(
        f"{name} {value if isinstance(value, str) else msgspec.json.encode(value).decode()}"
        for name, value in entry.fields.items()
        if name not in HIDDEN and value not in (None, [], "")
    )
    sentence = _sentence(entry)
    # A loss tells its cause in words already.
    why = f": {sentence}" if sentence and sentence not in told else ""
    blame = "" if entry.blame is None else f" [{entry.blame}{why}]"
    return printable(f"{entry.at[:19]}Z {entry.endpoint or '-'}  {entry.event}: {told}{blame}")


def _sentence(entry: Entry) -> str:
    """The cause in words, as far as its evidence goes; empty where there is none, or a newer version's."""
    if entry.blame not in Cause.__members__:
        return ""
    try:
        evidence = msgspec.convert(entry.fields.get("evidence"), Evidence | None)
    except msgspec.ValidationError:
        evidence = None
    return explain(Cause(entry.blame), evidence)


def _cause(text: str) -> str:
    known: list[str] = [*Cause.__members__, *get_args(LossCause)]
    for name in known:
        if text.lower() == name.lower():
            return name
    raise ConfigError(f"--cause {printable(text)!r} must be one of {', '.join(known)}")


def _since(text: str) -> str:
    """A time in UTC as the records have it."""
    try:
        ago = AGO.fullmatch(text)
        if ago is not None:
            when = datetime.now(UTC) - timedelta(seconds=int(ago[1]) * UNITS[ago[2]])
        else:
            when = datetime.fromisoformat(text)
        return jsonlines.timestamp(when.replace(tzinfo=when.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError):
        example = "2026-11-24, 2026-11-24T10:00 (UTC), or 30m, 2h, 7d ago"
        raise ConfigError(f"--since {printable(text)!r} must be a time such as {example}") from None
