"""What `heartbeat-trio journal` prints."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from heartbeat_trio.commands.journal import show_journal
from heartbeat_trio.events import Cause
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.sansio.cause import SENTENCES, UNKNOWN_SENTENCES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

URL = "ws://host/"
KNOWN = {"age": 3.0, "timeout": 3.0, "acknowledged_ago": 0.1}
UNKNOWN = {"age": 3.0, "timeout": 3.0}


def record(event: str, second: int, endpoint: str | None = URL, **fields: object) -> dict[str, object]:
    at = f"2026-11-24T10:00:{second:02}.000000Z"
    return {"event": event, "at": at, "t": float(second), "session": "w-1", "endpoint": endpoint, **fields}


def keep(folder: Path, *records: object, name: str = "2026-11-24.w.0001.jsonl", end: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records)
    (folder / name).write_text(lines + end, encoding="utf-8")
    return folder


def show(folder: Path, *, since: str | None = None, cause: str | None = None, endpoint: str | None = None) -> int:
    return show_journal(folder, since=since, cause=cause, endpoint=endpoint, output="text")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stall, two dead paths of which one ends the connection, a gap, and what is no issue."""
    return keep(
        tmp_path / "journal",
        record("journal", 0, None, schema=1),
        record("ping_voided", 1, blame="LOCAL_STALL", local_ms=2000.0, evidence=KNOWN),
        record("pong_missed", 2, "tcp://b:1", blame="PATH_DEAD", missed=1, evidence=KNOWN),
        record("lost", 3, "tcp://b:1", cause="pong_timeout", detail="cut", blame="PATH_DEAD"),
        record("gap", 4, symbol="EUR", stream="s", first=1, last=2, reason="expired"),
        record("state", 5, **{"from": "CONNECTED", "to": "DEGRADED"}),
        ["p", "w-1", 1, 1, 100, 1, "a", 200],
    )


def test_each_issue_is_a_line_with_its_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """UTC, endpoint, what happened, whose fault; and the totals by cause."""
    assert show(folder) == 0
    assert [
        f"2026-11-24T10:00:01Z ws://host/  ping_voided: local_ms 2000.0 [LOCAL_STALL: {SENTENCES[Cause.LOCAL_STALL]}]",
        f"2026-11-24T10:00:02Z tcp://b:1  pong_missed: missed 1 [PATH_DEAD: {SENTENCES[Cause.PATH_DEAD]}]",
        f"2026-11-24T10:00:03Z tcp://b:1  lost: cause pong_timeout, detail cut [PATH_DEAD: {SENTENCES[Cause.PATH_DEAD]}]",
        "2026-11-24T10:00:04Z ws://host/  gap: symbol EUR, stream s, first 1, last 2, reason expired",
        "4 issues: 1 ping_voided LOCAL_STALL, 1 pong_missed PATH_DEAD, 1 lost PATH_DEAD, 1 gap",
    ] == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("filters", "seconds"),
    [
        ({"cause": "path_dead"}, [2, 3]),
        ({"cause": "PONG_TIMEOUT"}, [3]),
        ({"endpoint": "tcp://b"}, [2, 3]),
        ({"since": "2026-11-24T10:00:03"}, [3, 4]),
        ({"since": "2026-11-24T12:00:03+02:00"}, [3, 4]),
        ({"since": "2026-11-24"}, [1, 2, 3, 4]),
        ({"since": "2026-11-25"}, []),
        ({"endpoint": "ws://", "cause": "PATH_DEAD"}, []),
    ],
)
def test_filters(folder: Path, capsys: pytest.CaptureFixture[str], filters: dict[str, str], seconds: list[int]) -> None:
    """By blame or cause of loss in any case, by a part of the endpoint, by time in UTC or with an offset."""
    choice: dict[str, str | None] = {"since": None, "cause": None, "endpoint": None, **filters}
    show_journal(folder, **choice, output="json")

    assert seconds == [int(json.loads(line)["t"]) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("since", "events"), [("30m", ["overrun"]), ("2h", ["lost", "overrun"]), ("7d", ["lost", "overrun"])]
)
def test_since_some_time_ago(tmp_path: Path, capsys: pytest.CaptureFixture[str], since: str, events: list[str]) -> None:
    """Minutes, hours, days."""
    now = datetime.now(UTC)
    records = [
        {"event": event, "at": (now - timedelta(minutes=minutes)).isoformat(timespec="microseconds")[:-6] + "Z", "t": 1.0}
        for event, minutes in (("lost", 60), ("overrun", 1))
    ]
    show_journal(keep(tmp_path / "j", *records, name="j.jsonl"), since=since, cause=None, endpoint=None, output="json")

    assert events == [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]


def test_json_is_the_record_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its evidence."""
    show_journal(folder, since=None, cause="LOCAL_STALL", endpoint=None, output="json")

    assert record("ping_voided", 1, blame="LOCAL_STALL", local_ms=2000.0, evidence=KNOWN) == json.loads(
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("evidence", "sentence"),
    [
        (KNOWN, SENTENCES[Cause.PEER_SILENT]),
        (UNKNOWN, UNKNOWN_SENTENCES[Cause.PEER_SILENT]),
        ("a newer form", SENTENCES[Cause.PEER_SILENT]),
    ],
)
def test_the_sentence_says_no_more_than_the_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], evidence: object, sentence: str
) -> None:
    """Where the kernel told nothing, nobody claims that the peer's machine answers."""
    show(keep(tmp_path / "j", record("pong_missed", 1, blame="PEER_SILENT", missed=1, evidence=evidence)))

    assert f"[PEER_SILENT: {sentence}]" in capsys.readouterr().out


def test_a_newer_blame_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named without a sentence, and counted."""
    show(keep(tmp_path / "j", record("pong_missed", 1, blame="COSMIC_RAYS", missed=1)))

    assert capsys.readouterr().out.splitlines() == [
        "2026-11-24T10:00:01Z ws://host/  pong_missed: missed 1 [COSMIC_RAYS]",
        "1 issues: 1 pong_missed COSMIC_RAYS",
    ]


@pytest.mark.parametrize("output", ["text", "json"])
def test_nothing_from_a_peer_reaches_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str) -> None:
    """Escapes, one-byte controls and changes of direction are escaped; JSON stays what it was."""
    evil = "a\x1b[2J\x9b31m\u202eb\U000e0001"
    folder = keep(tmp_path / "j", record("server_error", 1, code="x", message=evil))
    show_journal(folder, since=None, cause=None, endpoint=None, output=output)  # type: ignore[arg-type]  # one of two
    lines = capsys.readouterr().out.splitlines()

    assert all(line.isprintable() for line in lines)
    assert output == "text" or json.loads(lines[0])["message"] == evil


def test_what_may_be_missing_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Torn lines and a newer version's files, so that JSON output stays JSON."""
    folder = keep(tmp_path / "j", record("journal", 0, None, schema=7), end='{"event":"lo')
    show(folder)
    told = capsys.readouterr()

    assert told.out == "nothing went wrong\n"
    assert told.err.splitlines() == [
        "warning: 1 torn lines skipped: the last words of programs that were killed, or are writing still",
        "warning: a newer version wrote some of it (schema 7): update to see everything",
    ]


@pytest.mark.parametrize("since", ["yesterday", "99999999999d", "0001-01-01T00:00+23:00", "2026-13-01", ""])
def test_times_that_are_none(folder: Path, since: str) -> None:
    """Named, with examples."""
    with pytest.raises(ConfigError, match=r"--since '.*' must be a time such as 2026-11-24, "):
        show(folder, since=since)


def test_causes_that_are_none(folder: Path) -> None:
    """The known ones are listed."""
    with pytest.raises(ConfigError, match=r"--cause 'moon' must be one of LOCAL_STALL, PATH_DEAD, .*pong_timeout"):
        show(folder, cause="moon")


def test_no_folder(tmp_path: Path) -> None:
    """Named."""
    with pytest.raises(ConfigError, match="there is no such folder"):
        show(tmp_path / "none")


def test_somebody_elses_journal(folder: Path) -> None:
    """Files that cannot be read are named, with the remedy."""
    if os.geteuid() == 0:
        pytest.skip("root can read everything")
    (folder / "2026-11-24.w.0001.jsonl").chmod(0)
    with pytest.raises(ConfigError, match="Permission denied; read it as the user who wrote it"):
        show(folder)


def test_what_is_no_file_is_skipped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder, a pipe that nobody writes, a device and a link to itself, each named; the rest is shown."""
    (folder / "2026-11-24.a.0001.jsonl").mkdir()
    os.mkfifo(folder / "2026-11-24.b.0001.jsonl")
    (folder / "2026-11-24.c.0001.jsonl").symlink_to("/dev/zero")
    (folder / "2026-11-24.d.0001.jsonl").symlink_to("2026-11-24.d.0001.jsonl")

    assert show(folder) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1].startswith("4 issues: ")
    assert told.err.splitlines() == [
        *(f"warning: 2026-11-24.{name}.0001.jsonl skipped: this is no regular file" for name in "abc"),
        "warning: 2026-11-24.d.0001.jsonl skipped: Too many levels of symbolic links",
    ]


def test_one_file_that_may_not_be_read_spoils_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named; where nothing else is left, that is an error."""
    keep(folder, record("overrun", 9), name="2026-11-24.x.0001.jsonl")
    monkeypatch.setattr(type(folder), "open", refuse_after(type(folder).open, "2026-11-24.x.0001.jsonl"))

    assert show(folder) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1].startswith("4 issues: ")
    assert told.err == "warning: 2026-11-24.x.0001.jsonl skipped: Permission denied\n"
    (folder / "2026-11-24.w.0001.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"nothing could be read: 2026-11-24.x.0001.jsonl: Permission denied; read it as"):
        show(folder)


def refuse_after(really_open: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Opens files as ever, but for one: root would be allowed to read everything."""

    def open_or_refuse(path: Path, *arguments: Any) -> Any:
        if path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return really_open(path, *arguments)

    return open_or_refuse


def test_nothing_went_wrong_only_where_something_was_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No files, files without a word, and files in which all is well differ."""
    empty, mute, well = tmp_path / "empty", keep(tmp_path / "mute"), keep(tmp_path / "well", record("connected", 1))
    empty.mkdir()

    assert (0, 0, 0) == (show(empty), show(mute), show(well))
    told = capsys.readouterr()
    assert told.err.splitlines() == [f"no journal files in {empty}", f"no records in the journal files in {mute}"]
    assert told.out == "nothing went wrong\n"


@pytest.mark.parametrize("filters", [{"since": "2026-11-25"}, {"endpoint": "moon"}, {"cause": "WRITER_BLOCKED"}])
def test_filters_that_match_nothing(folder: Path, capsys: pytest.CaptureFixture[str], filters: dict[str, str]) -> None:
    """That something went wrong is told all the same."""
    assert show(folder, **filters) == 0
    assert capsys.readouterr().out == "nothing matches (4 issues in all)\n"
