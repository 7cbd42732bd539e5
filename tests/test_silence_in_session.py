"""A dead feed on a live connection: probed, subscribed again, and left for another connection, once."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import HeartbeatPolicy, SilencePolicy
from heartbeat_trio.events import Alert, Connected, Event, Lost, PongReceived, Silence
from heartbeat_trio.session import Session, open_session
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence


class Feeder:
    """A peer that sends its symbols' quotes in turn, ten a second each, until it is told to stop."""

    def __init__(self, net: VirtualNetwork, on_line: dict[str, str | bytes] | None = None) -> None:
        self.peer = ScriptedPeer(net.listen("server", 1), on_line=on_line)
        self.symbols: Sequence[str] = "A"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.peer.run)
            task_status.started()
            while True:
                await trio.sleep(0.1 / max(1, len(self.symbols)))
                if self.symbols:
                    await self.peer.send_quote(self.symbols[0], 1.0, 2.0)
                    self.symbols = [*self.symbols[1:], self.symbols[0]]

    def wishes(self, since: int = 0) -> list[str]:
        return [line for line in self.peer.lines[since:] if "SUBSCRIBE" in line]


class Follower:
    """Keeps every event of a session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: list[Event] = []

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with self.session.events() as events:
            task_status.started()
            async for event in events:
                self.events.append(event)

    @property
    def silences(self) -> list[tuple[str | None, str, str | None]]:
        return [(event.symbol, event.step, event.outcome) for event in self.events if isinstance(event, Silence)]

    @property
    def orders(self) -> list[tuple[str | None, str]]:
        return [(symbol, step) for symbol, step, outcome in self.silences if outcome is None]


async def start_feeder(net: VirtualNetwork, nursery: trio.Nursery, on_line: dict[str, str | bytes] | None = None) -> Feeder:
    feeder = Feeder(net, on_line)
    await nursery.start(feeder.run)
    return feeder


async def follow(session: Session, nursery: trio.Nursery) -> Follower:
    follower = Follower(session)
    await nursery.start(follower.run)
    return follower


@pytest.mark.parametrize("symbols", ["A", "AB"])
async def test_a_dead_feed_costs_three_steps_and_one_reconnect(
    symbols: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Within seconds; and then it is left alone for as long as it stays dead."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery)
    feeder.symbols = symbols
    async with open_session("tcp://server:1", subscribe=list(symbols), connector=net.connect, rng=Random(1)) as session:
        follower = await follow(session, nursery)
        await trio.sleep(60)
        assert follower.silences == []
        before, pongs = len(feeder.peer.lines), sum(isinstance(each, PongReceived) for each in follower.events)
        feeder.symbols = ""
        died = trio.current_time()
        await trio.sleep(2.5)
        assert sum(isinstance(each, PongReceived) for each in follower.events) > pongs
        await trio.sleep(600)

        steps = [event for event in follower.events if isinstance(event, Silence)]
        expected = ["probe", "resubscribe", "reconnect"]
        assert [(None, step) for step in expected] == follower.orders
        assert [died + 1, died + 4, died + 7] == pytest.approx([each.at for each in steps if each.outcome is None], abs=0.2)
        assert expected == [event.step for event in steps if event.outcome is not None]
        assert ["pong"] * 3 == [event.outcome for event in steps if event.outcome is not None]
        lost = [event for event in follower.events if isinstance(event, Lost)]
        assert ["silence"] == [event.cause for event in lost]
        assert "nothing came from tcp://server:1 for 7.0 s, though its pongs do" in lost[0].detail
        assert feeder.peer.accepted == 2
        again = [line.partition(":scripted")[0] for line in feeder.wishes(before)]
        asked = [f"SUBSCRIBE:{symbol}" for symbol in symbols]
        assert [*(f"UNSUBSCRIBE:{symbol}" for symbol in symbols), *asked, *asked] == again


async def test_a_frozen_server_is_the_heartbeats(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A freeze shorter than the heartbeat's bound costs no connection; a longer one is called what it is."""
    net = VirtualNetwork(latency=0.01)
    await start_feeder(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect, rng=Random(1)) as session:
        follower = await follow(session, nursery)
        await trio.sleep(62)
        net.host("server").freeze()
        await trio.sleep(8)
        net.host("server").thaw()
        await trio.sleep(5)
        assert [(None, "probe", None), (None, "probe", "none"), (None, "probe", "data")] == follower.silences
        assert [] == [event for event in follower.events if isinstance(event, Lost)]
        net.host("server").freeze()
        froze = trio.current_time()
        await trio.sleep(20)

        lost = next(event for event in follower.events if isinstance(event, Lost))
        assert "pong_timeout" == lost.cause
        assert lost.at - froze >= 13 - 0.1


async def test_without_probes_it_waits_for_the_heartbeats_pong(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """No ping leaves for it, and none is told of; each step follows a pong of the schedule by a pong's time."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery)
    heartbeat = HeartbeatPolicy(ping_interval=20, max_probes=0)
    async with open_session(
        "tcp://server:1", subscribe=["A"], connector=net.connect, rng=Random(1), heartbeat=heartbeat
    ) as session:
        follower = await follow(session, nursery)
        await trio.sleep(62)
        feeder.symbols = ""
        await trio.sleep(60)

        steps = [event for event in follower.events if isinstance(event, Silence)]
        assert [("wait", None), ("wait", "pong"), ("resubscribe", None), ("resubscribe", "pong"), ("reconnect", None)] == [
            (event.step, event.outcome) for event in steps[:5]
        ]
        pongs = [event.at for event in follower.events if isinstance(event, PongReceived) and event.at > steps[0].at]
        assert [pongs[0] + 3, pongs[1] + 3] == pytest.approx([steps[2].at, steps[4].at])
        assert pongs[1] - pongs[0] == pytest.approx(20, abs=0.1)


async def test_one_ping_asks_for_every_silent_symbol(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Forty of them at one instant do not use up the minute's thirty probes."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery)
    silent = [f"B{number}" for number in range(40)]
    async with open_session("tcp://server:1", subscribe=["A", *silent], connector=net.connect, rng=Random(1)) as session:
        follower = await follow(session, nursery)
        await trio.sleep(59)
        before = sum(line.startswith("PING") for line in feeder.peer.lines)
        await trio.sleep(3)

        assert {"probe", "resubscribe"} == {step for _, step in follower.orders}
        assert sum(line.startswith("PING") for line in feeder.peer.lines) - before <= 2


@pytest.mark.parametrize("is_unread", [True, False])
async def test_our_own_stall_is_not_the_peers_silence(
    is_unread: bool, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The clock jumps while nobody runs: what came meanwhile is read first, and the feed has time to go on."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect) as session:
        follower = await follow(session, nursery)
        await trio.sleep(62)
        feeder.symbols = ""
        await trio.sleep(0.5)
        if is_unread:
            await feeder.peer.send_quote("A", 1.0, 2.0)
        else:
            feeder.symbols = "A"
        autojump_clock.jump(2.5)
        await trio.sleep(0.9)

        assert [] == follower.silences
        feeder.symbols = ""
        await trio.sleep(2)
        assert [(None, "probe")] == follower.orders


async def test_a_quiet_symbol_costs_no_connection(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """It traded once; after a reconnect nothing is owed until it trades again."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery)
    feeder.symbols = ""
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect, rng=Random(1)) as session:
        follower = await follow(session, nursery)
        await trio.sleep(1)
        await feeder.peer.send_quote("A", 1.0, 2.0)
        await trio.sleep(300)
        await feeder.peer.reset_all()
        await trio.sleep(300)

        assert [] == follower.silences
        assert feeder.peer.accepted == 2


async def test_subscribing_again_helps(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Data is the outcome; the connection stays."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect) as session:
        follower = await follow(session, nursery)
        await trio.sleep(60)
        feeder.symbols = ""
        await trio.sleep(5)
        feeder.symbols = "A"
        await trio.sleep(60)

        assert [
            (None, "probe", None),
            (None, "probe", "pong"),
            (None, "resubscribe", None),
            (None, "resubscribe", "data"),
        ] == follower.silences
        assert feeder.peer.accepted == 1


async def test_a_symbol_that_was_acknowledged_and_never_came(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Among others that flow: 30 s for each step, and only it is subscribed again."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A", "B"], connector=net.connect, rng=Random(1)) as session:
        follower = await follow(session, nursery)
        await trio.sleep(85)
        assert ["SUBSCRIBE:A", "SUBSCRIBE:B", "UNSUBSCRIBE:B", "SUBSCRIBE:B"] == feeder.wishes()
        assert feeder.peer.accepted == 1
        await trio.sleep(600)

        assert [("B", "probe"), ("B", "resubscribe"), ("B", "reconnect")] == follower.orders
        steps = [event for event in follower.events if isinstance(event, Silence) and event.outcome is None]
        assert [30, 60, 90] == pytest.approx([event.silent_for for event in steps], abs=0.1)
        lost = [event for event in follower.events if isinstance(event, Lost)]
        assert ["silence"] == [event.cause for event in lost]
        assert lost[0].detail.startswith("nothing of B came from")
        assert feeder.peer.accepted == 2


async def test_every_step_is_told_before_any_is_taken(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Several symbols reach their last step at one instant: one connection is given up, and nothing goes untold."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A", "B", "C"], connector=net.connect, rng=Random(1)) as session:
        follower = await follow(session, nursery)
        await trio.sleep(300)

        assert sorted((symbol, step) for symbol in "BC" for step in ("probe", "reconnect", "resubscribe")) == sorted(
            (symbol or "", step) for symbol, step in follower.orders
        )
        assert feeder.peer.accepted == 2


@pytest.mark.parametrize("answer", ["ERROR:unknown_symbol:no symbol B", "SUBSCRIBED:B\nERROR:unknown_symbol:no symbol B"])
async def test_a_refused_symbol_is_not_silent(answer: str, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The server said that nothing will come, even if it had agreed before."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery, {"SUBSCRIBE:B": answer})
    async with open_session("tcp://server:1", subscribe=["A", "B"], connector=net.connect) as session:
        follower = await follow(session, nursery)
        await trio.sleep(300)

        assert [] == follower.silences
        assert feeder.peer.accepted == 1


async def test_what_is_unsubscribed_is_not_missed(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Neither the only symbol, with its last quotes still on their way, nor one that is silent already."""
    net = VirtualNetwork(latency=0.2)
    feeder = await start_feeder(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A", "B"], connector=net.connect) as session:
        follower = await follow(session, nursery)
        await trio.sleep(45)
        await session.unsubscribe("B")
        await trio.sleep(60)
        await session.unsubscribe("A")
        await trio.sleep(300)

        assert [("B", "probe", None), ("B", "probe", "unsubscribed")] == follower.silences
        assert feeder.peer.accepted == 1


async def test_a_loss_withdraws_a_silence(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """What was silent on the old connection has its 30 s on the new one."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect, rng=Random(1)) as session:
        follower = await follow(session, nursery)
        await trio.sleep(60)
        await feeder.peer.reset_all()
        feeder.symbols = ""
        await trio.sleep(25)
        assert [Connected, Connected] == [type(event) for event in follower.events if isinstance(event, Connected)]
        feeder.symbols = "A"
        await trio.sleep(60)

        assert [] == follower.silences


async def test_silence_can_be_switched_off(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Nothing is told, nothing is done, and late data is welcome."""
    net = VirtualNetwork(latency=0.01)
    feeder = await start_feeder(net, nursery)
    feeder.symbols = ""
    policy = SilencePolicy(last_step="none")
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect, silence=policy) as session:
        follower = await follow(session, nursery)
        await trio.sleep(300)
        feeder.symbols = "A"
        quotes = await session.receive_batch()

        assert ["A"] == [quote.symbol for quote in quotes]
        assert [] == follower.silences
        assert feeder.peer.accepted == 1


async def test_announce_and_detector(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """An event of one's own reaches everybody; a healthy session made no mistakes."""
    net = VirtualNetwork(latency=0.01)
    await start_feeder(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect) as session:
        follower = await follow(session, nursery)
        await trio.sleep(60)
        alert = Alert(at=trio.current_time(), rule="own", text="hello")
        session.announce(alert)
        await trio.sleep(0.01)

        assert alert in follower.events
        assert session.detector().mistakes == 0
