"""The virtual network: connecting, listening, and every fault, switched while connections live."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from heartbeat_trio.testing import VirtualNetwork
from heartbeat_trio.transports.abc import ByteStream

WINDOW = 64 * 1024
CAPACITY = 128 * 1024


class Line(NamedTuple):
    """A network with one connection."""

    net: VirtualNetwork
    client: ByteStream
    server: ByteStream


async def open_line(*, latency: float = 0.05) -> Line:
    net = VirtualNetwork(latency=latency)
    listener = net.listen("server", 8080)
    client = await net.connect("server", 8080)
    return Line(net, client, await listener.accept())


@asynccontextmanager
async def serve(net: VirtualNetwork, handler: Callable[[ByteStream], Awaitable[object]]) -> AsyncIterator[None]:
    """Listen on server:8080 and run `handler` for each connection."""
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handler, [net.listen("server", 8080)])
        yield
        nursery.cancel_scope.cancel()


def open_ends(net: VirtualNetwork) -> int:
    return len(net.open_streams)


async def is_silent(stream: trio.abc.ReceiveStream, seconds: float) -> bool:
    """Whether nothing at all can be received for so long."""
    with trio.move_on_after(seconds):
        await stream.receive_some()
        return False
    return True


async def expect_reset(stream: trio.abc.Stream) -> None:
    with pytest.raises(trio.BrokenResourceError) as caught:
        await stream.receive_some()
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")


# Connecting and listening


async def test_connecting_takes_a_round_trip(autojump_clock: MockClock) -> None:
    """The connector returns after two latencies, `accept` after the third; both ends know each other's address."""
    net = VirtualNetwork(latency=0.05)
    listener = net.listen("server", 8080)
    start = trio.current_time()

    client = await net.connect("server", 8080)
    assert pytest.approx(0.1) == trio.current_time() - start
    server = await listener.accept()
    assert pytest.approx(0.15) == trio.current_time() - start

    assert "server:8080" == client.peer == listener.address
    assert "client:49152" == server.peer


async def test_port_zero_picks_a_free_port() -> None:
    """Each listener gets its own; a port that is taken is an error, and free again after closing."""
    net = VirtualNetwork()
    first, second = net.listen("server"), net.listen("server", 0)

    assert first.port != second.port
    assert ("server", f"server:{first.port}") == (first.host, first.address)
    with pytest.raises(OSError, match="in use"):
        net.listen("server", first.port)
    await first.aclose()
    await first.aclose()
    net.listen("server", first.port)


async def test_unknown_hosts_and_silent_ports(autojump_clock: MockClock) -> None:
    """What real connectors raise: `gaierror` for a name nobody has, `ConnectionRefusedError` where nobody listens."""
    net = VirtualNetwork(latency=0.05)
    net.host("server")
    start = trio.current_time()

    with pytest.raises(socket.gaierror):
        await net.connect("nowhere", 8080)
    with pytest.raises(ConnectionRefusedError, match="server:8080"):
        await net.connect("server", 8080)
    assert pytest.approx(0.1) == trio.current_time() - start


async def test_it_serves_with_trios_own_server(autojump_clock: MockClock) -> None:
    """`trio.serve_listeners` accepts many clients; afterwards nothing is left open."""
    net = VirtualNetwork(latency=0.05)

    async def echo(stream: ByteStream) -> None:
        while data := await stream.receive_some():
            await stream.send_all(data)

    async def talk(number: int) -> None:
        async with await net.host(f"client-{number}").connect("server", 8080) as stream:
            await stream.send_all(b"%d" % number)
            assert b"%d" % number == await stream.receive_some()

    async with serve(net, echo):
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(talk, number)
        await trio.sleep(1)
        assert () == net.open_streams


async def test_open_streams_shows_what_leaks(autojump_clock: MockClock) -> None:
    """Each end counts until its owner closes it; one that nobody accepted counts until the listener closes."""
    net = VirtualNetwork()
    listener = net.listen("server", 8080)
    client = await net.connect("server", 8080)

    assert 2 == open_ends(net)
    await listener.aclose()
    assert [client] == list(net.open_streams)
    await expect_reset(client)
    await client.aclose()
    assert 0 == open_ends(net)
    assert "<VirtualNetwork of 2 hosts, 0 open streams>" == repr(net)


async def test_closing_a_listener_wakes_who_accepts() -> None:
    """A blocked `accept` gets `ClosedResourceError`, a later one too, and connecting is refused."""
    net = VirtualNetwork()
    listener = net.listen("server", 8080)

    async def accept() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await trio.testing.wait_all_tasks_blocked()
        await listener.aclose()
    await accept()
    with pytest.raises(ConnectionRefusedError):
        await net.connect("server", 8080)
    assert "<VirtualListener server:8080, closed>" == repr(listener)


async def test_a_full_backlog_takes_no_more(autojump_clock: MockClock) -> None:
    """A third connection waits for room, and is tried again by TCP after a second."""
    net = VirtualNetwork(latency=0.05)
    listener = net.listen("server", 8080, backlog=2)
    for _ in range(2):
        await net.connect("server", 8080)
    start = trio.current_time()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(net.connect, "server", 8080)
        await trio.sleep(0.5)
        await listener.accept()
    assert pytest.approx(1.1) == trio.current_time() - start


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.07, 0.1, 0.12])
async def test_a_cancelled_connect_leaves_nothing(autojump_clock: MockClock, after: float) -> None:
    """Wherever it was cancelled, no stream stays open unless it was returned."""
    net = VirtualNetwork(latency=0.05)
    net.listen("server", 8080)
    returned = []

    with trio.move_on_after(after):
        returned.append(await net.connect("server", 8080))
    for stream in returned:
        await stream.aclose()
    await trio.sleep(1)

    assert len(returned) == len(net.open_streams)


async def cancelled_at(checkpoint: int, operation: Callable[[], Awaitable[object]]) -> bool:
    """Run an operation and cancel it at one of its checkpoints, without time passing; False if it was done before."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel() -> None:
                await trio.lowlevel.checkpoint()
                for _ in range(checkpoint):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            nursery.start_soon(cancel)
            await operation()
            nursery.cancel_scope.cancel()
    return scope.cancelled_caught


@pytest.mark.parametrize("checkpoint", range(16))
async def test_cancelled_anywhere_nothing_leaks(autojump_clock: MockClock, checkpoint: int) -> None:
    """At whichever checkpoint connecting, accepting or talking is cancelled: what was not returned is not open."""
    net = VirtualNetwork()
    listener = net.listen("server", 8080)
    streams = []

    async def connect_and_accept() -> None:
        streams.append(await net.connect("server", 8080))
        streams.append(await listener.accept())

    async def talk(client: ByteStream, server: ByteStream) -> None:
        for number in range(3):
            await client.send_all(bytes([number]))
            received.extend(await server.receive_some())

    await cancelled_at(checkpoint, connect_and_accept)
    if len(streams) == 1:
        streams.append(await listener.accept())
    assert streams == list(net.open_streams)
    if streams:
        received: list[int] = []
        await cancelled_at(checkpoint, partial(talk, *streams))
        assert received == list(range(len(received)))
        assert 0 <= streams[1].unread_bytes() <= 1
    for stream in streams:
        await stream.aclose()
    assert 0 == open_ends(net)


async def test_a_host_may_be_far_away(autojump_clock: MockClock) -> None:
    """A host's latency replaces the network's, for what is sent from then on; of two the larger holds."""
    net, client, server = await open_line(latency=0.05)

    async def measure() -> float:
        start = trio.current_time()
        await client.send_all(b"x")
        await server.receive_some()
        return round(trio.current_time() - start, 9)

    assert 0.05 == await measure()
    net.host("server").latency = 0.3
    assert 0.3 == net.host("server").latency
    assert 0.3 == await measure()
    net.host("client").latency = 0.2
    assert 0.3 == await measure()
    net.host("server").latency = None
    assert 0.2 == await measure()
    net.host("client").latency = None
    net.latency = 0.01
    assert (0.01, 0.01) == (await measure(), net.latency)


async def test_weather_may_change(autojump_clock: MockClock) -> None:
    """Jitter that is switched on delays later chunks and never reorders them."""
    net, client, server = await open_line(latency=0.05)
    net.jitter = 1.0

    for number in range(20):
        await client.send_all(bytes([number]))
    received = b""
    while len(received) < 20:
        received += await server.receive_some(1)

    assert bytes(range(20)) == received
    assert 1.0 == net.jitter


# Faults of the process


async def test_a_frozen_process_reads_nothing_and_its_kernel_takes_bytes(autojump_clock: MockClock) -> None:
    """Until the window and our send buffer are full, the kernel of a frozen peer acknowledges; thawed, it reads it all."""
    net, client, server = await open_line()
    net.host("server").freeze()
    assert net.host("server").is_frozen
    assert "<VirtualHost server, frozen>" == repr(net.host("server"))

    with trio.move_on_after(10):
        await client.send_all(b"x" * 1_000_000)
    assert WINDOW == server.unread_bytes()
    assert await is_silent(server, 100)

    net.host("server").thaw()
    received = 0
    while received < CAPACITY:
        received += len(await server.receive_some())
    assert CAPACITY == received
    assert await is_silent(server, 100)


async def test_a_waiting_reader_is_frozen_too(autojump_clock: MockClock) -> None:
    """A reader that waited before the freeze gets the bytes at the thaw."""
    net, client, server = await open_line()
    times = []

    async def read() -> None:
        assert b"x" == await server.receive_some()
        times.append(round(trio.current_time() - start, 9))

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await client.send_all(b"x")
        await trio.sleep(0.01)
        net.host("server").freeze()
        await trio.sleep(6)
        net.host("server").thaw()

    assert [6.01] == times


async def test_a_frozen_process_sends_at_the_thaw(autojump_clock: MockClock) -> None:
    """What its tasks send and close meanwhile leaves when it is thawed; what its kernel had already goes on."""
    net, client, server = await open_line()
    await server.send_all(b"before")
    net.host("server").freeze()
    await server.send_all(b"mean")
    assert 5 == server.send_nowait(b"while")
    await server.aclose()

    assert b"before" == await client.receive_some()
    assert await is_silent(client, 100)
    await client.send_all(b"no reset for this: the process has not closed yet")
    assert await is_silent(client, 100)
    net.host("server").thaw()
    start = trio.current_time()
    assert b"meanwhile" == await client.receive_some()
    assert pytest.approx(0.05) == trio.current_time() - start
    with pytest.raises(trio.BrokenResourceError):
        await client.receive_some()


async def test_a_frozen_process_accepts_at_the_thaw(autojump_clock: MockClock) -> None:
    """Its kernel completes connections; its `accept` returns when it is thawed."""
    net = VirtualNetwork(latency=0.05)
    listener = net.listen("server", 8080)
    net.host("server").freeze()
    client = await net.connect("server", 8080)
    await client.send_all(b"x")

    with trio.move_on_after(100) as too_long:
        await listener.accept()
    assert too_long.cancelled_caught

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.testing.wait_all_tasks_blocked)
        net.host("server").thaw()
        server = await listener.accept()
    assert b"x" == await server.receive_some()


async def test_a_frozen_client_connects_at_the_thaw(autojump_clock: MockClock) -> None:
    """Frozen before or while it connects, a process has its connection when it is thawed."""
    net = VirtualNetwork(latency=0.05)
    listener = net.listen("server", 8080)
    start = trio.current_time()

    async with trio.open_nursery() as nursery:
        net.host("client").freeze()
        nursery.start_soon(net.connect, "server", 8080)
        await trio.sleep(5)
        net.host("client").thaw()
        await trio.sleep(0.06)
        net.host("client").freeze()
        await trio.sleep(5)
        assert () == net.open_streams
        net.host("client").thaw()
    await listener.accept()

    assert pytest.approx(10.06 + 0.05) == trio.current_time() - start


async def test_a_slow_reader_holds_its_peer_back(autojump_clock: MockClock) -> None:
    """At 1000 bytes a second, 5000 bytes take 5 s less the first read; switched off, the rest comes at once."""
    net, client, server = await open_line()
    await client.send_all(bytes(10_000))
    await trio.sleep(1)
    net.host("server").slow_reader(1000)
    start = trio.current_time()

    received = 0
    while received < 5000:
        received += len(await server.receive_some())
    assert pytest.approx(4.9) == trio.current_time() - start
    net.host("server").slow_reader(None)
    assert 5000 == len(await server.receive_some())

    with pytest.raises(ValueError, match="positive"):
        net.host("server").slow_reader(0)


async def test_split_reads_give_single_bytes(autojump_clock: MockClock) -> None:
    """Whatever was sent in one piece is read byte by byte, until it is switched off."""
    net, client, server = await open_line()
    net.host("server").split_reads()
    await client.send_all(b"PONG\n")

    assert [b"P", b"O"] == [await server.receive_some() for _ in range(2)]
    net.host("server").split_reads(on=False)
    assert b"NG\n" == await server.receive_some()


async def test_merged_reads_glue_chunks_together(autojump_clock: MockClock) -> None:
    """The first chunk waits 20 ms for others; what comes later begins a new read."""
    net, client, server = await open_line()
    net.host("server").merge_reads()
    start = trio.current_time()
    for number in range(4):
        await client.send_all(b"%d" % number)
        await trio.sleep(0.009)

    assert b"012" == await server.receive_some()
    assert pytest.approx(0.07) == trio.current_time() - start
    assert b"3" == await server.receive_some()
    assert pytest.approx(0.027 + 0.07) == trio.current_time() - start
    net.host("server").merge_reads(on=False)
    await client.send_all(b"4")
    await trio.sleep(0.051)
    assert 1 == server.unread_bytes()


async def test_a_reset_breaks_both_ends(autojump_clock: MockClock) -> None:
    """The host's own end is broken at once, the peer's when the reset has arrived; new connections work."""
    net, client, server = await open_line()
    net.host("server").reset_all()
    start = trio.current_time()

    await expect_reset(server)
    assert 0 == trio.current_time() - start
    await expect_reset(client)
    assert pytest.approx(0.05) == trio.current_time() - start
    await net.connect("server", 8080)


async def test_a_reset_wakes_blocked_tasks(autojump_clock: MockClock) -> None:
    """A blocked reader and a blocked sender, on either side, all learn of it."""
    net, client, server = await open_line()
    broken = []

    async def expect_broken(blocked: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await blocked()
        broken.append(blocked)

    async with trio.open_nursery() as nursery:
        for stream in (client, server):
            nursery.start_soon(expect_broken, partial(stream.send_all, bytes(1_000_000)))
        await trio.sleep(1)
        net.host("client").reset_all()

    assert 2 == len(broken)


async def test_what_has_hung_up_cannot_be_broken_again(autojump_clock: MockClock) -> None:
    """Ending and then resetting everything is one end, and an end that was sent before is not sent again."""
    net, client, server = await open_line()
    await server.send_eof()  # type: ignore[attr-defined]
    net.host("server").end_all()
    net.host("server").reset_all()

    assert b"" == await client.receive_some()
    assert b"" == await client.receive_some()


async def test_a_frozen_process_can_be_killed(autojump_clock: MockClock) -> None:
    """What it had not sent is gone; its connections end at once, and the thaw changes nothing."""
    net, client, server = await open_line()
    await server.send_all(b"sent")
    net.host("server").freeze()
    await server.send_all(b"never sent")
    net.host("server").end_all()
    await server.aclose()

    assert b"sent" == await client.receive_some()
    assert b"" == await client.receive_some()
    net.host("server").thaw()
    assert b"" == await client.receive_some()


async def test_an_ended_connection_reads_the_end(autojump_clock: MockClock) -> None:
    """As when the process exits: the peer reads what was sent and the end; the host's own tasks are cut off."""
    net, client, server = await open_line()
    await server.send_all(b"x")
    net.host("server").end_all()

    assert b"x" == await client.receive_some()
    assert b"" == await client.receive_some()
    await expect_reset(server)


async def test_refusing_and_closing_at_once(autojump_clock: MockClock) -> None:
    """`refuse` and `accept_then_close` change new connections only."""
    net, client, server = await open_line()
    host = net.host("server")

    host.refuse()
    with pytest.raises(ConnectionRefusedError):
        await net.connect("server", 8080)
    host.refuse(on=False)
    host.accept_then_close()
    closed = await net.connect("server", 8080)
    assert b"" == await closed.receive_some()
    host.accept_then_close(on=False)

    await client.send_all(b"x")
    assert b"x" == await server.receive_some()


# Faults of the network


async def test_in_a_blackhole_nothing_arrives_and_nothing_fails(autojump_clock: MockClock) -> None:
    """Both directions are silent, also for bytes that were under way; sends are accepted until the buffers are full."""
    net, client, server = await open_line()
    await client.send_all(b"under way")
    net.host("server").blackhole()

    assert 5 == server.send_nowait(b"reply")
    assert await is_silent(server, 1000)
    assert await is_silent(client, 1000)
    with trio.move_on_after(1) as blocked:
        await client.send_all(bytes(1_000_000))
    assert blocked.cancelled_caught
    assert 0 == server.unread_bytes()


async def test_healed_tcp_retransmits_when_its_timer_goes_off(autojump_clock: MockClock) -> None:
    """The timeout of 0.3 s has doubled to 4.8 s: sent at 0 s and healed at 6 s, the bytes come at 9.35 s, in order."""
    net, client, server = await open_line()
    start = trio.current_time()
    await client.send_all(b"lost ")
    net.host("server").blackhole()
    await trio.sleep(6)
    net.host("server").heal()
    await client.send_all(b"and new")

    assert b"lost and new" == await server.receive_some()
    assert pytest.approx(0.3 + 0.6 + 1.2 + 2.4 + 4.8 + 0.05) == trio.current_time() - start


async def test_other_hosts_do_not_notice_a_blackhole(autojump_clock: MockClock) -> None:
    """A client that cannot be reached changes nothing between the server and others."""
    net = VirtualNetwork(latency=0.05)
    listener = net.listen("server", 8080)
    near = await net.host("near").connect("server", 8080)
    await net.host("far").connect("server", 8080)
    net.host("far").blackhole()
    server = await listener.accept()
    await near.send_all(b"x")

    assert b"x" == await server.receive_some()


@pytest.mark.parametrize(("direction", "is_heard"), [("in", False), ("out", True)])
async def test_one_direction_may_be_cut_alone(autojump_clock: MockClock, direction: str, is_heard: bool) -> None:
    """The other one still delivers."""
    net, client, server = await open_line()
    net.host("server").blackhole(direction)  # type: ignore[arg-type]
    await client.send_all(b"to the server")
    await server.send_all(b"from the server")

    assert is_heard is not await is_silent(server, 10)
    assert is_heard is await is_silent(client, 10)


async def test_without_acknowledgements_a_sender_stops(autojump_clock: MockClock) -> None:
    """Read by the peer or not: if acknowledgements get lost, the window stays closed until it is healed."""
    net, client, server = await open_line()
    net.host("server").blackhole("out")

    async def read() -> None:
        while await server.receive_some():
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        with trio.move_on_after(100) as blocked:
            await client.send_all(bytes(1_000_000))
        assert blocked.cancelled_caught
        net.host("server").heal()
        await client.send_all(bytes(1_000_000))
        nursery.cancel_scope.cancel()


async def test_connecting_into_a_blackhole_hangs_then_times_out(autojump_clock: MockClock) -> None:
    """After 127 s, as on Linux; healed before that, TCP's next attempt succeeds."""
    net = VirtualNetwork(latency=0.05)
    net.listen("server", 8080)
    net.host("server").blackhole()
    start = trio.current_time()

    with pytest.raises(TimeoutError, match="server:8080"):
        await net.connect("server", 8080)
    assert pytest.approx(127) == trio.current_time() - start

    async with trio.open_nursery() as nursery:
        start = trio.current_time()
        nursery.start_soon(net.connect, "server", 8080)
        await trio.sleep(4)
        net.host("server").heal()
    assert pytest.approx(7.1) == trio.current_time() - start


async def test_an_answer_may_get_lost_too(autojump_clock: MockClock) -> None:
    """The host hears the attempt, but its answer vanishes."""
    net = VirtualNetwork(latency=0.05)
    net.listen("server", 8080)
    net.host("server").blackhole("out")

    with trio.move_on_after(100) as too_long:
        await net.connect("server", 8080)
    assert too_long.cancelled_caught


async def test_a_reset_gets_lost_in_a_blackhole(autojump_clock: MockClock) -> None:
    """Nobody repeats a reset: the peer learns of it when, after the heal, its own bytes meet a closed socket."""
    net, client, server = await open_line()
    net.host("server").blackhole()
    net.host("server").reset_all()
    await expect_reset(server)
    await client.send_all(b"x")
    assert await is_silent(client, 100)

    net.host("server").heal()
    await expect_reset(client)


async def test_a_reset_under_way_gets_lost_too(autojump_clock: MockClock) -> None:
    """Cut between its sending and its arrival, a reset never comes by itself."""
    net, client, _server = await open_line()
    net.host("server").reset_all()
    await trio.sleep(0.02)
    net.host("server").blackhole()
    net.host("server").heal()

    assert await is_silent(client, 1000)
    await client.send_all(b"x")
    await expect_reset(client)


async def test_bytes_that_met_a_closed_socket_are_sent_again_for_their_reset(autojump_clock: MockClock) -> None:
    """Where only the resets got lost, TCP repeats what nobody acknowledged, and is told after the heal."""
    net, client, server = await open_line()
    await server.aclose()
    assert b"" == await client.receive_some()
    net.host("server").blackhole("out")
    await client.send_all(b"x")
    await trio.sleep(100)
    await client.send_all(b"still no error")
    net.host("server").heal()
    await trio.sleep(1)

    with pytest.raises(trio.BrokenResourceError):
        await client.send_all(b"x")


async def test_bytes_lost_on_their_way_to_a_closed_socket_are_reset_after_the_heal(autojump_clock: MockClock) -> None:
    """Cut both ways, the bytes themselves are retransmitted, and meet the closed socket then."""
    net, client, server = await open_line()
    await server.aclose()
    assert b"" == await client.receive_some()
    await client.send_all(b"x")
    net.host("server").blackhole()
    await trio.sleep(100)
    net.host("server").heal()
    await client.send_all(b"still no error")

    with trio.fail_after(200), pytest.raises(trio.BrokenResourceError):
        await client.send_all(bytes(1_000_000))


async def test_an_end_lost_in_a_blackhole_comes_after_the_heal(autojump_clock: MockClock) -> None:
    """Unlike a reset, the end of a stream is retransmitted."""
    net, client, server = await open_line()
    net.host("client").blackhole()
    await server.aclose()
    assert await is_silent(client, 100)
    net.host("client").heal()

    assert b"" == await client.receive_some()


async def test_a_trace_tells_what_happened(autojump_clock: MockClock) -> None:
    """Connects, bytes, faults and closes, with their times; its hash depends on nothing else."""

    async def run() -> VirtualNetwork:
        net = VirtualNetwork(trace=True)
        listener = net.listen("server", 8080)
        client = await net.connect("server", 8080)
        server = await listener.accept()
        await client.send_all(b"PING\n")
        await server.receive_some()
        net.host("server").freeze()
        await client.aclose()
        return net

    net = await run()
    assert net.trace is not None
    now = trio.current_time()
    assert [
        (now, "connect", "client:49152>server:8080", 0),
        (now, "send", "client:49152>server:8080", 5),
        (now, "receive", "server:8080>client:49152", 5),
        (now, "freeze", "server", 0),
        (now, "close", "client:49152>server:8080", 0),
    ] == net.trace
    assert net.trace_hash() == (await run()).trace_hash()
    assert 64 == len(net.trace_hash())
    with pytest.raises(RuntimeError, match="trace=True"):
        VirtualNetwork().trace_hash()


async def test_a_day_of_pings_is_quick(autojump_clock: MockClock) -> None:
    """A quarter of a day of a ping every 5 s, over a network with latency and jitter, loses nothing."""
    net = VirtualNetwork(latency=0.05, jitter=0.01)

    async def answer(stream: ByteStream) -> None:
        while await stream.receive_some():
            await stream.send_all(b"PONG\n")

    async with serve(net, answer), await net.connect("server", 8080) as client:
        start = trio.current_time()
        for number in range(6 * 720):
            await trio.sleep_until(start + 5 * number)
            await client.send_all(b"PING\n")
            assert b"PONG\n" == await client.receive_some()
            assert 0.1 <= trio.current_time() - start - 5 * number <= 0.12001
