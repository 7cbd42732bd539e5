"""Journals are read into cells, sessions, happenings and single pings, with the figures that their records have."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import trio

from heartbeat_trio.analysis import fast, rows
from heartbeat_trio.analysis.load import Progress, load
from heartbeat_trio.analysis.tables import Line, quantile
from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.events import ClockJumped, Connected, PingRecord, Stalled
from heartbeat_trio.journal import PingEntry, open_journal, read_journal
from heartbeat_trio.sansio.quality import ConnectionQuality
from tests.support.hand_journal import BEGUN, URL, HandJournal

if TYPE_CHECKING:
    from pathlib import Path

    from heartbeat_trio.analysis.tables import Journals

FATES = ("answered", "late", "missed", "voided", "cancelled", "ours")


def totals(journals: Journals) -> dict[str, int]:
    """All cells together."""
    return {name: int(getattr(journals.cells, name).sum()) for name in ("sent", *FATES)}


def assert_consistent(journals: Journals) -> None:
    """Each ping is counted once."""
    cells = journals.cells
    assert (sum(getattr(cells, name) for name in FATES) == cells.sent).all()
    assert cells.offset[0] == 0
    assert len(cells.offset) == len(cells) + 1
    assert cells.offset[-1] == len(cells.bucket) == len(cells.count)
    assert int(cells.count.sum()) <= int(cells.answered.sum())
    assert [len(getattr(cells, name)) for name in ("line", "begin")] == [len(cells)] * 2


async def test_what_the_writer_wrote_is_read_with_the_same_counts(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    """Counts are those of the journal's own reader, and of the pings that were given to the writer."""
    quality = ConnectionQuality(pong_timeout=2.0)
    fates = ["answered"] * 50 + ["missed", "answered", "cancelled"]
    async with open_journal(tmp_path) as journal:
        session = journal.start_session(URL, {"heartbeat": HeartbeatPolicy()}, lambda: quality.snapshot(0.0))
        session.record_event(1, Connected(at=trio.current_time()))
        for number, fate in enumerate(fates, start=1):
            mock_clock.jump(5)
            rtt = 0.040 if fate == "answered" else None
            ping = PingRecord(
                ping=number,
                at=trio.current_time() - 5,
                sent_after=0.0001,
                fate=fate,
                rtt=rtt,
                is_exact=True if rtt else None,
            )
            session.record_ping(1, ping)
        session.record_event(1, Stalled(at=trio.current_time(), seconds=0.5))
        session.record_event(1, ClockJumped(at=trio.current_time(), kind="suspend", seconds=1.0))
        session.close()
    reader = read_journal(tmp_path)
    records = list(reader.records())
    for line in b"".join(path.read_bytes() for path in reader.files()).decode().splitlines():
        if line.startswith(('["p"', '{"event":"statistics"')):  # the fast way knows them, not only the slow one
            assert re.fullmatch(fast.PING if line[0] == "[" else fast.STATISTICS, line)
    journals = load([tmp_path])
    assert (journals.sources.records, journals.sources.torn) == (len(records), 0)
    assert journals.sources.pings == sum(isinstance(record, PingEntry) for record in records) == len(fates)
    assert totals(journals)["sent"] == len(fates)
    assert_consistent(journals)
    assert Counter(journals.pings.fate.tolist())["m"] == 1
    assert {happening.event for happening in journals.happenings} == {
        "journal",
        "session",
        "connected",
        "local_stall",
        "clock_jump",
    }
    (span,) = journals.sessions
    assert span.ended - span.begun == pytest.approx(5.0 * len(fates), abs=0.01)
    assert span.configuration["heartbeat"]["ping_interval"] == HeartbeatPolicy().ping_interval


def test_quarters_hold_their_pings_and_round_trips(tmp_path: Path) -> None:
    """A cell begins with its quarter; inexact and unknown round trips are no samples."""
    journal = HandJournal()
    journal.pings(400)
    journal.ping(401, 2100.0, "a", 900_000, False)
    journal.ping(402, 2105.0, "a")
    journal.write(tmp_path)
    journals = load([tmp_path])
    cells = journals.cells
    assert journals.lines == (Line(tmp_path.name, URL),)
    assert cells.begin.tolist() == [BEGUN, BEGUN + 900, BEGUN + 1800]
    assert cells.sent.tolist() == [180, 180, 42]
    assert cells.count.sum() == 400
    for row in range(3):
        part = slice(cells.offset[row], cells.offset[row + 1])
        assert quantile(cells.bucket[part], cells.count[part], 0.5) == pytest.approx(0.04, rel=0.01)


def test_a_late_pong_takes_the_place_of_its_miss(tmp_path: Path) -> None:
    """Also where it was told in the next file, and where that minute is ours."""
    journal = HandJournal()
    journal.tell("connected", 100.5, connection=1)
    journal.ping(1, 101.0, "m")
    journal.ping(1, 101.0, "l", 2_500_000, True)
    journal.ping(2, 106.0, "m")
    journal.ping(3, 231.0, "m")
    journal.tell("local_stall", 231.5, seconds=0.5)
    journal.write(tmp_path)
    later = HandJournal()
    later.tell("pong_late", 107.0, connection=1, ping=2)
    later.ping(2, 106.0, "l", 9_000_000, True)
    later.ping(3, 231.0, "l", 3_000_000, True)
    later.write(tmp_path, number=2)
    journals = load([tmp_path])
    assert totals(journals) == {"sent": 3, "answered": 0, "late": 2, "missed": 0, "voided": 0, "cancelled": 0, "ours": 1}
    assert journals.pings.fate.tolist() == ["l", "l", "l"]
    assert journals.pings.rtt.tolist() == [2.5, 9.0, 3.0]
    assert_consistent(journals)


def test_our_own_faults_are_set_apart_by_the_minute(tmp_path: Path) -> None:
    """A stall marks every minute it touches, for all sessions of the program; a delayed ping those of its own."""
    journal = HandJournal()
    other = f"{journal.writer}-2"
    journal.begin(other, endpoint="ws://other/")
    journal.pings(120)
    journal.pings(120, session=other)
    journal.tell("local_stall", 100.0 + 125.0, seconds=10.0)
    journal.ping(121, 100.0 + 245.0, "v", None, None, None, None, "LOCAL_STALL", session=other)
    journal.write(tmp_path)
    journals = load([tmp_path])
    by_line = {
        journals.lines[line].endpoint: int(ours) for line, ours in zip(journals.cells.line, journals.cells.ours, strict=True)
    }
    assert by_line == {URL: 24, "ws://other/": 24 + 12 + 1}
    assert totals(journals)["voided"] == 0
    assert_consistent(journals)


def test_a_fault_told_in_the_next_file_counts_in_this_one(tmp_path: Path) -> None:
    """A stall at midnight is written to the new day's file, and its minute's pings to the old one's; cells know it too."""
    journal = HandJournal()
    journal.pings(36)
    journal.write(tmp_path)
    later = HandJournal()
    later.tell("local_stall", 100.0 + 185.0, seconds=10.0)
    later.pings(2, first=37, t=281.0)
    later.write(tmp_path, number=2)
    first, second = load([tmp_path]), load([tmp_path])
    assert totals(first)["ours"] == totals(second)["ours"] == 12 + 2
    assert (first.sources.cached, second.sources.cached) == (0, 2)


def test_a_set_clock_is_told_and_set_apart(tmp_path: Path) -> None:
    """By the journal's own word, and where only the offset shows it."""
    journal = HandJournal()
    journal.tell("connected", 100.5, connection=1)
    journal.pings(24)
    journal.offset += 3600.0
    journal.tell("clock_jump", 218.0, kind="wall", seconds=3600.0)
    journal.pings(24, first=25, t=226.0)
    journal.offset -= 7200.0
    journal.pings(24, first=49, t=346.0)
    journal.write(tmp_path)
    journals = load([tmp_path])
    told = [sentence for sentence in journals.sources.excluded if "clock" in sentence]
    assert sorted(sentence.split(" by ")[1].split(" at ")[0] for sentence in told) == ["+3600.000 s", "-7200.000 s"]
    assert 0 < totals(journals)["ours"] < 72
    ours = set(journals.cells.begin[journals.cells.ours > 0].tolist())
    assert ours == {BEGUN, BEGUN + 3600, BEGUN - 3600}
    assert_consistent(journals)


def test_what_every_session_tells_of_the_clock_is_said_once(tmp_path: Path) -> None:
    """Each measures it a little later, and a little otherwise; a suspended machine is no set clock."""
    journal = HandJournal()
    for number in range(1, 21):
        journal.begin(f"{journal.writer}-{number}", endpoint=f"ws://{number}/")
    journal.pings(100)
    journal.offset -= 60.0
    for number in range(1, 21):
        fields: dict[str, Any] = {"kind": "wall", "seconds": -60.0 + number / 1000}
        journal.tell("clock_jump", 700.0 + number / 100, session=f"{journal.writer}-{number}", **fields)
    journal.offset += 500.0
    journal.tell("clock_jump", 900.0, kind="suspend", seconds=500.0)
    journal.pings(10, first=101, t=901.0)
    journal.write(tmp_path)
    journals = load([tmp_path])
    (sentence,) = journals.sources.excluded
    assert sentence.startswith("7-aaaaaa: somebody set its clock by -59.99")
    assert totals(journals)["ours"] > 0


def test_pings_near_a_slow_one_are_kept(tmp_path: Path) -> None:
    """Sixteen on either side, and both ends of each connection; the others were quick."""
    journal = HandJournal()
    for number in range(1, 201):
        journal.ping(number, 100.0 + number, *(("m",) if number == 100 else ()))
    journal.tell("connected", 100.5, connection=1)
    journal.write(tmp_path)
    journals = load([tmp_path])
    assert journals.pings.ping.tolist() == [*range(1, 17), *range(84, 117), *range(185, 201)]
    assert journals.quick == (0.25,)
    missed = journals.pings.ping.tolist().index(100)
    assert np.isnan(journals.pings.rtt[missed])
    assert journals.pings.at[missed] == BEGUN + 100.0
    assert (journals.pings.t[missed], journals.pings.sent_after[missed]) == (200.0, 0.00005)


def test_a_slow_line_is_not_slow_as_a_whole(tmp_path: Path) -> None:
    """Where round trips take long, what is quick is measured by them."""
    journal = HandJournal()
    for number in range(1, 1001):
        journal.ping(number, 100.0 + number, "a", 600_000 + number, True)
    journal.tell("connected", 100.5, connection=1)
    journal.write(tmp_path)
    journals = load([tmp_path])
    assert journals.quick[0] == pytest.approx(0.600995 + 0.00005, abs=1e-5)
    assert len(journals.pings) < 60


def test_a_session_whose_first_files_are_gone_counts_from_its_first_record(tmp_path: Path) -> None:
    """Each file's head tells when the session began, not since when it can be told how it went."""
    journal = HandJournal()
    journal.pings(24, first=2000, t=10_100.0)
    journal.write(tmp_path, number=7)
    (span,) = load([tmp_path]).sessions
    assert (span.begun, span.begun_at) == (10_100.0, BEGUN + 10_000)
    assert span.ended == 10_100.0 + 23 * 5 + 0.04005


def test_compressed_files_count_like_others(tmp_path: Path) -> None:
    """A copy beside its original counts once; one that was cut short counts as far as it goes."""
    journal = HandJournal()
    journal.pings(400)
    plain = journal.write(tmp_path / "plain")
    (tmp_path / "packed").mkdir()
    packed = tmp_path / "packed" / (plain.name + ".gz")
    packed.write_bytes(gzip.compress(journal.text()))
    one, other = load([plain.parent]), load([packed.parent])
    assert totals(one) == totals(other)
    (plain.parent / packed.name).write_bytes(packed.read_bytes())
    both = load([plain.parent])
    assert totals(both) == totals(one)
    assert "a compressed copy" in both.sources.excluded[0]
    packed.write_bytes(packed.read_bytes()[:-200])
    cut = load([packed.parent])
    assert 0 < totals(cut)["sent"] < 400
    assert cut.sources.torn >= 1


def test_folders_are_named_as_briefly_as_can_be(tmp_path: Path) -> None:
    """Clients are told apart by as much of their folders as it takes."""
    for name in ("a", "b"):
        HandJournal(writer=f"1-{name}").write(tmp_path / name / "journal")
    lines = load([tmp_path / "b" / "journal", tmp_path / "a" / "journal"]).lines
    assert [line.client for line in lines] == ["b/journal", "a/journal"]


def test_progress_is_told(tmp_path: Path) -> None:
    """It ends with all files, and never goes back."""
    for number in range(3):
        HandJournal(writer=f"{number}-a").write(tmp_path)
    told: list[Progress] = []
    load([tmp_path], progress=told.append)
    assert told[-1].files_done == told[-1].files == 3
    assert told[-1].done == told[-1].size > 0
    assert [each.done for each in told] == sorted(each.done for each in told)


def test_what_progress_raises_ends_the_reading(tmp_path: Path) -> None:
    """So that whoever shows it can stop it, in the fast way of reading too."""
    journal = HandJournal()
    journal.pings(10_000)
    journal.write(tmp_path)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load([tmp_path], progress=stop)


def test_both_ways_of_reading_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB's, and line by line."""
    journal = HandJournal()
    journal.pings(500)
    for number, rest in enumerate(
        [
            ("m",),
            ("l", 2_500_000, True, 30, 40),
            ("v", None, None, None, None, "LOCAL_STALL"),
            ("c",),
            ("a", 0, None, None, 7),
            ("a", 3_000_000_000, False, 0, 3_000_000_000),
            ("x", 5),
            ("a", 5, True, 1, 1, None, "new"),
        ],
        start=600,
    ):
        journal.ping(number, 4000.0 + number, *rest)
    journal.add('["q",1]')
    journal.add('["p","quoted \\" name",1,1,100000000,5,"a",5]')
    journal.add('["p","' + journal.session + '",1,700.5,100000000,5,"a"]')
    journal.add('["p","' + journal.session + '",1,701,4800000000.5,5,"a",NaN]')
    journal.add('["p","' + journal.session + '",1,702,4800000000,5,"a",7,]')
    journal.add("")
    journal.add("{}")
    journal.write(tmp_path)
    slowly = load([tmp_path], use_cache=False)
    monkeypatch.setattr(fast, "SMALL", 0)
    quickly = load([tmp_path], use_cache=False)
    assert_same(slowly, quickly)
    monkeypatch.setattr(fast, "SMALL", 1 << 60)
    monkeypatch.setattr(rows, "BATCH", 7)
    assert_same(slowly, load([tmp_path], use_cache=False))
    assert (slowly.sources.torn, slowly.sources.unknown) == (5, 2)


def assert_same(one: Journals, other: Journals) -> None:
    """Field by field, but for what was taken from kept cells."""
    for name in ("lines", "sessions", "quick", "happenings"):
        assert getattr(one, name) == getattr(other, name), name
    for table in ("cells", "pings"):
        for name in type(getattr(one, table)).__slots__:
            np.testing.assert_array_equal(getattr(getattr(one, table), name), getattr(getattr(other, table), name), name)
    fields = [name for name in one.sources.__struct_fields__ if name != "cached"]
    assert [getattr(one.sources, name) for name in fields] == [getattr(other.sources, name) for name in fields]
