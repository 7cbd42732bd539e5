"""The output buffer: nobody waits who did not ask to, control overtakes data, and nothing is torn apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from heartbeat_trio.transports.abc import ByteStream
from heartbeat_trio.transports.output import OutputBuffer


class Wire(ByteStream):
    """A stream that takes as many bytes as it is told to."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent = bytearray()
        self.peer = "wire"
        self.is_waiting = False
        self.is_broken = False
        self.on_handed_over: Callable[[], None] | None = None
        self._more = trio.Event()

    def take(self, size: int) -> None:
        """The peer reads: there is room again."""
        self.room += size
        self._more.set()
        self._more = trio.Event()

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        if self.is_broken:
            raise trio.BrokenResourceError("broken")
        size = min(self.room, len(data))
        self.sent += data[:size]
        self.room -= size
        return size

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view:
            view = view[self.send_nowait(view) :]
            if view:
                await self._more.wait()
        if self.on_handed_over is not None:
            self.on_handed_over()
        await trio.lowlevel.checkpoint()

    def unread_bytes(self) -> int:
        return 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.sleep_until(float("inf"))
        return b""

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self.is_broken = True
        self.take(0)
        await trio.lowlevel.checkpoint()


class Above(trio.abc.Stream):
    """A layer like TLS on top, which can only `send_all`."""

    def __init__(self, wire: Wire) -> None:
        self.wire = self.transport_stream = wire

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.wire.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self.wire.receive_some(max_bytes)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await self.wire.aclose()


def never() -> None:
    raise AssertionError("the buffer must not overflow here")


def make(stream: trio.abc.Stream, nursery: trio.Nursery, *, limit: int = 10_000, spacing: float = 0.0) -> OutputBuffer:
    return OutputBuffer(stream, nursery, name="peer", limit=limit, on_overflow=never, spacing=spacing)


async def test_idle_buffer_writes_at_once(nursery: trio.Nursery) -> None:
    """No task, no checkpoint: the bytes are gone when `put` returns."""
    wire = Wire(100)
    output = make(wire, nursery)
    sent_at: list[float] = []

    entry = output.put(b"hello", on_sent=sent_at.append)

    assert (b"hello", True, 0) == (bytes(wire.sent), entry.is_done, output.unsent_bytes)
    assert len(sent_at) == 1
    assert not nursery.child_tasks


async def test_writer_takes_over_when_full(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The writer task has a name, finishes what began, and goes when all is written."""
    wire = Wire(3)
    output = make(wire, nursery)
    sent_at: list[float] = []
    start = trio.current_time()

    output.put(b"hello")
    output.put(b"world", on_sent=sent_at.append)
    assert ["writer peer"] == [task.name for task in nursery.child_tasks]
    assert output.unsent_bytes == 10
    await trio.sleep(2)
    wire.take(100)
    await output.wait_idle()

    assert wire.sent == b"helloworld"
    assert [2.0] == [when - start for when in sent_at]
    await trio.testing.wait_all_tasks_blocked()
    assert not nursery.child_tasks


async def test_control_overtakes_data_that_has_not_begun(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A ping goes out before the queue, but never into the middle of a message."""
    wire = Wire(2)
    output = make(wire, nursery)
    for word in (b"first ", b"second ", b"third "):
        output.put(word)
    output.put(b"PING ", urgent=True)

    wire.take(100)
    await output.wait_idle()

    assert wire.sent == b"first PING second third "


async def test_only_the_newest_of_a_slot_is_kept(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Of unsent pongs the newest is enough."""
    wire = Wire(0)
    output = make(wire, nursery)
    output.put(b"data ")
    for number in range(5):
        output.put(b"PONG%d " % number, urgent=True, slot="pong")
    output.put(b"PING ", urgent=True, slot="ping")
    assert output.unsent_bytes == len(b"data PONG4 PING ")

    wire.take(100)
    await output.wait_idle()

    assert wire.sent == b"data PONG4 PING "


async def test_cancelled_send_is_withdrawn_whole_if_it_has_not_begun(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A message that has begun is completed: half of one would break the stream."""
    wire = Wire(3)
    output = make(wire, nursery)
    with trio.move_on_after(1):
        async with trio.open_nursery() as senders:
            senders.start_soon(output.send, b"began ")
            await trio.testing.wait_all_tasks_blocked()
            senders.start_soon(output.send, b"waits ")
    assert output.unsent_bytes == len(b"began ")

    wire.take(100)
    await output.wait_idle()

    assert wire.sent == b"began "


async def test_send_returns_when_handed_over(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A user's `send` waits for the socket; that is what it is for."""
    wire = Wire(0)
    output = make(wire, nursery)
    start = trio.current_time()

    async def read_later() -> None:
        await trio.sleep(7)
        wire.take(100)

    nursery.start_soon(read_later)
    assert await output.send(b"hello")
    assert trio.current_time() - start == 7


async def test_send_waits_for_room(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Many senders cannot fill the buffer over its limit."""
    wire = Wire(0)
    output = make(wire, nursery, limit=20)
    async with trio.open_nursery() as senders:
        for _ in range(10):
            senders.start_soon(output.send, b"12345678")
        for _ in range(12):
            await trio.testing.wait_all_tasks_blocked()
            assert output.unsent_bytes <= 20
            wire.take(8)

    assert wire.sent == b"12345678" * 10


async def test_overflow_gives_the_peer_up(nursery: trio.Nursery) -> None:
    """More than the limit unsent: the peer does not read, and is told about once."""
    told: list[str] = []
    wire = Wire(0)
    output = OutputBuffer(wire, nursery, name="peer", limit=10, on_overflow=lambda: told.append("overflow"))
    for _ in range(5):
        output.put(b"12345678")

    assert told == ["overflow"]
    assert output.is_broken
    assert output.unsent_bytes == 0


@pytest.mark.parametrize("above", [False, True])
async def test_broken_stream_wakes_everybody(above: bool, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Nobody waits for a connection that is gone."""
    wire = Wire(0)
    output = make(Above(wire) if above else wire, nursery)
    results: list[bool] = []

    async def send() -> None:
        results.append(await output.send(b"hello"))

    nursery.start_soon(send)
    nursery.start_soon(output.wait_idle)
    await trio.testing.wait_all_tasks_blocked()
    await wire.aclose()
    await trio.testing.wait_all_tasks_blocked()

    assert results == [False]
    assert not nursery.child_tasks
    output.put(b"ignored")
    assert output.unsent_bytes == 0


async def test_direct_write_to_a_broken_stream_is_no_error_here(nursery: trio.Nursery) -> None:
    """The reader tells why; a pinger must not fail because of it."""
    wire = Wire(100)
    wire.is_broken = True
    output = make(wire, nursery)

    output.put(b"hello")

    assert output.is_broken


async def test_below_tls_the_stamp_is_taken_at_the_wire(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The round trip begins when the last byte is accepted below the layer above."""
    wire = Wire(0)
    output = make(Above(wire), nursery)
    sent_at: list[float] = []
    start = trio.current_time()
    output.put(b"PING", urgent=True, on_sent=sent_at.append)
    await trio.sleep(3)
    wire.take(100)
    await output.wait_idle()

    assert [3.0] == [when - start for when in sent_at]


async def test_strangers_stream_is_stamped_before_the_write(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Without a hook, the beginning of the write is all we know."""
    near, _far = trio.testing.memory_stream_pair()
    output = make(near, nursery)
    sent_at: list[float] = []
    output.put(b"PING", on_sent=sent_at.append)
    await output.wait_idle()

    assert len(sent_at) == 1


async def test_spacing_keeps_messages_apart(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """One message per write, and a pause between them."""
    wire = Wire(100)
    output = make(wire, nursery, spacing=0.5)
    sent_at: list[float] = []
    start = trio.current_time()
    for _ in range(3):
        output.put(b"x", on_sent=sent_at.append)
    await output.wait_idle()

    assert [0.0, 0.5, 1.0] == [when - start for when in sent_at]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 30), st.sampled_from(["data", "urgent"])), max_size=40), st.booleans())
def test_messages_arrive_whole_and_each_kind_in_order(script: list[int | str], above: bool) -> None:
    """Whatever the socket takes at a time: no message is torn, lost or doubled."""
    wire = Wire(0)
    put: dict[str, list[str]] = {"data": [], "urgent": []}

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            output = make(Above(wire) if above else wire, nursery)
            for number, step in enumerate(script):
                if isinstance(step, int):
                    wire.take(step)
                    await trio.testing.wait_all_tasks_blocked()
                else:
                    put[step].append(f"{step}{number}")
                    output.put(f"{step}{number};".encode(), urgent=step == "urgent")
            wire.take(10_000)
            await output.wait_idle()

    trio.run(run, clock=MockClock(autojump_threshold=0))

    words = wire.sent.decode().split(";")[:-1]
    assert put == {kind: [word for word in words if word.startswith(kind)] for kind in put}


async def test_what_has_not_begun_can_be_taken_back(nursery: trio.Nursery) -> None:
    """Whole, and only as long as none of its bytes has left."""
    wire = Wire(room=3)
    output = make(wire, nursery)
    begun, waiting, kept = (output.put(data) for data in (b"abcd", b"efgh", b"ijkl"))

    assert (False, True) == (output.withdraw(begun), output.withdraw(waiting))
    assert output.withdraw(waiting), "asked twice, still true"
    assert 8 == output.unsent_bytes
    wire.take(100)
    await output.wait_idle()

    assert b"abcdijkl" == bytes(wire.sent)
    assert [(True, True), (False, False), (True, True)] == [
        (each.has_begun, each.is_done) for each in (begun, waiting, kept)
    ]


async def test_a_write_that_fails_at_once_has_not_begun(nursery: trio.Nursery) -> None:
    """The kernel took nothing of it, so it may be sent elsewhere; nor has what comes after it."""
    wire = Wire(room=100)
    output = make(wire, nursery)
    first = output.put(b"gone")
    wire.is_broken = True
    second, third = output.put(b"never"), output.put(b"nor this")

    assert [True, False, False] == [each.has_begun for each in (first, second, third)]
    assert (output.is_broken, [False, True, True]) == (True, [output.withdraw(each) for each in (first, second, third)])


async def test_what_is_lent_is_taken_back_when_something_is_queued(nursery: trio.Nursery) -> None:
    """The stream's own send is lent while nothing is queued, and called back once, before anything waits."""
    wire = Wire(8)
    output = make(wire, nursery)
    recalls: list[int] = []
    send = output.lend(lambda: recalls.append(output.unsent_bytes))
    assert send is not None
    assert send(b"hello") == 5
    output.put(b"you")
    assert not recalls, "what leaves at once queues nothing"

    output.put(b"world")

    assert recalls == [5]
    assert output.lend(never) is None
    output.put(b"again")
    wire.take(100)
    await output.wait_idle()
    assert wire.sent == b"helloyouworldagain"
    await trio.testing.wait_all_tasks_blocked()
    assert output.lend(never) is not None
    assert len(recalls) == 1


async def test_nothing_is_lent_before_the_writer_has_ended(nursery: trio.Nursery) -> None:
    """Between its last byte and its end, a writer would take what we begin for its own."""
    wire = Wire(2)
    output = make(wire, nursery)
    lent: list[tuple[int, object]] = []
    tell = wire.on_handed_over

    def look() -> None:
        assert tell is not None
        tell()
        lent.append((output.unsent_bytes, output.lend(never)))

    wire.on_handed_over = look
    output.put(b"hello")
    wire.take(100)
    await output.wait_idle()
    assert lent == [(0, None)]


@pytest.mark.parametrize("way", ["end", "fail"])
async def test_what_is_lent_is_taken_back_at_the_end(way: str, nursery: trio.Nursery) -> None:
    """Nothing may follow our goodbye, nor a broken connection: nothing is lent after it either."""
    output = make(Wire(100), nursery)
    recalls: list[str] = []
    assert output.lend(lambda: recalls.append(way)) is not None
    getattr(output, way)()
    assert recalls == [way]
    assert output.lend(never) is None


async def test_nothing_is_lent_above_the_bytes(nursery: trio.Nursery) -> None:
    """Below TLS other bytes leave than were put, and with spacing none but at their time."""
    assert make(Above(Wire(100)), nursery).lend(never) is None
    assert make(Wire(100), nursery, spacing=0.1).lend(never) is None
