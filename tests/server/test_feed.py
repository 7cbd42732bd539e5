"""Where a subscription begins, for every case of the design's table; and that quotes are encoded once."""

from __future__ import annotations

import pytest

from heartbeat_trio.events import Quote
from heartbeat_trio.protocol.line import encode_line
from heartbeat_trio.protocol.messages import MAX_SEQ, ErrorNotice, GapNotice, Resume
from heartbeat_trio.server.feed import Entry, Plan, SymbolFeed


def quote(seq: int) -> Quote:
    return Quote("BTCUSD", 1.0, 2.0, seq, "now", 0)


def make_feed(count: int, size: int = 10) -> SymbolFeed:
    feed = SymbolFeed("BTCUSD", "now", size)
    for seq in range(1, count + 1):
        feed.append(quote(seq))
    return feed


def gap(stream: str, first: int, last: int | None) -> GapNotice:
    return GapNotice("BTCUSD", stream, first, last)


@pytest.mark.parametrize(
    ("count", "resume", "expected"),
    [
        # without a resume: from the newest on, or from the first that will come
        (0, None, Plan((), 1)),
        (1, None, Plan((), 1)),
        (25, None, Plan((), 25)),
        # everything after it is held
        (0, Resume("now", 0), Plan((), 1)),
        (8, Resume("now", 0), Plan((), 1)),
        (8, Resume("now", 5), Plan((), 6)),
        (8, Resume("now", 8), Plan((), 9)),
        (25, Resume("now", 15), Plan((), 16)),
        # partly expired: 16 to 25 are held
        (25, Resume("now", 14), Plan((gap("now", 15, 15),), 16)),
        (25, Resume("now", 3), Plan((gap("now", 4, 15),), 16)),
        (25, Resume("now", 0), Plan((gap("now", 1, 15),), 16)),
        # another stream: it is gone, and ours comes from the oldest on
        (0, Resume("old", 7), Plan((gap("old", 8, None),), 1)),
        (8, Resume("old", 7), Plan((gap("old", 8, None),), 1)),
        (25, Resume("old", 7), Plan((gap("old", 8, None), gap("now", 1, 15)), 16)),
    ],
)
def test_where_a_subscription_begins(count: int, resume: Resume | None, expected: Plan) -> None:
    assert make_feed(count).plan(resume) == expected


@pytest.mark.parametrize("count", [0, 8, 25])
@pytest.mark.parametrize("ahead", [1, 1000, MAX_SEQ])
def test_a_resume_ahead_of_the_server_is_an_error_and_goes_on_live(count: int, ahead: int) -> None:
    plan = make_feed(count).plan(Resume("now", min(count + ahead, MAX_SEQ)))
    [notice] = plan.notices
    assert isinstance(notice, ErrorNotice)
    assert notice.code == "bad_resume"
    assert plan.cursor == count + 1


@pytest.mark.parametrize("stream", ["now", "old"])
def test_the_largest_number_can_be_answered(stream: str) -> None:
    for notice in make_feed(3).plan(Resume(stream, MAX_SEQ)).notices:
        assert encode_line(notice).startswith(b"ERROR:bad_resume:")


def test_the_ring_holds_the_last_quotes() -> None:
    feed = make_feed(25)
    assert (feed.oldest, feed.newest) == (16, 25)
    assert [feed.entry(seq).quote.seq for seq in (16, 20, 25)] == [16, 20, 25]
    empty = make_feed(0)
    assert (empty.oldest, empty.newest) == (1, 0)


def test_a_quote_is_encoded_once_per_encoding() -> None:
    calls: list[str] = []

    def encode(_quote: Quote) -> bytes:
        calls.append("line")
        return b"data"

    entry = Entry(quote(1))
    assert [entry.encoded("line", encode) for _ in range(3)] == [b"data"] * 3
    assert entry.encoded("ws", lambda _quote: b"other") == b"other"
    assert calls == ["line"]


def test_a_closing_connection_spoils_the_quote_for_nobody() -> None:
    entry = Entry(quote(1))
    assert entry.encoded("ws", lambda _quote: b"") == b""
    assert entry.encoded("ws", lambda _quote: b"data") == b"data"
    assert entry.encoded("ws", lambda _quote: b"") == b"data"
