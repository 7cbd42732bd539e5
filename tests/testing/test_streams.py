"""The byte streams: what a socket promises, in virtual time."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock
from trio_websocket import ConnectionClosed, wrap_client_stream, wrap_server_stream

from heartbeat_trio.testing import VirtualNetwork, VirtualStream, open_virtual_pair

CAPACITY = 128 * 1024
Maker = Callable[[], Awaitable[tuple[VirtualStream, VirtualStream]]]


def maker(*, clogged: bool, **options: Any) -> Maker:
    async def make() -> tuple[VirtualStream, VirtualStream]:
        await trio.lowlevel.checkpoint()
        pair = open_virtual_pair(**options)
        for stream in pair if clogged else ():
            fill(stream)
        return pair

    return make


def fill(stream: VirtualStream) -> int:
    """Send until nothing more is accepted; return how many bytes were."""
    total = 0
    while sent := stream.send_nowait(b"x" * 10_000):
        total += sent
    return total


async def receive_exactly(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    data = bytearray()
    while True:
        data += await stream.receive_some(size - len(data))
        if len(data) == size:
            return bytes(data)


@pytest.mark.parametrize("options", [{}, {"latency": 0.05, "jitter": 0.1}, {"send_buffer": 1000, "receive_buffer": 300}])
async def test_trio_finds_nothing_to_complain_about(autojump_clock: MockClock, options: dict[str, Any]) -> None:
    """Trio's own suite for half-closeable streams passes, also where bytes take time and where buffers are tiny."""
    await trio.testing.check_half_closeable_stream(maker(clogged=False, **options), maker(clogged=True, **options))


async def test_without_latency_bytes_are_there_at_once() -> None:
    """No virtual time and no scheduling lies between a send and an arrival."""
    ours, theirs = open_virtual_pair()

    assert 3 == ours.send_nowait(b"abc")
    assert 3 == theirs.unread_bytes()
    assert b"ab" == await theirs.receive_some(2)
    assert b"c" == await theirs.receive_some()
    assert 0 == theirs.unread_bytes()


async def test_bytes_arrive_when_they_are_due(autojump_clock: MockClock) -> None:
    """A waiting reader wakes exactly one latency after the send, with all that has arrived by then."""
    ours, theirs = open_virtual_pair(latency=0.05)
    start = trio.current_time()
    await ours.send_all(b"a")
    await ours.send_all(b"b")
    await trio.sleep(0.03)
    await ours.send_all(b"c")

    assert 0 == theirs.unread_bytes()
    assert b"ab" == await theirs.receive_some()
    assert pytest.approx(0.05) == trio.current_time() - start
    assert b"c" == await theirs.receive_some()
    assert pytest.approx(0.08) == trio.current_time() - start


async def test_a_send_brings_forward_what_a_reader_waits_for(autojump_clock: MockClock) -> None:
    """A reader that waited before anything was sent is woken at the arrival, not at the send."""
    ours, theirs = open_virtual_pair(latency=0.05)
    start = trio.current_time()

    async def send_later() -> None:
        await trio.sleep(1)
        assert theirs.is_waiting
        await ours.send_all(b"x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_later)
        assert b"x" == await theirs.receive_some()

    assert pytest.approx(1.05) == trio.current_time() - start
    assert not theirs.is_waiting


async def test_jitter_delays_but_keeps_the_order(autojump_clock: MockClock) -> None:
    """Chunks arrive between latency and latency + jitter, in order, and as the seed says."""

    async def arrivals(seed: int) -> list[float]:
        ours, theirs = open_virtual_pair(latency=0.05, jitter=0.1, seed=seed)
        times = []
        for number in range(50):
            sent = trio.current_time()
            await ours.send_all(bytes([number]))
            assert bytes([number]) == await theirs.receive_some()
            times.append(round(trio.current_time() - sent, 9))
        return times

    first = await arrivals(1)

    assert all(0.05 <= time <= 0.15 for time in first)
    assert len(set(first)) > 40
    assert first == await arrivals(1)
    assert first != await arrivals(2)


async def test_a_peer_that_does_not_read_stops_the_sender(autojump_clock: MockClock) -> None:
    """64 KiB in flight or unread and 64 KiB more are accepted, then nothing; reading makes room a latency later."""
    ours, theirs = open_virtual_pair(latency=0.05)

    assert CAPACITY == fill(ours)
    assert 0 == ours.send_nowait(b"x")
    await trio.sleep(1)
    assert CAPACITY // 2 == theirs.unread_bytes()

    start = trio.current_time()
    assert 1000 == len(await theirs.receive_some(1000))
    assert 0 == ours.send_nowait(b"x")
    await ours.wait_send_all_might_not_block()
    assert pytest.approx(0.05) == trio.current_time() - start
    assert 1000 == fill(ours)


async def test_a_blocked_send_goes_on_where_it_stopped(autojump_clock: MockClock) -> None:
    """More bytes than any buffer holds arrive complete and in order, and the hand-over is told when all were accepted."""
    ours, theirs = open_virtual_pair(latency=0.05)
    data = bytes(range(256)) * 4096
    handed_over: list[int] = []
    received = bytearray()
    ours.on_handed_over = lambda: handed_over.append(len(received))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.send_all, data)
        while len(received) < len(data):
            received += await theirs.receive_some(10_000)

    assert data == received
    [when] = handed_over
    assert len(data) - CAPACITY <= when < len(data)


async def test_send_nowait_does_not_tell_the_hand_over() -> None:
    """Its caller knows; only `send_all` tells."""
    ours, _theirs = open_virtual_pair()
    handed_over: list[str] = []
    ours.on_handed_over = lambda: handed_over.append("told")

    ours.send_nowait(b"x")
    assert [] == handed_over
    await ours.send_all(b"x")
    assert ["told"] == handed_over


async def test_nothing_is_accepted_beside_a_blocked_send(autojump_clock: MockClock) -> None:
    """Bytes of `send_nowait` never land inside those of a `send_all` that is under way."""
    ours, theirs = open_virtual_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.send_all, b"a" * (CAPACITY + 10))
        await trio.testing.wait_all_tasks_blocked()
        await theirs.receive_some(5)
        assert 0 == ours.send_nowait(b"b")
        nursery.cancel_scope.cancel()


async def test_closing_ends_the_peers_stream_behind_what_was_sent(autojump_clock: MockClock) -> None:
    """The peer reads everything, then the end, one latency after the close."""
    ours, theirs = open_virtual_pair(latency=0.05)
    size = fill(ours)
    await ours.aclose()

    assert size == len(await receive_exactly(theirs, size))
    assert b"" == await theirs.receive_some()
    assert b"" == await theirs.receive_some()


async def test_writing_to_a_closed_peer_fails_after_a_round_trip(autojump_clock: MockClock) -> None:
    """The first write goes well, as with sockets; its reset comes back a round trip later and stays."""
    ours, theirs = open_virtual_pair(latency=0.05)
    await theirs.aclose()
    await ours.send_all(b"x")
    await trio.sleep(0.09)
    await ours.send_all(b"x")
    await trio.sleep(0.02)

    with pytest.raises(trio.BrokenResourceError) as caught:
        await ours.send_all(b"x")
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    with pytest.raises(trio.BrokenResourceError):
        ours.send_nowait(b"x")
    assert b"" == await ours.receive_some()


async def test_a_blocked_send_ends_when_the_peer_closes(autojump_clock: MockClock) -> None:
    """Closing with bytes unread resets the connection, as Linux does: the blocked sender learns of it."""
    ours, theirs = open_virtual_pair(latency=0.05)

    async def close_later() -> None:
        await trio.sleep(1)
        await theirs.aclose()

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(close_later)
        with pytest.raises(trio.BrokenResourceError):
            await ours.send_all(b"x" * 1_000_000)
    assert pytest.approx(1.05) == trio.current_time() - start

    with pytest.raises(trio.BrokenResourceError):
        await ours.receive_some()


async def test_last_words_before_a_reset_can_be_read(autojump_clock: MockClock) -> None:
    """What was sent before the close comes first, then the reset that the unread bytes caused."""
    ours, theirs = open_virtual_pair(latency=0.05)
    await ours.send_all(b"never read")
    await trio.sleep(1)
    await theirs.send_all(b"goodbye")
    await theirs.aclose()

    assert b"goodbye" == await ours.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await ours.receive_some()


async def test_bytes_under_way_to_a_closing_peer_come_back_as_a_reset(autojump_clock: MockClock) -> None:
    """Closed while bytes were in flight: the peer reads the end, and can no longer write a round trip after its send."""
    ours, theirs = open_virtual_pair(latency=0.05)
    await ours.send_all(b"x")
    await theirs.aclose()

    assert b"" == await ours.receive_some()
    await ours.send_all(b"x")
    await trio.sleep(0.051)
    with pytest.raises(trio.BrokenResourceError):
        await ours.send_all(b"x")


async def test_closing_wakes_our_own_tasks() -> None:
    """A task that is blocked in either direction gets `ClosedResourceError` when another one closes."""
    ours, _theirs = open_virtual_pair()
    fill(ours)

    async def expect_closed(blocked: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await blocked()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed, ours.receive_some)
        nursery.start_soon(expect_closed, partial(ours.send_all, b"x"))
        await trio.testing.wait_all_tasks_blocked()
        await ours.aclose()

    await expect_closed(ours.send_eof)
    assert 0 == ours.unread_bytes()


async def test_two_tasks_must_not_do_the_same() -> None:
    """The second reader, and the second sender, gets `BusyResourceError`; the first one goes on."""
    ours, theirs = open_virtual_pair()
    fill(theirs)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.receive_some)
        nursery.start_soon(theirs.send_all, b"x")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await theirs.receive_some()
        with pytest.raises(trio.BusyResourceError):
            await theirs.send_all(b"x")
        with pytest.raises(trio.BusyResourceError):
            await theirs.wait_send_all_might_not_block()
        nursery.cancel_scope.cancel()

    await ours.send_all(b"still works")
    assert b"still works" == await theirs.receive_some()


async def test_a_cancelled_receive_loses_nothing(autojump_clock: MockClock) -> None:
    """Whether it was cancelled before, at or after the arrival: the bytes are there for the next reader."""
    ours, theirs = open_virtual_pair(latency=0.05)
    for timeout in (0.0, 0.02, 0.05, 0.08):
        await ours.send_all(b"x")
        received = b""
        with trio.move_on_after(timeout):
            received += await theirs.receive_some()
        assert not theirs.is_waiting
        received += b"" if received else await theirs.receive_some()
        assert b"x" == received


async def test_half_closing_leaves_the_other_direction_open(autojump_clock: MockClock) -> None:
    """After `send_eof` the peer can still answer, and we can still read it; sending again is our mistake."""
    ours, theirs = open_virtual_pair(latency=0.05)
    await ours.send_all(b"question")
    await ours.send_eof()

    assert b"question" == await theirs.receive_some()
    assert b"" == await theirs.receive_some()
    await theirs.send_all(b"answer")
    await theirs.aclose()
    assert b"answer" == await ours.receive_some()
    assert b"" == await ours.receive_some()
    with pytest.raises(trio.ClosedResourceError, match="send_eof"):
        ours.send_nowait(b"more")


async def test_it_shows_what_it_is() -> None:
    """`repr` names both ends and tells whether it was closed."""
    ours, _theirs = open_virtual_pair()

    assert "<VirtualStream left:1 to right:1>" == repr(ours)
    await ours.aclose()
    assert "<VirtualStream left:1 to right:1, closed>" == repr(ours)


async def test_tls_works_on_top(autojump_clock: MockClock) -> None:
    """A TLS handshake, data both ways and the end."""
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("server").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    below, theirs_below = open_virtual_pair(latency=0.05)
    ours = trio.SSLStream(below, client_context, server_hostname="server")
    theirs = trio.SSLStream(theirs_below, server_context, server_side=True)
    big = bytes(300_000)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.send_all, big)
        assert big == await receive_exactly(theirs, len(big))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send_all, b"pong")
        assert b"pong" == await ours.receive_some()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.aclose)
        assert b"" == await theirs.receive_some()
        await theirs.aclose()


async def test_trio_websocket_works_on_top(autojump_clock: MockClock) -> None:
    """A handshake, an echo, a ping and the closing handshake, in virtual time."""
    ours, theirs = open_virtual_pair(latency=0.05)

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, theirs)
            websocket = await request.accept()
            try:
                while True:
                    await websocket.send_message(await websocket.get_message())
            except ConnectionClosed:
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        websocket = await wrap_client_stream(nursery, ours, "server", "/")  # type: ignore[arg-type]
        start = trio.current_time()
        await websocket.send_message("hello")
        assert "hello" == await websocket.get_message()
        assert pytest.approx(0.1) == trio.current_time() - start
        await websocket.ping(b"payload")
        assert pytest.approx(0.2) == trio.current_time() - start
        await websocket.aclose()


FAULTS = ["freeze", "thaw", "blackhole", "heal"]


@settings(max_examples=60, deadline=None)
@given(
    latency=st.sampled_from([0.0, 0.05]),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(0, 300)),
            st.tuples(st.just("receive"), st.integers(1, 300)),
            st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.01, 0.3, 5.0])),
            st.tuples(st.sampled_from(FAULTS), st.sampled_from(["left", "right"])),
            st.tuples(st.just("latency"), st.sampled_from([0.0, 0.02, 1.0])),
        ),
        max_size=40,
    ),
)
def test_no_byte_is_ever_lost_or_out_of_order(latency: float, steps: list[tuple[str, Any]]) -> None:
    """Whatever happens to both hosts, bytes arrive once and in order, and all of them once everything works again."""

    async def scenario() -> None:
        network = VirtualNetwork(latency=latency, jitter=latency, send_buffer=200, receive_buffer=100)
        listener = network.listen("right")
        ours = await network.host("left").connect("right", listener.port)
        theirs = await listener.accept()
        assert isinstance(ours, VirtualStream)
        numbers = (number % 251 for number in range(10**9))
        sent, received = bytearray(), bytearray()
        for what, value in steps:
            if what == "send":
                data = bytes(next(numbers) for _ in range(value))
                accepted = ours.send_nowait(data)
                sent += data[:accepted]
                numbers = (number % 251 for number in range(len(sent), 10**9))
            elif what == "receive":
                with trio.move_on_after(0):
                    received += await theirs.receive_some(value)
            elif what == "sleep":
                await trio.sleep(value)
            elif what == "latency":
                network.latency = value
            else:
                getattr(network.host(value), what)()
            assert sent.startswith(received)
            assert len(sent) - len(received) <= 300
        for name in ("left", "right"):
            network.host(name).heal()
            network.host(name).thaw()
        await ours.aclose()
        while rest := await theirs.receive_some():
            received += rest
        assert sent == received

    trio.run(scenario, clock=MockClock(autojump_threshold=0))
