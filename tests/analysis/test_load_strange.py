"""Whatever lies in a folder: a clear message or a stated exclusion, never a wrong figure or a traceback."""

from __future__ import annotations

import gzip
import io
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat_trio.analysis import fast
from heartbeat_trio.analysis.load import load
from heartbeat_trio.analysis.rows import UNKNOWN, read_rows
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.journal import PingEntry, read_journal
from tests.analysis.test_load import assert_consistent, assert_same, totals
from tests.support.hand_journal import URL, HandJournal

if TYPE_CHECKING:
    from pathlib import Path

FOREIGN = [
    b"\0" * 300_000,
    b'{"foo":1}\n{"level":"info","msg":"hello"}\n[1,2,3]\n"text"\n17\nnull\n',
    b'{"event":5,"at":"x","t":"y"}\n{"event":"lost","at":1,"t":1}\n',
    b'{"event":"lost","at":"2025-11-25T00:00:00Z","t":1e999}\n{"event":"lost","at":"2025-11-25T00:00:00Z","t":NaN}\n',
    b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 2000,
    b"[" * 100_000,
    b"",
    b"\n" * 1000,
    b"x" * 9_000_000 + b"\n",
]


def good(folder: Path) -> Path:
    """A journal that is all right."""
    journal = HandJournal()
    journal.tell("connected", 100.5, connection=1)
    journal.pings(100)
    journal.ping(101, 700.0, "m")
    return journal.write(folder)


def excluded(folder: Path) -> str:
    """All sentences about what was left out."""
    return "\n".join(load([folder]).sources.excluded)


@pytest.mark.parametrize("content", FOREIGN, ids=lambda content: repr(content[:12]))
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_a_foreign_file_changes_no_figure(tmp_path: Path, content: bytes, suffix: str) -> None:
    """It is named, if anything stands in it, and its lines are counted."""
    good(tmp_path)
    expected = load([tmp_path], use_cache=False)
    (tmp_path / f"strange{suffix}").write_bytes(gzip.compress(content, 1) if suffix.endswith("gz") else content)
    journals = load([tmp_path], use_cache=False)
    assert totals(journals) == totals(expected)
    assert journals.happenings == expected.happenings
    assert ("strange" in "".join(journals.sources.excluded)) == (content != b"" or suffix.endswith("gz"))
    assert journals.sources.records == expected.sources.records


def test_a_compressed_file_that_is_none_is_named(tmp_path: Path) -> None:
    """It was only renamed, or is damaged from the start."""
    path = good(tmp_path)
    (tmp_path / "strange.jsonl.gz").write_bytes(path.read_bytes())
    damaged = bytearray(gzip.compress(path.read_bytes()))
    damaged[20:40] = bytes(20)
    (tmp_path / "damaged.jsonl.gz").write_bytes(damaged)
    journals = load([tmp_path])
    assert totals(journals)["sent"] == 101
    assert "strange.jsonl.gz: no record of a journal in it" in journals.sources.excluded
    assert journals.sources.torn >= 2


def test_no_journal_at_all_is_a_clear_message(tmp_path: Path) -> None:
    """With what to do about it."""
    with pytest.raises(ConfigError, match="there are no journals in it; watch --journal FOLDER writes one"):
        load([tmp_path])
    with pytest.raises(ConfigError, match="there is no such folder; watch --journal FOLDER writes one"):
        load([tmp_path / "nowhere"])
    with pytest.raises(ConfigError, match="it is a file; name its folder"):
        load([good(tmp_path / "file")])
    with pytest.raises(ConfigError, match="no folder was named"):
        load([])
    for number in range(5):
        (tmp_path / f"{number}.jsonl").write_bytes(b"{}\n")
    with pytest.raises(
        ConfigError, match=r"nothing could be read \(0.jsonl: no record of a journal in it; .*; and 2 more\)"
    ):
        load([tmp_path])


def test_what_is_no_file_is_named_and_not_opened(tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to, and a link to nowhere; control characters do not reach the terminal."""
    good(tmp_path)
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe\x1b[2J.jsonl")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "nowhere")
    journals = load([tmp_path])
    assert sorted(journals.sources.excluded) == [
        "folder.jsonl: this is no regular file",
        "pipe\\x1b[2J.jsonl: this is no regular file",
    ]
    assert journals.sources.files == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    """And the others are read."""
    good(tmp_path)
    other = HandJournal(writer="8-bbbbbb").write(tmp_path)
    other.chmod(0)
    assert "Permission denied" in excluded(tmp_path)


def test_a_folder_with_any_name_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters that mean something to a database stand for themselves."""
    monkeypatch.setattr(fast, "SMALL", 0)
    path = good(tmp_path / "it's [x]* ?{a,b} $path é")
    good(tmp_path / "it's x ?a $path é")
    assert fast.read_fast(path, path.stat().st_size, lambda _: None) is not None
    assert totals(load([path.parent]))["sent"] == 101
    assert totals(load([good(tmp_path / "[\\]* é").parent]))["sent"] == 101


def test_a_folder_by_two_names_counts_once(tmp_path: Path) -> None:
    """Twice the same, and a link to it."""
    good(tmp_path / "one")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    journals = load([tmp_path / "one", tmp_path / "one" / ".." / "one", tmp_path / "two"])
    assert totals(journals)["sent"] == 101
    assert len(journals.sources.excluded) == 2
    assert all("once more, counted once" in sentence for sentence in journals.sources.excluded)


def test_copies_count_once(tmp_path: Path) -> None:
    """Under another name, in another folder, and one made while the journal was still being written."""
    path = good(tmp_path / "one")
    (tmp_path / "two").mkdir()
    shutil.copy(path, path.with_name("copy.jsonl"))
    (tmp_path / "two" / path.name).write_bytes(path.read_bytes()[:3000])
    journals = load([tmp_path / "two", tmp_path / "one"])
    assert totals(journals)["sent"] == 101
    assert len([sentence for sentence in journals.sources.excluded if "a copy of one/" in sentence]) == 2


def test_two_programs_of_one_name_are_not_one(tmp_path: Path) -> None:
    """The later one is left out, and it is said."""
    good(tmp_path / "one")
    later = HandJournal(begun=1_764_028_900.0)
    later.pings(50)
    later.write(tmp_path / "two")
    journals = load([tmp_path / "two", tmp_path / "one"])
    assert totals(journals)["sent"] == 101
    assert [line.client for line in journals.lines] == ["one"]
    assert "two/2025-11-25.7-aaaaaa.0001.jsonl: another program wrote under the name 7-aaaaaa before" in "".join(
        journals.sources.excluded
    )


def test_two_writers_of_one_session_are_not_one(tmp_path: Path) -> None:
    """The one that began later is left out."""
    good(tmp_path)
    other = HandJournal(writer="8-bbbbbb", begun=1_764_028_850.0)
    other.session = "7-aaaaaa-1"
    other.begin(other.session)
    other.pings(50)
    other.write(tmp_path)
    journals = load([tmp_path])
    assert totals(journals)["sent"] == 101
    assert "session 7-aaaaaa-1 of 8-bbbbbb: left out" in "".join(journals.sources.excluded)
    assert_consistent(journals)


def test_strange_records_are_counted_or_told(tmp_path: Path) -> None:
    """Unknown fields, events and kinds; a newer schema; times and numbers that nobody can believe."""
    path = good(tmp_path)
    expected = load([tmp_path], use_cache=False)
    lines = [
        '["q","x",1]',
        '["p","7-aaaaaa-1",1,900,101000000,50,"z"]',
        '["p","7-aaaaaa-1",1,901,"101000000",50,"a"]',
        '["p","7-aaaaaa-1",1,902,99999999999999999,50,"a"]',
        '["p","7-aaaaaa-1",1,903,9000000000000000,50,"a"]',
        '["p","7-aaaaaa-1",99999999999999999999,904,101000000,50,"a"]',
        '["p","7-aaaaaa-1",1,905,1e400,50,"a"]',
        '{"event":"journal","at":"2025-11-25T00:00:00Z","t":100,"schema":9,"writer":["x"]}',
        '{"event":"brand_new","at":"2025-11-25T00:00:10Z","t":110,"session":"7-aaaaaa-1","endpoint":"ws://venue/feed","x":{}}',
        '{"event":"lost","at":"yesterday","t":1}',
        '{"event":"lost","at":"0001-01-01T00:00:00Z","t":1}',
        '{"event":"lost","at":"9999-12-31T23:59:59-12:00","t":1}',
        '{"event":"statistics","at":"never","t":1,"session":"7-aaaaaa-1","endpoint":"ws://venue/feed"}',
        '{"event":"local_stall","at":"2025-11-25T00:00:10Z","t":110,"seconds":1e300}',
        '{"event":"local_stall","at":"2025-11-25T00:00:10Z","t":110,"seconds":"long"}',
    ]
    path.write_bytes(path.read_bytes() + "".join(line + "\n" for line in lines).encode())
    journals = load([tmp_path])
    assert totals(journals)["sent"] == totals(expected)["sent"]
    assert (journals.sources.unknown, journals.sources.newest_schema) == (2, 9)
    sentences = "\n".join(journals.sources.excluded)
    assert "a newer version wrote it (schema 9)" in sentences
    assert "7 records without a time that can be believed" in sentences
    assert "brand_new" in {happening.event for happening in journals.happenings}


def test_pings_of_an_unknown_line_are_told(tmp_path: Path) -> None:
    """No record says what they went to."""
    path = good(tmp_path)
    path.write_bytes(path.read_bytes() + b'["p","ghost",1,1,101000000,50,"m"]\n')
    journals = load([tmp_path])
    assert totals(journals)["sent"] == 101
    assert "session ghost: its pings are left out" in "".join(journals.sources.excluded)
    assert journals.lines[0].endpoint == URL


@settings(max_examples=30, deadline=None)
@given(
    garbage=st.lists(
        st.tuples(
            st.integers(0, 140),
            st.one_of(
                st.binary(max_size=40),
                st.sampled_from([b"[", b"{", b'["p"', b'["p",1]', b"{}", b"\0", b"\x02", b"\xff\xfe", b"\r", b"null", b'"']),
                st.integers(0, 109).map(lambda index: b"cut%d" % index),
            ),
        ),
        max_size=12,
    ),
    is_fast=st.booleans(),
)
def test_garbage_between_good_lines_changes_no_figure(
    tmp_path_factory: pytest.TempPathFactory, garbage: list[tuple[int, bytes]], is_fast: bool
) -> None:
    """It is counted as the journal's own reader counts it, and each good line as without it."""
    folder = tmp_path_factory.mktemp("journal")
    path = good(folder)
    expected = load([folder], use_cache=False)
    lines = path.read_bytes().splitlines()
    for place, what in garbage:
        what = lines[int(what[3:]) % len(lines)][:-2] if what.startswith(b"cut") else what.replace(b"\n", b"")
        lines.insert(place % len(lines) + 1, what)
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "SMALL", 0 if is_fast else 1 << 60)
        journals = load([folder], use_cache=False)
    reader = read_journal(folder)
    records = list(reader.records())
    assert (journals.sources.torn, journals.sources.unknown) == (reader.torn, reader.unknown)
    assert journals.sources.records == len(records)
    assert journals.sources.pings == sum(isinstance(record, PingEntry) for record in records)
    if journals.sources.records == expected.sources.records:
        assert journals.sources.excluded == expected.sources.excluded
        assert_consistent(journals)
        assert totals(journals) == totals(expected)
        assert journals.happenings == expected.happenings
        assert journals.sessions == expected.sessions
        assert_same_pings(journals, expected)


def assert_same_pings(one: object, other: object) -> None:
    """Field by field."""
    assert repr(one.pings) == repr(other.pings)  # type: ignore[attr-defined]


def test_an_archive_of_older_files_belongs_to_the_same_program(tmp_path: Path) -> None:
    """Files of one program in two folders are one session, of the folder in which it began."""
    journal = HandJournal()
    journal.pings(100)
    journal.write(tmp_path / "old")
    later = HandJournal()
    later.pings(100, first=101, t=601.0)
    later.write(tmp_path / "new", number=2)
    journals = load([tmp_path / "new", tmp_path / "old"])
    assert totals(journals)["sent"] == 200
    assert [line.client for line in journals.lines] == ["old"]
    (span,) = journals.sessions
    assert span.ended - span.begun == pytest.approx(1.0 + 199 * 5 + 0.04005)
    assert_same(journals, load([tmp_path / "new", tmp_path / "old"]))


def test_a_file_whose_head_is_damaged_belongs_to_its_writer(tmp_path: Path) -> None:
    """Its name says who that is, and its sessions are the same."""
    good(tmp_path)
    later = HandJournal()
    later.pings(100, first=102, t=705.0)
    later.lines[0] = later.lines[0][:-5]
    later.write(tmp_path, number=2)
    journals = load([tmp_path])
    assert totals(journals)["sent"] == 201
    assert (len(journals.sessions), journals.sources.torn, journals.sources.excluded) == (1, 1, ())


def test_lines_without_end_are_counted_and_not_held() -> None:
    """The next line is read as ever; so is a ping of another program, with fractions of microseconds."""
    ping = b'["p","s",1,5,101000000.5,50,"a",4e4,true]'
    content = b"\n".join([b"x" * 9_000_000, b"y" * 18_000_000, b"{}", ping, b"z" * 9_000_000])
    rows = read_rows(io.BufferedReader(io.BytesIO(content)), len(content), lambda _: None)
    assert (rows.torn, rows.records) == (4, 1)
    columns = {name: column.tolist() for name, column in rows.columns().items()}
    assert (columns["t"], columns["rtt"], columns["exact"], columns["last_in"]) == ([101_000_000], [40_000], [1], [UNKNOWN])
