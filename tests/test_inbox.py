"""What does not fit is dropped by rule, counted, and told."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.config import InboxPolicy
from heartbeat_trio.events import Quote
from heartbeat_trio.exceptions import SlowConsumer
from heartbeat_trio.inbox import Inbox
from heartbeat_trio.protocol.messages import Unknown


def quote(seq: int, symbol: str = "A") -> Quote:
    return Quote(symbol, 1.0, 2.0, seq, "s", 0)


async def test_takes_all_that_waits() -> None:
    """One wake-up, one batch."""
    inbox = Inbox(InboxPolicy())
    inbox.put([quote(1), quote(2)])
    inbox.put([quote(3)])

    assert [quote(1), quote(2), quote(3)] == await inbox.take()
    assert len(inbox) == 0


async def test_drop_oldest_keeps_the_newest() -> None:
    """The oldest give way, and are counted."""
    inbox = Inbox(InboxPolicy(size=2))
    inbox.put([quote(seq) for seq in range(1, 6)])

    assert [quote(4), quote(5)] == await inbox.take()
    assert (3, 3) == (inbox.dropped, inbox.unreported)


async def test_conflate_keeps_the_latest_of_each_symbol() -> None:
    """Other messages than quotes are not conflated."""
    inbox = Inbox(InboxPolicy(size=3, overflow="conflate"))
    inbox.put([quote(1, "A"), quote(1, "B"), Unknown("x"), quote(2, "A")])

    assert [quote(1, "B"), Unknown("x"), quote(2, "A")] == await inbox.take()
    assert inbox.dropped == 1


async def test_conflate_drops_the_oldest_when_there_are_more_symbols_than_places() -> None:
    """Bounded whatever comes."""
    inbox = Inbox(InboxPolicy(size=2, overflow="conflate"))
    inbox.put([quote(1, "A"), quote(1, "B"), quote(1, "C")])

    assert [quote(1, "B"), quote(1, "C")] == await inbox.take()
    assert inbox.dropped == 1


def test_close_raises() -> None:
    """Some would rather stop than lose."""
    inbox = Inbox(InboxPolicy(size=1, overflow="close"))

    with pytest.raises(SlowConsumer, match="2 messages wait for the consumer, 1 may"):
        inbox.put([quote(1), quote(2)])


async def test_waits_and_ends() -> None:
    """A consumer waits for messages, and learns of the end after the last one."""
    inbox = Inbox(InboxPolicy())
    taken: list[object] = []

    async def consume() -> None:
        while (message := await inbox.take_one()) is not None:
            taken.append(message)
        taken.append(await inbox.take())

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume)
            await trio.testing.wait_all_tasks_blocked()
            inbox.put([quote(1)])
            inbox.put([])
            await trio.testing.wait_all_tasks_blocked()
            inbox.put([quote(2)])
            inbox.close()

    assert [quote(1), quote(2), []] == taken


@given(
    size=st.integers(1, 5),
    overflow=st.sampled_from(["drop_oldest", "conflate"]),
    script=st.lists(st.one_of(st.none(), st.lists(st.sampled_from("ABC"), max_size=8)), max_size=20),
)
def test_everything_is_taken_or_counted(size: int, overflow: str, script: list[list[str] | None]) -> None:
    """What goes in comes out in order, or is in the count; never more than `size` wait."""
    inbox = Inbox(InboxPolicy(size=size, overflow=overflow))  # type: ignore[arg-type]
    put = 0
    out: list[int] = []

    async def run() -> None:
        nonlocal put
        for step in script:
            if step is None:
                if len(inbox):
                    out.extend(each.seq for each in await inbox.take() if isinstance(each, Quote))
                continue
            inbox.put([quote(put + index + 1, symbol) for index, symbol in enumerate(step)])
            put += len(step)
            assert len(inbox) <= size
        inbox.close()
        out.extend(each.seq for each in await inbox.take() if isinstance(each, Quote))

    trio.run(run)

    assert sorted(out) == out
    assert put == len(out) + inbox.dropped
