"""The server's limits in virtual time: idle clients, message rates, slow readers and what each policy leaves them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio import ServerPolicy
from heartbeat_trio.config import Overflow
from heartbeat_trio.server import QuoteServer, serve_quotes
from heartbeat_trio.testing import VirtualNetwork
from tests.support.raw_clients import PING, PONG, TEXT, LineClient, ManualSource, RawWebSocket, encode_frame

IDLE = 2.0


class World(VirtualNetwork):
    """A virtual network with a quote server on it."""

    server: QuoteServer
    source: ManualSource

    async def lines(self, host: str = "client") -> LineClient:
        return LineClient(await self.host(host).connect("server", 1))

    async def websocket(self, host: str = "client") -> RawWebSocket:
        client = RawWebSocket(await self.host(host).connect("server", 2))
        assert await client.handshake() == 101
        return client


@asynccontextmanager
async def world(*symbols: str, policy: ServerPolicy | None = None, **network: Any) -> AsyncIterator[World]:
    net = World(**network)
    net.source = ManualSource(*symbols)
    async with trio.open_nursery() as nursery:
        tcp, ws = net.listen("server", 1), net.listen("server", 2)
        net.server = await nursery.start(partial(serve_quotes, net.source, tcp=tcp, ws=ws, policy=policy))
        await trio.testing.wait_all_tasks_blocked()
        yield net
        nursery.cancel_scope.cancel()
    for stream in net.open_streams:
        assert stream.address.split(":")[0] != "server", "the server left a stream open"
        stream.close()


def policy(**options: Any) -> ServerPolicy:
    return ServerPolicy(**{"idle_timeout": IDLE, **options})


# -- idle ------------------------------------------------------------------------------------------------------------------


async def repeat(client: LineClient | RawWebSocket, data: bytes, interval: float) -> None:
    try:
        while True:
            await trio.sleep(interval)
            await client.stream.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


OTHERS = [b"SUBSCRIBE:BTCUSD\n", b"PONG\n", b"HELLO\n"]


@pytest.mark.parametrize(
    ("other", "interval"), [(b"", 1), (b"PIN", 0.3), *((other, interval) for other in OTHERS for interval in (0.3, 0.0005))]
)
async def test_an_idle_client_is_told_and_dropped(
    other: bytes, interval: float, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(policy=policy(max_message_rate=1000)) as net, trio.open_nursery() as nursery:
        client = await net.lines()
        began = trio.current_time()
        if other:
            nursery.start_soon(repeat, client, other, interval)
        lines = []
        while line := await client.line():
            lines.append(line)
        assert IDLE <= trio.current_time() - began <= IDLE + 1
        assert [line for line in lines if line.startswith(b"ERROR:idle:")]
        await trio.sleep(1)
        assert net.server.statistics().dropped_idle == 1
        assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "other", [b"", encode_frame(TEXT, b'{"op":"subscribe","symbols":["BTCUSD"]}'), encode_frame(PONG, b"")]
)
@pytest.mark.parametrize("does_answer", [True, False])
async def test_an_idle_websocket_client_is_told_and_dropped(
    other: bytes, *, does_answer: bool, autojump_clock: MockClock
) -> None:
    async with world(policy=policy()) as net, trio.open_nursery() as nursery:
        client = await net.websocket()
        began = trio.current_time()
        if other:
            nursery.start_soon(repeat, client, other, 0.3)
        assert await client.close_code() == 1008
        if does_answer:
            await client.send(8, b"\x03\xf0")
        assert await client.is_closed()
        assert IDLE <= trio.current_time() - began <= IDLE + 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("ping", [b"PING\n", b"PING x7\n", b"  PING\r\n"])
async def test_any_ping_line_keeps_a_client(ping: bytes, autojump_clock: MockClock) -> None:
    async with world(policy=policy()) as net:
        client = await net.lines()
        for _ in range(20):
            await trio.sleep(IDLE - 0.1)
            assert (await client.ask(ping)).startswith(b"PONG")


@pytest.mark.parametrize(
    "ping", [encode_frame(PING, b"x"), encode_frame(TEXT, b'{"op":"ping","id":1}'), encode_frame(TEXT, b'{"op":"ping"}')]
)
async def test_any_ping_over_websocket_keeps_a_client(ping: bytes, autojump_clock: MockClock) -> None:
    async with world(policy=policy()) as net:
        client = await net.websocket()
        for _ in range(20):
            await trio.sleep(IDLE - 0.1)
            await client.stream.send_all(ping)
            opcode, _payload = await client.frame()
            assert opcode in (PONG, TEXT)


@pytest.mark.parametrize("protocol", ["tcp", "ws"])
async def test_a_ping_that_lay_unread_while_we_stalled_counts(protocol: str) -> None:
    """The server's own loop stood still past the deadline, with the ping in its kernel: no healthy client is dropped."""

    async def main() -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        async with world(policy=policy()) as net:
            client: Any = await (net.lines() if protocol == "tcp" else net.websocket())
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(5):
                client.stream.send_nowait(b"PING\n" if protocol == "tcp" else encode_frame(PING, b""))
                clock.jump(IDLE + 3)
                await trio.testing.wait_all_tasks_blocked()
            assert net.server.clients == 1
            assert net.server.statistics().dropped_idle == 0

    await trio.to_thread.run_sync(partial(trio.run, main, clock=MockClock()))


# -- rate ------------------------------------------------------------------------------------------------------------------


async def test_the_surplus_of_messages_is_delayed_not_dropped(autojump_clock: MockClock) -> None:
    async with world(policy=policy(max_message_rate=100, idle_timeout=60)) as net:
        flooder, good = await net.lines(), await net.lines()
        began = trio.current_time()
        await flooder.send(b"".join(b"PING %d\n" % number for number in range(1000)))
        assert await good.is_alive()
        assert trio.current_time() == began, "and nobody else waits"
        for number in range(1000):
            assert await flooder.line() == b"PONG %d\n" % number
            assert trio.current_time() - began == pytest.approx(number // 100, abs=0.001)


# -- slow readers ----------------------------------------------------------------------------------------------------------


def seqs(lines: list[bytes]) -> list[int | tuple[int, int]]:
    """The numbers of quotes, and the bounds of gaps, in order."""
    shown: list[int | tuple[int, int]] = []
    for line in lines:
        if line.startswith(b"QUOTE:"):
            shown.append(json.loads(line[6:])["seq"])
        elif line.startswith(b"GAP:"):
            _, _, _, first, last = line.decode().strip().split(":")
            shown.append((int(first), int(last)))
    return shown


def assert_no_silent_hole(shown: list[int | tuple[int, int]], last: int) -> None:
    expected = 1
    for each in shown:
        first, end = each if isinstance(each, tuple) else (each, each)
        assert first == expected
        expected = end + 1
    assert expected == last + 1


async def read_all(client: LineClient) -> list[bytes]:
    """Everything until a second without anything."""
    lines: list[bytes] = []
    while True:
        with trio.move_on_after(1) as scope:
            line = await client.line()
        if scope.cancelled_caught or not line:
            return lines
        lines.append(line)


@pytest.mark.parametrize("overflow", ["conflate", "drop_oldest"])
async def test_a_slow_reader_is_told_what_it_missed_and_delays_nobody(overflow: Overflow, autojump_clock: MockClock) -> None:
    limits = policy(outbound=overflow, outbound_size=50, idle_timeout=600)
    async with world(policy=limits, send_buffer=4096, receive_buffer=4096) as net:
        slow, good = await net.lines("slow"), await net.lines("good")
        for client in (slow, good):
            assert await client.ask(b"SUBSCRIBE:BTCUSD:s1:0\n") == b"SUBSCRIBED:BTCUSD\n"
        net.host("slow").freeze()
        for number in range(1, 2001):
            net.source.quote()
            await trio.sleep(0.01)
            assert seqs([await good.line()]) == [number]
            if number > 1500:
                assert seqs([await slow.line()]) == [number], "who reads again gets everything again"
            if number == 1500:
                net.host("slow").thaw()
                shown = seqs(await read_all(slow))
                assert_no_silent_hole(shown, 1500)
                gaps = [each for each in shown if isinstance(each, tuple)]
                assert len(gaps) == 1
                after = shown[shown.index(gaps[0]) + 1 :]
                assert len(after) == (1 if overflow == "conflate" else 50)
        assert await good.is_alive()
        statistics = net.server.statistics()
        assert statistics.quotes == 2000
        assert statistics.delivered + statistics.skipped == 4000
        assert statistics.dropped_slow == 0


async def test_the_policy_close_ends_a_slow_reader(autojump_clock: MockClock) -> None:
    limits = policy(outbound="close", outbound_size=50, idle_timeout=600)
    async with world(policy=limits, send_buffer=4096, receive_buffer=4096) as net:
        slow, good = await net.lines("slow"), await net.lines("good")
        for client in (slow, good):
            assert await client.ask(b"SUBSCRIBE:BTCUSD:s1:0\n") == b"SUBSCRIBED:BTCUSD\n"
        net.host("slow").freeze()
        for number in range(1, 501):
            net.source.quote()
            await trio.sleep(0.01)
            assert seqs([await good.line()]) == [number]
        assert net.server.clients == 1
        statistics = net.server.statistics()
        assert (statistics.dropped_slow, statistics.skipped) == (1, 0)


@pytest.mark.parametrize("overflow", ["conflate", "drop_oldest", "close"])
async def test_a_long_replay_is_complete_however_slowly_it_is_read(overflow: Overflow, autojump_clock: MockClock) -> None:
    """Also with the smallest limits: a replay is paced by the reader, and never counted against it."""
    symbol = "S" * 64
    limits = policy(outbound=overflow, outbound_size=10, control_limit=4096, idle_timeout=600)
    async with world(symbol, policy=limits, send_buffer=2048, receive_buffer=2048) as net:
        net.source.quote(symbol, 1000)
        net.host("slow").slow_reader(50_000)
        slow = await net.lines("slow")
        assert (await slow.ask(f"SUBSCRIBE:{symbol}:s1:0\n".encode())).startswith(b"SUBSCRIBED:")
        assert seqs(await slow.lines(1000)) == list(range(1, 1001))
        net.source.quote(symbol, 3)
        assert seqs(await slow.lines(3)) == [1001, 1002, 1003]


@pytest.mark.parametrize("protocol", ["tcp", "ws"])
async def test_many_symbols_at_once_close_nobody(protocol: str, autojump_clock: MockClock) -> None:
    """A tick of 1000 symbols is more than the smallest output buffer."""
    symbols = [f"{'S' * 60}{number:04}" for number in range(1000)]
    limits = policy(control_limit=4096, idle_timeout=600, max_message_rate=10_000)
    async with world(*symbols, policy=limits, latency=0.01) as net:
        if protocol == "tcp":
            lines = await net.lines()
            for start in range(0, 1000, 50):
                await lines.send(b"".join(b"SUBSCRIBE:%b\n" % symbol.encode() for symbol in symbols[start : start + 50]))
                assert all(line.startswith(b"SUBSCRIBED:") for line in await lines.lines(50))
        else:
            client = await net.websocket()
            for start in range(0, 1000, 50):
                await client.send_op("subscribe", symbols=symbols[start : start + 50])
                assert all([(await client.op())["op"] == "subscribed" for _ in range(50)])
        for tick in range(1, 4):
            for symbol in symbols:
                net.source.quote(symbol)
            if protocol == "tcp":
                assert seqs(await lines.lines(1000)) == [tick] * 1000
            else:
                assert [(await client.op())["seq"] for _ in range(1000)] == [tick] * 1000


async def test_pongs_and_errors_unread_beyond_the_limit_close_the_client(autojump_clock: MockClock) -> None:
    limits = policy(control_limit=8192, idle_timeout=600, max_message_rate=100_000)
    async with world(policy=limits, send_buffer=2048, receive_buffer=200_000) as net:
        flooder, good = await net.lines("flooder"), await net.lines("good")
        net.host("flooder").slow_reader(1)
        try:
            for _ in range(200):
                await flooder.send(b"PING 0123456789\n" * 500)
                await trio.sleep(0.001)
        except trio.BrokenResourceError:
            pass
        await trio.sleep(1)
        assert net.server.clients == 1
        assert await good.is_alive()


async def test_subscriptions_are_limited(autojump_clock: MockClock) -> None:
    async with world("A", "B", "C", policy=policy(max_subscriptions=2)) as net:
        client = await net.lines()
        await client.send(b"SUBSCRIBE:A\nSUBSCRIBE:B\nSUBSCRIBE:C\nSUBSCRIBE:A\nUNSUBSCRIBE:A\nSUBSCRIBE:C\n")
        lines = await client.lines(6)
        assert lines[2].startswith(b"ERROR:too_many_subscriptions:")
        assert lines[:2] + lines[3:] == [
            b"SUBSCRIBED:A\n",
            b"SUBSCRIBED:B\n",
            b"SUBSCRIBED:A\n",
            b"UNSUBSCRIBED:A\n",
            b"SUBSCRIBED:C\n",
        ]


async def test_a_websocket_that_is_closing_takes_no_quotes_from_others(autojump_clock: MockClock) -> None:
    """Nothing can follow its Close, and quotes are encoded once for all: that nothing must not be shared."""
    async with world(policy=policy()) as net:
        clients = [await net.websocket(f"host{number}") for number in range(2)]
        for client in clients:
            await client.send_op("subscribe", symbols=["BTCUSD"])
            assert (await client.op())["op"] == "subscribed"
        silent, good = clients
        for _ in range(3):
            await trio.sleep(IDLE / 3 + 0.01)
            await good.send(PING)
            assert await good.frame() == (PONG, b"")
        assert await silent.close_code() == 1008
        net.source.quote(count=2)
        assert [(await good.op())["seq"] for _ in range(2)] == [1, 2]
