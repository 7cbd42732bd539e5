"""The trading gate of a living session: when it opens, when it closes, and what becomes of the code that relies on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import GatePolicy, HeartbeatPolicy, SilencePolicy
from heartbeat_trio.events import Connected, GateChanged, PongReceived
from heartbeat_trio.exceptions import GateClosed
from heartbeat_trio.gate import Gate
from heartbeat_trio.sansio.quality import ConnectionQuality, Verdict
from heartbeat_trio.session import Session, open_session
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork

HEARTBEAT = HeartbeatPolicy(ping_interval=0.5, pong_timeout=0.4)


class Feed:
    """A session with A and B, its peer, and its gate."""

    def __init__(self, session: Session, peer: ScriptedPeer, gate: Gate) -> None:
        self.session = session
        self.peer = peer
        self.gate = gate
        self.is_flowing = True
        self.last_at = 0.0
        """When the newest quote reached the session."""

    async def flow(self) -> None:
        while True:
            await trio.sleep(0.1)
            if self.is_flowing:
                await self.quote()

    async def quote(self, *, seq: int | None = None) -> None:
        await self.peer.send_quote("A", 1.0, 2.0, seq=seq)
        if self.peer.connections:
            self.last_at = trio.current_time() + 0.01

    async def changes(self) -> list[GateChanged]:
        async with self.session.events() as events:
            return [event for event in events.take_nowait() if isinstance(event, GateChanged)]

    async def stop(self) -> float:
        """Stop the flow, and return when the newest quote came."""
        self.is_flowing = False
        await trio.sleep(0.05)
        return self.last_at


@asynccontextmanager
async def open_feed(policy: GatePolicy | None = None) -> AsyncIterator[Feed]:
    """Quotes of A flow, ten a second, and are not waited for."""
    net = VirtualNetwork(latency=0.01)
    async with trio.open_nursery() as nursery:
        peer = ScriptedPeer(net.listen("server", 1))
        await nursery.start(peer.run)
        async with open_session(
            "tcp://server:1",
            subscribe=["A"],
            connector=net.connect,
            rng=Random(1),
            heartbeat=HEARTBEAT,
            silence=SilencePolicy(last_step="none"),
        ) as session:
            feed = Feed(session, peer, session.gate(policy))
            nursery.start_soon(feed.flow)
            yield feed
        nursery.cancel_scope.cancel()


@pytest.fixture
async def feed(autojump_clock: MockClock) -> AsyncIterator[Feed]:
    """With an open gate."""
    async with open_feed() as feed:
        await feed.gate.wait_open()
        yield feed


def near(*times: float) -> object:
    """Virtual time, but for what rounding makes of it."""
    return pytest.approx(list(times), abs=1e-6)


async def test_opens_when_it_was_suitable_for_its_dwell(autojump_clock: MockClock) -> None:
    """5 s after the 20th pong, to the instant; before, it says why not."""
    async with open_feed() as feed:
        gate = feed.gate
        assert not gate.is_open
        assert ("nothing is known yet",) == gate.reasons
        await feed.session.wait_connected()
        await trio.sleep(1)
        assert ("warming_up",) == gate.codes
        assert "closed: warming up: " in repr(gate)
        with pytest.raises(GateClosed, match="the trading gate is closed: warming up: ") as caught:
            async with gate.require():
                raise AssertionError("unreachable")
        assert (("warming_up",), gate.reasons) == (caught.value.codes, caught.value.reasons)

        async with feed.session.events() as events:
            suitable_at = 0.0
            async for event in events:
                if isinstance(event, PongReceived) and feed.session.is_suitable_for_trading():
                    suitable_at = event.at
                    break
        assert ("dwell",) == gate.codes
        assert ("suitable for less than 5 s",) == gate.reasons
        await gate.wait_open()

        assert [trio.current_time()] == near(suitable_at + 5)
        assert "<Gate open>" == repr(gate)
        assert [] == list(gate.reasons)
        assert [True] == [event.is_open for event in await feed.changes()]


async def test_one_gate_for_each_policy(autojump_clock: MockClock, feed: Feed) -> None:
    """A new one is closed, and has a dwell of its own."""
    assert feed.gate is feed.session.gate()
    assert feed.gate is feed.session.gate(GatePolicy())
    start = trio.current_time()

    other = feed.session.gate(GatePolicy(open_after=2.0))

    assert not other.is_open
    await other.wait_open()
    assert [trio.current_time()] == near(start + 2)


async def test_closes_exactly_when_data_is_stale(autojump_clock: MockClock, feed: Feed) -> None:
    """10 s after the last quote; and opens 5 s after the next one."""
    last = await feed.stop()
    await trio.sleep(20)
    assert ("stale_data",) == feed.gate.codes
    feed.is_flowing = True
    await feed.gate.wait_open()

    changes = await feed.changes()
    back = changes[2].at - 5
    assert [True, False, True] == [event.is_open for event in changes]
    assert [last + 10] == near(changes[1].at)
    assert (("stale_data",), ("no data for 10.0 s",)) == (changes[1].codes, changes[1].reasons)
    assert last + 20 < back < last + 20.2


async def test_staleness_does_not_need_pings(autojump_clock: MockClock) -> None:
    """The gate's own timer, at any times that rounding makes awkward; one look more would come with the next ping."""
    for tick in range(300):
        quality = ConnectionQuality(pong_timeout=3.0)
        closed: list[float] = []
        async with trio.open_nursery() as nursery:
            await trio.sleep(0.1 + tick / 997)

            def judge(margin: float, quality: ConnectionQuality = quality) -> Verdict:
                now, seen = trio.current_time(), quality.data_at or 0.0
                return Verdict(ok=now - seen < 10.0 * (1 - margin), reasons=("old",), codes=("stale_data",))

            gate = Gate(
                GatePolicy(open_after=0.1),
                quality,
                judge=judge,
                on_event=lambda event, closed=closed: closed.append(event.at),  # type: ignore[misc]
            )
            quality.record_data(trio.current_time())
            nursery.start_soon(gate.run)
            await trio.sleep(12)
            nursery.cancel_scope.cancel()
        quoted = quality.data_at
        assert quoted is not None
        assert [quoted + 0.1, quoted + 10] == pytest.approx(closed, abs=1e-6)


async def test_a_body_is_told_of_the_gap_that_stopped_it(autojump_clock: MockClock, feed: Feed) -> None:
    """Although the quote that showed the gap has resolved it by then."""
    await feed.stop()
    with pytest.raises(GateClosed) as caught:
        async with feed.gate.require():
            await feed.quote(seq=100_000)
            await trio.sleep_forever()

    assert (("gap",), ("a gap in A",)) == (caught.value.codes, caught.value.reasons)


async def test_a_gap_closes_it_until_the_next_quote_and_the_dwell(autojump_clock: MockClock, feed: Feed) -> None:
    """The quote that shows the gap is the symbol's next one: 5 s from there, to the instant."""
    await feed.stop()
    await feed.quote(seq=100_000)
    await trio.sleep(0.02)
    at = feed.last_at
    assert not feed.gate.is_open
    assert ("dwell",) == feed.gate.codes
    feed.is_flowing = True
    await feed.gate.wait_open()

    changes = await feed.changes()
    assert [True, False, True] == [event.is_open for event in changes]
    assert [at, at + 5] == near(changes[1].at, changes[2].at)
    assert (("gap",), ("a gap in A",)) == (changes[1].codes, changes[1].reasons)


async def test_an_unsubscribed_symbol_has_no_gap(autojump_clock: MockClock, feed: Feed) -> None:
    """What is not wanted cannot keep it closed."""
    feed.gate.gap("B", "a gap in B", trio.current_time())
    await trio.sleep(20)
    assert ("gap",) == feed.gate.codes
    start = trio.current_time()
    await feed.session.unsubscribe("B")
    await feed.gate.wait_open()

    assert [trio.current_time()] == near(start + 5)


async def test_a_loss_closes_it_at_once(autojump_clock: MockClock, feed: Feed) -> None:
    """Whatever relied on it is cancelled; it opens again once the new connection is warm."""
    start = trio.current_time()
    with pytest.raises(GateClosed) as caught:
        async with feed.gate.require():
            await feed.peer.reset_all()
            await trio.sleep(1)
    assert trio.current_time() - start < 0.05
    assert "disconnected" in caught.value.codes
    assert "not connected" in str(caught.value)
    await feed.gate.wait_open()

    async with feed.session.events() as events:
        seen = events.take_nowait()
    connected = [event.at for event in seen if isinstance(event, Connected)]
    changes = [event for event in seen if isinstance(event, GateChanged)]
    assert [False, True] == [event.is_open for event in changes][-2:]
    assert 9.5 + 5 <= changes[-1].at - connected[-1] <= 10.5 + 5


async def test_close_after_outlives_a_short_break(autojump_clock: MockClock) -> None:
    """A missed pong closes it only if it is not made good in time; a loss does not wait."""
    async with open_feed(GatePolicy(close_after=2.0)) as feed:
        await feed.gate.wait_open()
        opened = trio.current_time()
        feed.is_flowing = False
        await trio.sleep(11)
        assert feed.gate.is_open
        feed.is_flowing = True
        await trio.sleep(10)
        assert feed.gate.is_open
        last = await feed.stop()
        await trio.sleep(15)
        changes = await feed.changes()

    assert [opened, last + 12] == near(*(event.at for event in changes))


async def test_it_follows_the_pongs(autojump_clock: MockClock, feed: Feed) -> None:
    """A missed pong closes it; one in a hundred is too many, and it stays closed for as long as they are remembered."""
    start = trio.current_time()
    feed.peer.answer_pings = False
    await trio.sleep(1)
    assert not feed.gate.is_open
    assert "missed_pongs" in feed.gate.codes
    feed.peer.answer_pings = True
    await trio.sleep(20)
    assert "success_rate" in feed.gate.codes
    assert "missed_pongs" not in feed.gate.codes
    await feed.gate.wait_open()

    assert 100 * 0.5 <= trio.current_time() - start <= 110 * 0.5 + 5


async def test_the_end_of_the_session_closes_it(autojump_clock: MockClock) -> None:
    """The last change says so."""
    async with open_feed() as feed:
        await feed.gate.wait_open()
    changes = await feed.changes()

    assert [True, False] == [event.is_open for event in changes]
    assert "disconnected" in changes[-1].codes


# -- require: a gate that is opened and closed by hand ----------------------------------------------------------------


class Switch:
    """A gate, and what its verdicts are."""

    def __init__(self) -> None:
        self.events: list[GateChanged] = []
        self.is_good = True
        self.gate = Gate(
            GatePolicy(open_after=0.0),
            ConnectionQuality(pong_timeout=3.0),
            judge=lambda _margin: Verdict(ok=self.is_good, reasons=() if self.is_good else ("bad",), codes=("p99",)),
            on_event=self.keep,
        )
        self.gate.update(trio.current_time())

    def keep(self, event: object) -> None:
        assert isinstance(event, GateChanged)
        self.events.append(event)

    def set(self, is_good: bool) -> None:
        self.is_good = is_good
        self.gate.update(trio.current_time())

    async def close_in(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self.set(False)

    @property
    def users(self) -> int:
        return len(self.gate._users)  # nothing public tells whether they are forgotten


async def test_closing_cancels_the_body(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """At its next checkpoint, with the reasons."""
    switched = Switch()
    nursery.start_soon(switched.close_in, 1.0)
    start = trio.current_time()
    with pytest.raises(GateClosed, match="the trading gate is closed: bad") as caught:
        async with switched.gate.require():
            await trio.sleep_forever()

    assert [trio.current_time()] == near(start + 1)
    assert (("bad",), ("p99",)) == (caught.value.reasons, caught.value.codes)
    assert switched.users == 0


async def test_the_body_s_own_exception_passes(autojump_clock: MockClock) -> None:
    """Also when it is raised because of the cancellation, and when the gate closed before."""
    switched = Switch()
    with pytest.raises(KeyError, match="own"):
        async with switched.gate.require():
            raise KeyError("own")
    with pytest.raises(KeyError, match="cleaning"):
        async with switched.gate.require():
            switched.set(False)
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("cleaning")
    assert switched.users == 0


async def test_an_error_and_the_cancellation_in_one_group(autojump_clock: MockClock) -> None:
    """The body's error wins: it is not hidden."""
    switched = Switch()

    async def fail() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("in a child")

    with pytest.raises(ExceptionGroup) as caught:
        async with switched.gate.require(), trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await trio.sleep(1)
            switched.set(False)
            await trio.sleep_forever()

    assert [KeyError] == [type(error) for error in caught.value.exceptions]


async def test_an_outer_cancellation_passes_unchanged(autojump_clock: MockClock) -> None:
    """Alone, and at the same instant as the gate's closing."""
    for closes in (False, True):
        switched = Switch()
        with trio.CancelScope() as outer:
            async with switched.gate.require():
                outer.cancel()
                if closes:
                    switched.set(False)
                await trio.sleep_forever()

        assert outer.cancelled_caught
        assert switched.users == 0


async def test_a_body_that_ends_at_the_same_instant(autojump_clock: MockClock) -> None:
    """It was done: nothing was cancelled, and nothing is raised."""
    switched = Switch()
    async with switched.gate.require():
        await trio.sleep(1)
        switched.set(False)

    assert not switched.gate.is_open
    assert switched.users == 0


async def test_closing_waits_for_a_shielded_section(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """And is told even if the gate is open again by then."""
    switched = Switch()
    nursery.start_soon(switched.close_in, 1.0)
    start, is_done = trio.current_time(), False
    with pytest.raises(GateClosed, match="the trading gate is closed: bad") as caught:
        async with switched.gate.require():
            with trio.CancelScope(shield=True, deadline=start + 10):
                await trio.sleep(3)
                switched.set(True)
                is_done = True
            await trio.sleep_forever()

    assert is_done
    assert [trio.current_time()] == near(start + 3)
    assert ("bad",) == caught.value.reasons


async def test_many_users_at_once_and_nested(autojump_clock: MockClock) -> None:
    """Each gets its own `GateClosed`; of nested ones the outer is told once; nobody is kept in memory."""
    switched = Switch()
    told: list[str] = []

    async def use(name: str) -> None:
        await trio.lowlevel.checkpoint()
        try:
            async with switched.gate.require(), switched.gate.require():
                await trio.sleep_forever()
        except GateClosed:
            told.append(name)

    async with trio.open_nursery() as nursery:
        for index in range(50):
            nursery.start_soon(use, str(index))
        await trio.sleep(1)
        assert switched.users == 100
        switched.set(False)

    assert sorted(map(str, range(50))) == sorted(told)
    assert switched.users == 0
    assert [True, False] == [event.is_open for event in switched.events]


async def test_a_thousand_uses_leave_nothing_behind(autojump_clock: MockClock) -> None:
    """Ended, failed, or cancelled."""
    switched = Switch()
    for index in range(999):
        with trio.CancelScope() as scope:
            try:
                async with switched.gate.require():
                    if index % 3 == 0:
                        raise KeyError(index)
                    if index % 3 == 1:
                        scope.cancel()
                        await trio.lowlevel.checkpoint()
            except KeyError:
                await trio.lowlevel.checkpoint()

    assert switched.users == 0


async def test_wait_open_does_not_believe_a_moment(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Open and closed again before the waiter could run: it goes on waiting."""
    switched = Switch()
    switched.set(False)
    opened: list[float] = []

    async def wait() -> None:
        await switched.gate.wait_open()
        opened.append(trio.current_time())

    nursery.start_soon(wait)
    await trio.sleep(1)
    switched.set(True)
    switched.set(False)
    await trio.sleep(1)
    assert [] == opened
    switched.set(True)
    await trio.sleep(1)

    assert [trio.current_time() - 1] == near(*opened)
