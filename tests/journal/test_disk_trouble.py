"""What the journal does when the disk or somebody else is unkind to its files."""

from __future__ import annotations

import errno
import logging
import os
import resource
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from heartbeat_trio.events import Lost, PingRecord
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.journal import Journal, JournalPolicy, open_journal, read_journal
from heartbeat_trio.journal.files import JournalFile
from tests.support.journal_child import nothing

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
FAST = JournalPolicy(flush_interval=0.01)
PING = PingRecord(ping=7, at=100.5, sent_after=0.00001, fate="answered", rtt=0.0005)
LOST = Lost(at=1.0, cause="reset", detail="gone")


class FullDisk:
    """Stands in for `os.write`; takes `room` bytes, then none until it is freed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room: float = room
        self.refusals = 0
        self._write = os.write
        monkeypatch.setattr("heartbeat_trio.journal.files.os.write", self)
        monkeypatch.setattr("heartbeat_trio.journal.writer.RETRY", 0.01)

    def __call__(self, descriptor: int, data: bytes) -> int:
        part = data[: int(min(self.room, len(data)))]
        if not part:
            self.refusals += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(part)
        return self._write(descriptor, part)


def has_dropped(journal: Journal, count: int) -> bool:
    return journal.dropped == count


def has_losses(folder: Path, count: int) -> bool:
    return events(folder).count("lost") == count


async def until(is_true: Callable[[], bool]) -> None:
    """Look every few milliseconds, for at most a few seconds."""
    with trio.fail_after(4):
        while True:
            await trio.sleep(0.005)
            if is_true():
                return


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def events(folder: Path) -> list[str]:
    return [entry.event for entry in read_journal(folder).entries()]


async def test_a_full_disk_leaves_no_stumps_and_the_next_file_stands_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many refusals leave no file; after them the journal has its head, the session that was refused, and the count."""
    disk = FullDisk(monkeypatch, 0)
    async with open_journal(tmp_path, policy=FAST) as journal:
        session = journal.start_session("ws://host/", {"heartbeat": {}}, nothing)
        for number in range(10):
            session.record_event(1, LOST)
            await until(partial(has_dropped, journal, number + 2))
        assert [] == names(tmp_path)
        disk.room = float("inf")
        await until(lambda: "dropped" in events(tmp_path))
        session.record_event(1, LOST)
    reader = read_journal(tmp_path)
    entries = list(reader.records())

    assert len(names(tmp_path)) == 1
    assert ["journal", "session", "dropped", "lost"] == events(tmp_path)
    assert journal.dropped == 11
    assert entries[2].fields == {"count": 11}  # type: ignore[union-attr]  # the dropped one


async def test_what_was_taken_before_the_disk_was_full_is_not_counted_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole lines of a torn write are kept, the torn one is skipped, and the sum is exact."""
    disk = FullDisk(monkeypatch, 2000)
    async with open_journal(tmp_path, policy=FAST) as journal:
        session = journal.start_session("ws://host/", {}, nothing)
        for _ in range(100):
            session.record_ping(1, PING)
        await until(lambda: disk.refusals > 0)
        disk.room = float("inf")
        await until(lambda: "dropped" in events(tmp_path))
    reader = read_journal(tmp_path)
    records = list(reader.records())
    pings = sum(not hasattr(record, "event") for record in records)
    counted = [record.fields["count"] for record in records if getattr(record, "event", "") == "dropped"]  # type: ignore[union-attr]

    assert reader.torn == 1
    assert 0 < pings < 100
    assert [100 - pings] == counted == [journal.dropped]


@pytest.mark.parametrize("remove", [shutil.rmtree, lambda folder: [path.unlink() for path in folder.iterdir()]])
async def test_removed_files_are_begun_again(tmp_path: Path, remove: Callable[[Path], object]) -> None:
    """Else everything would go into a file that nobody can see."""
    folder = tmp_path / "journal"
    async with open_journal(folder, policy=FAST) as journal:
        session = journal.start_session("ws://host/", {}, nothing)
        session.record_event(1, LOST)
        await until(lambda: folder.is_dir() and "lost" in events(folder))
        remove(folder)
        session.record_event(1, LOST)
        await until(lambda: folder.is_dir() and "lost" in events(folder))

    assert ["journal", "session", "lost"] == events(folder)
    assert journal.dropped == 0


async def test_an_error_at_the_end_is_told_and_hurts_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Some file systems say only at `close` that there is no room."""
    close = JournalFile.close

    def fail(self: JournalFile) -> None:
        close(self)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with caplog.at_level(logging.WARNING):
        async with open_journal(tmp_path, policy=JournalPolicy(flush_interval=1)) as journal:
            journal.start_session("ws://host/", {}, nothing)
            await until(lambda: True)
            monkeypatch.setattr(JournalFile, "close", fail)

    assert "cannot be written (Disk quota exceeded)" in caplog.text


async def test_a_refusal_while_it_ends_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when the write was under way already."""
    disk = FullDisk(monkeypatch, 0)
    with caplog.at_level(logging.WARNING):
        async with open_journal(tmp_path, policy=JournalPolicy(flush_interval=1)) as journal:
            journal.start_session("ws://host/", {}, nothing).record_ping(1, PING)

    assert (1, 2) == (disk.refusals, journal.dropped)
    assert ["heartbeat_trio.journal"] == [record.name for record in caplog.records]


async def test_a_session_may_end_twice(tmp_path: Path) -> None:
    """Its last words are told once."""
    async with open_journal(tmp_path) as journal:
        session = journal.start_session("ws://host/", {}, nothing)
        session.close()
        session.close()

    assert ["journal", "session", "statistics"] == events(tmp_path)


def test_a_clock_set_back_over_midnight_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day that comes again goes on in files of its own, and nothing is overwritten."""
    days = iter(["2026-11-24", "2026-11-25", "2026-11-24", "2026-11-25", "2026-11-25"])
    monkeypatch.setattr("heartbeat_trio.journal.files.time.strftime", lambda *_: next(days))
    file = JournalFile(tmp_path, "w", max_bytes=4096, make_head=lambda: b"")
    for line in (b"one\n", b"two\n", b"three\n", b"four\n", b"five\n"):
        file.append(line)
    file.close()

    assert {
        "2026-11-24.w.0001.jsonl": b"one\n",
        "2026-11-24.w.0002.jsonl": b"three\n",
        "2026-11-25.w.0001.jsonl": b"two\n",
        "2026-11-25.w.0002.jsonl": b"four\nfive\n",
    } == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EROFS, errno.EIO])
async def test_a_disk_without_fsync_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """One warning, nothing lost, and no waiting for a disk that takes everything."""

    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("heartbeat_trio.journal.files.os.fsync", fail)
    async with open_journal(tmp_path, policy=FAST) as journal:
        session = journal.start_session("ws://host/", {}, nothing)
        for count in range(1, 4):
            session.record_event(1, LOST)
            await until(partial(has_losses, tmp_path, count))
    [warning] = [record.getMessage() for record in caplog.records if record.name == "heartbeat_trio.journal"]

    assert 0 == journal.dropped
    assert f"the journal in {tmp_path} is written, but fsync fails ({os.strerror(number)})" in warning


def test_a_line_larger_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    """No line is ever cut, and none is lost."""
    file = JournalFile(tmp_path, "w", max_bytes=64, make_head=lambda: b"head\n")
    data = b"".join(b"%d" % number * size + b"\n" for number, size in enumerate([5, 200, 1, 40, 70, 3]))
    file.append(data)
    file.close()
    contents = [path.read_bytes() for path in sorted(tmp_path.iterdir())]

    assert data == b"".join(content.removeprefix(b"head\n") for content in contents)
    assert file.lines == 6
    assert all(len(content) <= 64 or content.count(b"\n") == 2 for content in contents)


def test_thousands_of_writers_are_read_with_few_files_open(tmp_path: Path) -> None:
    """A program that crashes all day leaves a file each time, more than a process may open; the order is that of time."""
    for number in range(300):
        at = f"2026-11-24T10:{number // 60:02}:{number % 60:02}"
        lines = [f'{{"event":"{event}","at":"{at}.{place}Z","t":1}}\n' for place, event in enumerate(["journal", "lost"])]
        (tmp_path / f"2026-11-24.{(number * 7) % 300}-w.0001.jsonl").write_text("".join(lines))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    try:
        times = [entry.at for entry in read_journal(tmp_path).entries()]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert len(times) == 600
    assert sorted(times) == times


def test_strange_files_are_no_obstacle(tmp_path: Path) -> None:
    """Torn archives, nothing at all, lists of lists without end: skipped, and counted where a line is lost."""
    (tmp_path / "2026-11-24.a.0001.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff")
    (tmp_path / "2026-11-24.b.0001.jsonl.gz").write_bytes(b"no archive at all")
    (tmp_path / "2026-11-24.c.0001.jsonl").write_bytes(b"")
    (tmp_path / "2026-11-24.d.0001.jsonl").write_bytes(b"[" * 100_000 + b'\n1\n"event"\n[]\n\xff\xfe\n\x00\x00\n')
    (tmp_path / "2026-11-24.e.0001.jsonl").symlink_to(tmp_path / "removed")
    (tmp_path / "2026-11-24.f.0001.jsonl").write_text('{"event":"lost","at":"2026-11-24T00:00:00.0Z","t":1,"new":{}}\n')
    reader = read_journal(tmp_path)

    assert ["lost"] == [entry.event for entry in reader.entries()]
    assert (7, 1) == (reader.torn, reader.unknown)


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`heartbeat-trio journal FOLDER | head` ends without a traceback."""
    lines = '{"event":"lost","at":"2026-11-24T00:00:00.000000Z","t":1.0,"cause":"reset"}\n' * 20_000
    (tmp_path / "2026-11-24.w.0001.jsonl").write_text(lines)
    script = f'"{sys.executable}" -m heartbeat_trio journal "{tmp_path}" | head -n 1'
    done = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)

    assert done.stdout == "2026-11-24T00:00:00Z -  lost: cause reset\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_bytes", "64 MiB"),
        ("max_bytes", 65 * 1024 * 1024),
        ("max_bytes", True),
        ("capacity", 1.5),
        ("capacity", True),
        ("flush_interval", "1"),
        ("flush_interval", float("nan")),
        ("fsync", None),
    ],
)
def test_policies_of_the_wrong_type_are_named(field: str, value: object) -> None:
    """No TypeError from a comparison."""
    with pytest.raises(ConfigError, match=f"JournalPolicy.{field} = {value!r} must be "):
        JournalPolicy(**{field: value})  # type: ignore[arg-type]  # that is the point
