"""Clients in step are written to together: the same bytes as one by one, and nobody waits for anybody."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from heartbeat_trio.config import ServerPolicy
from heartbeat_trio.server import audience, client, hub
from tests.support.fanout_world import LIMIT, FanoutWorld, fanout_world, settle
from tests.support.raw_clients import ManualSource, open_lines, running

SYMBOLS = ("A", "B", "C")
CLIENTS = 4


class Op(NamedTuple):
    """One thing that happens; `rest`: everybody then does what they can."""

    what: Literal["tick", "subscribe", "resume", "unsubscribe", "ping", "room", "break", "forget"]
    client: int
    symbols: tuple[str, ...]
    number: int
    rest: bool


OPS = st.builds(
    Op,
    st.sampled_from(["tick", "tick", "tick", "subscribe", "subscribe", "resume", "unsubscribe", "ping", "room", "room"]),
    st.integers(0, CLIENTS - 1),
    st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=7).map(tuple),
    st.sampled_from([0, 1, 30, 100, 250, LIMIT]),
    st.booleans(),
)


@pytest.fixture(autouse=True)
def _small_bursts() -> Iterator[None]:
    """Bursts and turns of a few, so that small examples pass their limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audience, "BURST", 5)
        patch.setattr(client, "BURST", 5)
        patch.setattr(audience, "TURN", 2)
        yield


def apply(world: FanoutWorld, op: Op) -> None:
    """Do one thing."""
    match op.what:
        case "tick":
            world.publish(*op.symbols)
        case "subscribe":
            world.subscribe(op.client, op.symbols[0])
        case "resume":
            world.subscribe(op.client, op.symbols[0], op.number)
        case "unsubscribe":
            world.unsubscribe(op.client, op.symbols[0])
        case "ping":
            world.ping(op.client)
        case "room":
            world.streams[op.client].widen(op.number)
        case "break":
            world.streams[op.client].is_broken = True
        case "forget":
            world.hub.forget(world.clients[op.client])


async def play(ops: list[Op], policy: ServerPolicy, *, alone: bool, rests: bool) -> tuple[list[bytes], int]:
    """What each client was sent, and the server's count of it; `rests`: around each tick, which together is in slices."""
    async with fanout_world(*SYMBOLS, alone=alone, policy=policy) as world:
        for number in range(CLIENTS):
            world.add("ws" if number % 2 else "line")
            world.subscribe(number, "A")
        with pytest.MonkeyPatch.context() as patch:
            if rests and not alone:
                patch.setattr(hub, "SLICE", -1)
            for op in [Op("tick", 0, ("A",), 0, True), *ops]:
                if rests and op.what == "tick":
                    await settle()
                apply(world, op)
                if op.rest or (rests and op.what == "tick"):
                    await settle()
            for stream in world.streams:
                stream.widen(LIMIT)
            await settle()
        return [bytes(stream.taken) for stream in world.streams], world.delivered


def run(*arguments: object, **options: object) -> tuple[list[bytes], int]:
    return trio.run(partial(play, *arguments, **options), clock=MockClock())  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(
    ops=st.lists(OPS, max_size=25),
    outbound=st.sampled_from(["conflate", "drop_oldest"]),
    rests=st.booleans(),
)
def test_together_is_the_same_as_one_by_one(
    ops: list[Op], outbound: Literal["conflate", "drop_oldest"], rests: bool
) -> None:
    """Whatever is subscribed, published and full: every client gets the same bytes, and the same count is kept."""
    policy = ServerPolicy(outbound=outbound, outbound_size=3, ring_size=6)
    alone = run(ops, policy, alone=True, rests=rests)
    assert run(ops, policy, alone=False, rests=rests) == alone


class Heard(NamedTuple):
    """By one client: what is out of order, after an end or not to be understood, and the last number of each symbol."""

    wrong: list[str]
    last: dict[str, int | None]


async def play_disordered(ops: list[Op]) -> list[tuple[Heard, Heard]]:
    """Slices of one turn, and everything may happen between them: what each client that is left heard, and should have."""
    async with fanout_world(*SYMBOLS, policy=ServerPolicy(ring_size=6)) as world:
        for number in range(CLIENTS):
            world.add()
            for symbol in SYMBOLS:
                world.subscribe(number, symbol)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hub, "SLICE", -1)
            gone = set()
            for op in [Op("tick", 0, SYMBOLS, 0, True), *ops]:
                if op.client not in gone or op.what == "tick":
                    apply(world, op)
                if op.what in ("forget", "break"):
                    gone.add(op.client)
                await settle() if op.rest else await trio.lowlevel.checkpoint()
            for stream in world.streams:
                stream.widen(LIMIT)
            await settle()
        left = set(range(CLIENTS)) - gone
        return [(hear(bytes(world.streams[each].taken)), Heard([], world.newest(each))) for each in left]


LINE = re.compile(
    rb"(SUBSCRIBED|UNSUBSCRIBED):([A-C])\n"
    rb"|GAP:([A-C]):s:(\d+):(\d+)\n"
    rb'|QUOTE:.*"symbol":"([A-C])".*"seq":(\d+),.*\n'
)


def hear(taken: bytes) -> Heard:
    """Follow one client's lines."""
    heard = Heard([], {})
    for line in taken.splitlines(keepends=True):
        match = LINE.fullmatch(line)
        if match is None:
            heard.wrong.extend([] if line == b"PONG nonce-12\n" else [f"{line!r} is not known"])
            continue
        said, of, gap, first, last, quote, seq = match.groups()
        symbol = (of or gap or quote).decode()
        if said == b"SUBSCRIBED":
            heard.last.setdefault(symbol, None)
        elif said == b"UNSUBSCRIBED":
            heard.last.pop(symbol, None)
        else:
            if heard.last.get(symbol, -1) not in (None, int(first or seq) - 1):
                heard.wrong.append(f"{line!r} after {heard.last}")
            heard.last[symbol] = int(last or seq)
    return heard


@settings(max_examples=150, deadline=None)
@given(
    ops=st.lists(
        st.builds(
            Op,
            st.sampled_from(["tick", "tick", "tick", "subscribe", "unsubscribe", "ping", "room", "break", "forget"]),
            st.integers(0, CLIENTS - 1),
            st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4).map(tuple),
            st.sampled_from([0, 30, 100, 250, LIMIT, LIMIT]),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_what_happens_between_slices_makes_no_silent_hole(ops: list[Op]) -> None:
    """Subscriptions, ends, full sockets and vanished clients in the midst of a tick: each symbol stays in order.

    Nothing comes after its end, and in the end everybody has the newest of all that he is subscribed to.
    """
    for heard, expected in trio.run(play_disordered, ops, clock=MockClock()):
        assert heard == expected


async def test_the_same_bytes_leave_in_one_write_each() -> None:
    """The three quotes of a tick are one object, made once, and each client gets it with one write."""
    sent: list[bytes] = []
    async with fanout_world(*SYMBOLS) as world:
        for number in range(5):
            world.add("ws", sent.append)
            for symbol in SYMBOLS:
                world.subscribe(number, symbol)
        world.publish(*SYMBOLS)
        assert world.grouped() == 5
        del sent[:]
        world.publish(*SYMBOLS)
        assert len(sent) == 5
        assert len(set(map(id, sent))) == 1
        assert sent[0].count(b'"type":"quote"') == 3
        assert world.delivered == 5 * 3 * 2


async def test_who_is_subscribed_to_something_else_gets_only_that() -> None:
    """Groups are of the same symbols: a tick of all of them reaches each client with its own."""
    async with fanout_world(*SYMBOLS) as world:
        for number, symbols in enumerate([("A",), ("A", "B"), ("B", "A"), ("C",)]):
            world.add()
            for symbol in symbols:
                world.subscribe(number, symbol)
        for _ in range(3):
            world.publish(*SYMBOLS)
        assert world.grouped() == 4
        assert len(world.hub._groups) == 3
        counts = [re.findall(rb'"symbol":"(\w)"', bytes(stream.taken)) for stream in world.streams]
        assert counts == [[b"A"] * 3, [b"A", b"B"] * 3, [b"A", b"B"] * 3, [b"C"] * 3]


@pytest.mark.parametrize("room", [0, 7])
async def test_a_client_that_stalls_delays_nobody(room: int) -> None:
    """The others have a tick before `publish` returns; the one that stalls goes on alone, and comes back."""
    async with fanout_world("A") as world:
        for number in range(4):
            world.add()
            world.subscribe(number, "A")
        world.publish("A")
        world.streams[1].widen(room)
        for count in range(2, 6):
            before = len(world.streams[0].taken)
            world.publish("A")
            assert all(len(world.streams[number].taken) > before for number in (0, 2, 3)), count
            assert world.grouped() == 3
            await settle()
        world.streams[1].widen(LIMIT)
        await settle()
        assert re.findall(rb'GAP.*|"seq":\d+', bytes(world.streams[1].taken)) == [
            b'"seq":1',
            b'"seq":2',
            b"GAP:A:s:3:4",
            b'"seq":5',
        ]
        world.publish("A")
        assert world.grouped() == 4
        assert world.streams[1].taken.endswith(world.streams[0].taken[-40:])


async def test_more_than_a_burst_is_for_each_client_to_decide() -> None:
    """Of seven quotes of one symbol in one tick, five leave at once; the policy decides what is left of the others."""
    async with fanout_world("A") as world:
        for number in range(3):
            world.add()
            world.subscribe(number, "A")
        world.publish("A")
        assert world.grouped() == 3
        world.publish(*"AAAAAAA")
        await settle()
        for stream in world.streams:
            told = re.findall(rb'GAP.*|"seq":\d+', bytes(stream.taken))
            assert told == [*(b'"seq":%d' % seq for seq in range(1, 7)), b"GAP:A:s:7:7", b'"seq":8']


async def test_who_is_gone_gets_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that vanishes in the midst of a tick is not written to any more."""
    monkeypatch.setattr(hub, "SLICE", -1)
    async with fanout_world("A") as world:
        for number in range(9):
            world.add()
            world.subscribe(number, "A")
        world.publish("A")
        await settle()
        assert world.grouped() == 9
        world.publish("A")
        world.hub.forget(world.clients[8])
        await settle()
        assert [stream.taken.count(b"QUOTE") for stream in world.streams] == [2] * 8 + [1]


async def test_nothing_follows_a_close() -> None:
    """A client that says goodbye leaves its group: the others' bytes would come after its Close."""
    async with fanout_world("A") as world:
        for number in range(3):
            world.add("ws")
            world.subscribe(number, "A")
        world.publish("A")
        assert world.grouped() == 3
        world.clients[1].transport.put_close(1001, "")
        assert world.grouped() == 2
        world.publish("A")
        assert world.grouped() == 2


async def test_a_broken_client_leaves_its_group() -> None:
    """What breaks while it is written to is for its own reader to tell; the others do not notice."""
    async with fanout_world("A") as world:
        for number in range(3):
            world.add()
            world.subscribe(number, "A")
        world.publish("A")
        world.streams[1].is_broken = True
        for _ in range(3):
            world.publish("A")
        assert world.grouped() == 2
        assert world.streams[0].taken == world.streams[2].taken
        assert world.streams[0].taken.count(b"QUOTE") == 4
        world.hub.forget(world.clients[1])
        for number in (0, 2):
            world.hub.forget(world.clients[number])
        assert not world.hub._groups


async def test_a_tick_to_a_thousand_clients_gives_way(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a write takes 10 µs, a tick takes 10 ms: no task waits for 5 ms of them, and the next tick comes behind."""
    monkeypatch.setattr(audience, "TURN", 32)
    cost = 0.0
    writes = 0
    gaps: list[float] = []

    def spend(data: bytes) -> None:
        nonlocal writes
        writes += 1
        mock_clock.jump(cost)

    async def watch() -> None:
        last = trio.current_time()
        while True:
            await trio.lowlevel.checkpoint()
            now = trio.current_time()
            gaps.append(now - last)
            last = now

    async with fanout_world("A") as world, trio.open_nursery() as nursery:
        for number in range(1000):
            world.add("line", spend)
            world.subscribe(number, "A")
        world.publish("A")
        await settle()
        assert world.grouped() == 1000
        cost = 10e-6
        writes = 0
        nursery.start_soon(watch)
        await trio.lowlevel.checkpoint()
        world.publish("A")
        assert world.streams[999].taken.count(b"QUOTE") == 1, "it could not be done in one go"
        world.publish("A")
        world.publish("A")
        while world.streams[999].taken.count(b"QUOTE") < 4:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
        assert 0.002 < max(gaps) <= 0.005
        assert writes == 2000, "the two that came late were sent together"
        counts: dict[bytes, int] = defaultdict(int)
        for stream in world.streams:
            counts[bytes(stream.taken)] += 1
        assert list(counts.values()) == [1000]
        assert world.delivered == 4000


async def test_a_source_that_is_far_ahead_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the backlog is not kept: `publish` then sends before it returns."""
    monkeypatch.setattr(hub, "SLICE", -1)
    monkeypatch.setattr(hub, "BACKLOG", 3)
    async with fanout_world("A") as world:
        for number in range(20):
            world.add()
            world.subscribe(number, "A")
        world.publish("A")
        await settle()
        for _ in range(4):
            world.publish("A")
        assert world.streams[19].taken.count(b"QUOTE") == 1
        world.publish("A")
        assert [stream.taken.count(b"QUOTE") for stream in world.streams] == [6] * 20


async def test_what_was_published_comes_before_the_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain in the midst of a tick sends the rest of it first."""
    monkeypatch.setattr(hub, "SLICE", -1)
    source = ManualSource()
    async with running(source) as server:
        clients = [await open_lines(server) for _ in range(20)]
        for each in clients:
            assert await each.ask(b"SUBSCRIBE:BTCUSD\n") == b"SUBSCRIBED:BTCUSD\n"
        source.quote()
        await server.drain()
        for each in clients:
            assert (await each.line()).startswith(b"QUOTE:")
            assert (await each.line()).startswith(b"GOODBYE:")
