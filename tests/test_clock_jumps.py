"""Clocks that jump: told once by each session, wherever it is, and the peer is asked at once."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.commands import watch
from heartbeat_trio.config import BackoffPolicy, HeartbeatPolicy, RestartPolicy, SilencePolicy
from heartbeat_trio.connection import open_connection
from heartbeat_trio.endpoint import Endpoint
from heartbeat_trio.events import ClockJumped, Connecting, Event
from heartbeat_trio.journal import Entry, JournalPolicy, open_journal, read_journal
from heartbeat_trio.sansio.heartbeat import Heartbeat
from heartbeat_trio.session import open_session
from heartbeat_trio.supervisor import run_session
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork
from heartbeat_trio.transports import clock_watch
from heartbeat_trio.transports.kernel import Clocks

if TYPE_CHECKING:
    from pathlib import Path

    from heartbeat_trio.connection import Connection

URL = "tcp://server:1"
SLOW = HeartbeatPolicy(ping_interval=20)


class Machine:
    """Clocks that follow Trio's, and jump when the test says so."""

    def __init__(self) -> None:
        self.slept = self.set_by = 0.0
        self.looks = 0

    def read(self) -> Clocks:
        self.looks += 1
        now = trio.current_time()
        return Clocks(now, now + self.slept, now + self.slept + self.set_by)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(clock_watch, "find_reader", lambda: machine.read)
    return machine


def jumps(events: list[Event]) -> list[tuple[str, float]]:
    return [(event.kind, event.seconds) for event in events if isinstance(event, ClockJumped)]


async def start_peer(net: VirtualNetwork, nursery: trio.Nursery) -> ScriptedPeer:
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    return peer


async def test_the_peer_is_asked_at_once(machine: Machine, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Within a second of the awakening, and not when the next ping is due; both kinds of jump at once are one ping."""
    net = VirtualNetwork(latency=0.01)
    peer = await start_peer(net, nursery)
    async with (
        open_session(URL, connector=net.connect, rng=Random(1), heartbeat=SLOW) as session,
        session.events() as events,
    ):
        await trio.sleep(25.0)
        assert [] == jumps(events.take_nowait())
        pings = len(peer.lines)
        machine.slept, machine.set_by = 3600.0, -5.0
        await trio.sleep(1.02)

        assert [("suspend", 3600.0), ("wall", -5.0)] == jumps(events.take_nowait())
        assert 1 == len(peer.lines) - pings
        await trio.sleep(3)
        assert [] == jumps(events.take_nowait())
        assert 1 == len(peer.lines) - pings


def test_a_tick_at_the_same_instant_is_that_ping() -> None:
    """No second one is sent."""
    heartbeat = Heartbeat(SLOW, now=100.0, rng=Random(1))
    heartbeat.request_probe(100.0)

    assert 1 == len(heartbeat.handle_timer(100.0))
    assert [] == heartbeat.handle_timer(102.9)


async def test_a_jump_between_connections_is_told(machine: Machine, autojump_clock: MockClock) -> None:
    """While nobody listens there, and while an attempt hangs."""
    net = VirtualNetwork(latency=0.01)
    backoff = BackoffPolicy(initial=20.0, jitter="none", first_maximum=20.0)
    async with (
        open_session(URL, connector=net.connect, rng=Random(1), backoff=backoff) as session,
        session.events() as events,
    ):
        await trio.sleep(2)
        machine.slept = 60.0
        await trio.sleep(1.01)
        assert [("suspend", 60.0)] == jumps(events.take_nowait())

    async def hang(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError(host, port)

    async with open_session(URL, connector=hang) as session, session.events() as events:
        await trio.sleep(2)
        machine.set_by = 60.0
        await trio.sleep(1.01)
        assert [("wall", 60.0)] == jumps(events.take_nowait())


async def test_one_look_a_second_serves_everybody(
    machine: Machine, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Two sessions and a connection are told once each, also when the one that looked has gone."""
    net = VirtualNetwork(latency=0.01)
    await start_peer(net, nursery)
    told: list[list[Event]] = []

    async def follow(seconds: float) -> None:
        async with open_session(URL, connector=net.connect) as session, session.events() as events:
            await trio.sleep(seconds)
            told.append(events.take_nowait())

    by_connection: list[Event] = []
    async with trio.open_nursery() as sessions, open_connection(URL, connector=net.connect, on_event=by_connection.append):
        for seconds in (10, 15, 15):
            sessions.start_soon(follow, seconds)
        await trio.sleep(12)
        assert machine.looks <= 14
        machine.slept = 60.0
        await trio.sleep(3)

    assert [[], [("suspend", 60.0)], [("suspend", 60.0)], [("suspend", 60.0)]] == [
        jumps(each) for each in (*told, by_connection)
    ]


async def test_what_happened_while_nobody_listened_is_not_told(machine: Machine, autojump_clock: MockClock) -> None:
    """A session that begins after the jump has no times to mend."""
    net = VirtualNetwork()
    async with open_session(URL, connector=net.connect):
        await trio.sleep(5)
    machine.slept = 60.0
    await trio.sleep(3600)
    async with open_session(URL, connector=net.connect) as session, session.events() as events:
        await trio.sleep(5)

        assert [] == jumps(events.take_nowait())


async def test_a_supervised_handler_is_told_once(machine: Machine, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """By the supervisor, which tells what happens between connections too."""
    net = VirtualNetwork(latency=0.01)
    await start_peer(net, nursery)
    told: list[Event] = []

    async def handle(connection: Connection) -> None:
        assert "server" in connection.name
        await trio.sleep(2)
        machine.slept = 60.0
        await trio.sleep(2)

    await run_session(URL, handle, connector=net.connect, on_event=told.append)

    assert [("suspend", 60.0)] == jumps(told)


async def test_under_a_mock_clock_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The machine's clocks have nothing to do with a test's."""
    monkeypatch.setattr(clock_watch, "read_clocks", lambda: pytest.fail("the clocks were read"))
    net = VirtualNetwork(latency=0.01)
    await start_peer(net, nursery)
    async with open_session(URL, connector=net.connect) as session, session.events() as events:
        await trio.sleep(60)

        assert [] == jumps(events.take_nowait())


async def test_the_journal_follows(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is written after an hour's sleep between connections has the hour in its time."""
    monkeypatch.setattr(clock_watch, "LOOK", 0.02)
    monkeypatch.setattr(
        "heartbeat_trio.journal.writer.time", SimpleNamespace(time=lambda: trio.current_time() + 1.7e9 + machine.slept)
    )
    net = VirtualNetwork()
    backoff = BackoffPolicy(initial=0.1, maximum=0.1, jitter="none")
    with trio.fail_after(5):
        async with (
            open_journal(tmp_path, policy=JournalPolicy(flush_interval=0.02)) as journal,
            open_session(URL, connector=net.connect, journal=journal, backoff=backoff) as session,
            session.events() as events,
        ):
            await trio.sleep(0.05)
            machine.slept = 3600.0
            async for event in events:
                if isinstance(event, ClockJumped):
                    break
    entries = [record for record in read_journal(tmp_path).records() if isinstance(record, Entry)]
    names = [entry.event for entry in entries]

    assert "retry_scheduled" in names[: names.index("clock_jump")]
    places = (0, names.index("clock_jump"), -1)
    first, jump, last = (datetime.fromisoformat(entries[place].at) for place in places)
    assert timedelta(hours=1) <= jump - first < timedelta(hours=1, seconds=5)
    assert timedelta(0) <= last - jump < timedelta(seconds=5)


async def test_the_watch_command_follows(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    """Its lines have the wall time of after the jump from the jump's own line on."""
    machine, lines = Machine(), list[str]()
    wall = SimpleNamespace(time=lambda: trio.current_time() + 1.7e9 + machine.slept)
    monkeypatch.setattr(watch, "time", wall)
    options = watch.WatchOptions(
        endpoints=(Endpoint.parse(URL),),
        subscribe=(),
        heartbeats=(SLOW,),
        backoff=BackoffPolicy(),
        restart=RestartPolicy(),
        silence=SilencePolicy(),
        stats_every=60.0,
        record=None,
        token=None,
        ssl_context=None,
        seed=None,
        duration=2.0,
        output="json",
    )
    command = watch._Watch(options)
    command.output = SimpleNamespace(put=lines.append)  # type: ignore[assignment]
    async with open_session(URL, connector=VirtualNetwork().connect) as session:
        command._set_clock()
        machine.slept = 3600.0
        for event in (Connecting(at=0.0, attempt=1), ClockJumped(at=0.0, kind="suspend", seconds=3600.0)):
            command._show_event(session, event, None)

    before, after = (datetime.fromisoformat(json.loads(line)["at"]) for line in lines)
    assert timedelta(hours=1) == after - before
