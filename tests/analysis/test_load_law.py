"""Any journal's cells are what a plain count of its pings gives."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat_trio.analysis import fast
from heartbeat_trio.analysis.load import load
from heartbeat_trio.analysis.tables import GAMMA
from heartbeat_trio.journal import PingEntry, read_journal
from tests.support.hand_journal import HandJournal

DURATIONS = st.one_of(st.none(), st.integers(0, 3_000_000), st.sampled_from([0, 1, 2, 249_000, 250_001]))
PINGS = st.tuples(
    st.integers(1, 2),  # the session
    st.integers(1, 2),  # the connection
    st.integers(1, 60),
    st.booleans(),  # in which file
    st.sampled_from("aaaaaamlc"),
    DURATIONS,
    DURATIONS,
    st.sampled_from([True, None, False]),
)


def write(folder: Any, pings: list[Any]) -> None:
    """Two files of one program, which begin alike; a missed ping may be told again as late, in the same file or the next."""
    files = HandJournal(), HandJournal()
    told: set[object] = set()
    for journal in files:
        journal.tell("connected", 100.5, connection=1)
        journal.begin(f"{journal.writer}-2", endpoint="ws://other/")
    for session, connection, number, is_second, fate, sent, rtt, exact in pings:
        key = session, connection, number
        if key not in told:
            told.add(key)
            name, t = f"{files[0].writer}-{session}", 101.0 + 40.0 * number
            values = (fate,) if fate in "mc" else (fate, rtt, exact)
            files[is_second].ping(number, t, *values, session=name, connection=connection, sent=sent)
            if fate == "m" and rtt is not None:
                late = files[is_second or number % 2 == 1]
                late.ping(number, t, "l", rtt, exact, session=name, connection=connection, sent=sent)
    for number, journal in enumerate(files, start=1):
        journal.tell("closed", 3000.0 + number, connection=1)
        journal.write(folder, number=number)


@settings(max_examples=20, deadline=None)
@given(pings=st.lists(PINGS, max_size=80), is_fast=st.booleans())
def test_cells_are_what_a_plain_count_gives(
    tmp_path_factory: pytest.TempPathFactory, pings: list[Any], is_fast: bool
) -> None:
    """By line, quarter and fate, each round trip in its bucket; and what is left out of the single pings was quick."""
    folder = tmp_path_factory.mktemp("journal")
    write(folder, pings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "SMALL", 0 if is_fast else 1 << 60)
        journals = load([folder])
    entries = {(e.session, e.connection, e.ping): e for e in read_journal(folder).records() if isinstance(e, PingEntry)}
    expected: Counter[object] = Counter()
    for entry in entries.values():
        cell = entry.session[-1], int(1_764_028_800 + entry.t - 100) // 900 * 900
        expected[(*cell, "sent")] += 1
        expected[(*cell, entry.fate)] += 1
        if entry.fate == "answered" and entry.rtt is not None and entry.is_exact is not False:
            expected[(*cell, math.ceil(math.log(max(round(entry.rtt * 1e6), 1)) / math.log(GAMMA)))] += 1
    cells, found = journals.cells, Counter[object]()
    for row in range(len(cells)):
        cell = "2" if "other" in journals.lines[cells.line[row]].endpoint else "1", int(cells.begin[row])
        for name in ("sent", "answered", "late", "missed", "cancelled", "voided", "ours"):
            found[(*cell, name)] += int(getattr(cells, name)[row])
        for place in range(cells.offset[row], cells.offset[row + 1]):
            found[(*cell, int(cells.bucket[place]))] += int(cells.count[place])
    assert +found == expected
    singles = journals.pings
    names = [journals.sessions[index].name for index in singles.session]
    keys = list(zip(names, singles.connection.tolist(), singles.ping.tolist(), strict=True))
    assert len(set(keys)) == len(keys)
    for key, entry in entries.items():
        if key not in keys:
            assert entry.fate == "answered"
            assert entry.sent_after is not None
            assert entry.rtt is not None
            assert entry.sent_after + entry.rtt <= max(journals.quick)
    samples = [entries[key].rtt is not None and entries[key].is_exact is not False for key in keys]
    assert singles.is_exact.tolist() == samples
