"""Cells that are kept beside a journal: the same figures as without, and never those of another file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from heartbeat_trio.analysis.cache import FOLDER, FORMAT, Key, key_of, read_cells
from heartbeat_trio.analysis.load import load
from tests.analysis.test_load import assert_same, totals
from tests.support.hand_journal import HandJournal

if TYPE_CHECKING:
    from pathlib import Path


def make(folder: Path, *, pings: int = 200) -> Path:
    """A journal with something of everything."""
    journal = HandJournal()
    journal.tell("connected", 100.5, connection=1)
    journal.pings(pings)
    journal.ping(pings + 1, 4100.0, "m")
    journal.ping(pings + 2, 4200.0, "v", None, None, None, None, "LOCAL_STALL")
    journal.tell("local_stall", 4300.0, seconds=3.0)
    journal.tell("lost", 4301.0, connection=1, cause="reset", detail="")
    journal.add("torn")
    return journal.write(folder)


def test_kept_cells_give_the_same(tmp_path: Path) -> None:
    """Field by field; the second time nothing is read again."""
    make(tmp_path)
    without, first, second = load([tmp_path], use_cache=False), load([tmp_path]), load([tmp_path])
    assert [each.sources.cached for each in (without, first, second)] == [0, 0, 1]
    assert_same(without, first)
    assert_same(without, second)


def test_cells_are_for_the_owner_alone(tmp_path: Path) -> None:
    """Like the journal."""
    load([make(tmp_path).parent])
    (kept,) = (tmp_path / FOLDER).iterdir()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_file_that_grows_is_read_again(tmp_path: Path) -> None:
    """As a running program's does; a line that is not yet whole is counted the next time."""
    path = make(tmp_path)
    before = load([tmp_path])
    with path.open("ab") as file:
        file.write(b'["p","7-aaaaaa-1",1,900,4400000000,50,"a",40000')
    torn = load([tmp_path])
    assert (torn.sources.cached, torn.sources.torn) == (0, before.sources.torn + 1)
    with path.open("ab") as file:
        file.write(b",true]\n")
    after = load([tmp_path])
    assert totals(after)["sent"] == totals(before)["sent"] + 1
    assert after.sources.torn == before.sources.torn


def test_a_file_with_the_same_size_and_time_is_known_by_its_ends(tmp_path: Path) -> None:
    """Somebody put another file in its place."""
    path = make(tmp_path)
    load([tmp_path])
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"cause":"reset"', b'"cause":"other"'))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    journals = load([tmp_path])
    assert journals.sources.cached == 0
    assert [each.fields["cause"] for each in journals.happenings if each.event == "lost"] == ["other"]


@pytest.mark.parametrize("damage", [b"", b"garbage", b"cut", b"flip", b"format"])
def test_damaged_cells_are_made_anew(tmp_path: Path, damage: bytes) -> None:
    """Whatever is the matter with them."""
    path = make(tmp_path)
    good = load([tmp_path])
    (kept,) = (tmp_path / FOLDER).iterdir()
    data = kept.read_bytes()
    middle = len(data) // 2
    damaged = {b"cut": data[:-1], b"flip": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]}
    kept.write_bytes(damaged.get(damage, damage))
    if damage == b"format":
        kept.write_bytes(data)
        key = key_of(path)
        assert read_cells(path, Key(key.size, key.changed, key.digest, FORMAT + 1)) is None
        return
    again = load([tmp_path])
    assert again.sources.cached == 0
    assert_same(good, again)
    assert kept.read_bytes() == data


def test_cells_of_files_that_are_gone_go_too(tmp_path: Path) -> None:
    """A folder that is tidied up does not fill with them."""
    path = make(tmp_path)
    HandJournal(writer="8-bbbbbb").write(tmp_path)
    load([tmp_path])
    path.unlink()
    load([tmp_path])
    assert [kept.name for kept in (tmp_path / FOLDER).iterdir()] == ["2025-11-25.8-bbbbbb.0001.jsonl.cells"]


def test_a_folder_that_takes_no_files_is_read_all_the_same(tmp_path: Path) -> None:
    """It is said once. Something else stands where the cells would go, which stops root as well."""
    make(tmp_path)
    HandJournal(writer="8-bbbbbb").write(tmp_path)
    (tmp_path / FOLDER).write_bytes(b"")
    journals = load([tmp_path])
    assert totals(journals)["sent"] == 202
    assert [sentence for sentence in journals.sources.excluded if "cells" in sentence] == [
        f"{tmp_path.name}: cells cannot be kept in this folder, so that the next analysis reads all of it again"
    ]
