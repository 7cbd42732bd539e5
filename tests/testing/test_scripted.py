"""The scripted peers: what they answer, how they misbehave, what they remember."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
import trustme
from trio.testing import MockClock

from heartbeat_trio.testing import PeerConnection, ScriptedPeer, TutorialPeer, VirtualNetwork


@asynccontextmanager
async def scripted(**options: Any) -> AsyncIterator[tuple[ScriptedPeer, trio.abc.Stream, VirtualNetwork]]:
    """A scripted peer, a client that is connected to it, and their network with 50 ms one way."""
    net = VirtualNetwork(latency=0.05)
    peer = ScriptedPeer(net.listen("server", 8080), **options)
    async with trio.open_nursery() as nursery:
        assert peer is await nursery.start(peer.run)
        async with await net.connect("server", 8080) as client:
            yield peer, client, net
        nursery.cancel_scope.cancel()
    assert not net.open_streams


async def ask(client: trio.abc.Stream, data: bytes, *, within: float = 0.15) -> bytes:
    """Send, and collect everything that comes back for so many seconds."""
    await client.send_all(data)
    answer = b""
    with trio.move_on_after(within):
        while more := await client.receive_some():
            answer += more
    return answer


async def read_some(client: trio.abc.Stream) -> bytes:
    return bytes(await client.receive_some())


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"PING\n", b"PONG\n"),
        (b"PING x7\r\nPING\n", b"PONG x7\nPONG\n"),
        (b"SUBSCRIBE:BTCUSD\n", b"SUBSCRIBED:BTCUSD\n"),
        (b"SUBSCRIBE:BTCUSD:s1:41\n", b"SUBSCRIBED:BTCUSD\n"),
        (b"UNSUBSCRIBE:BTCUSD\n", b"UNSUBSCRIBED:BTCUSD\n"),
        (b"HELLO\nPINGS\nPI", b""),
    ],
)
async def test_the_default_answers(autojump_clock: MockClock, sent: bytes, answer: bytes) -> None:
    """It talks the line protocol as far as a heartbeat needs it."""
    async with scripted() as (_, client, _net):
        assert answer == await ask(client, sent)


async def test_it_remembers_what_came(autojump_clock: MockClock) -> None:
    """Lines with their times and connections; how many connections were ever made, and how many live."""
    async with scripted() as (peer, client, net):
        start = trio.current_time()
        await ask(client, b"PING 1\nEH", within=1)
        async with await net.connect("server", 8080) as second:
            await ask(second, b"PING 2\n")
            assert (2, 2) == (peer.connections, peer.accepted)
        await ask(client, b"LO\n")

        assert ["PING 1", "PING 2", "EHLO"] == peer.lines
        assert [1, 2, 1] == [line.connection for line in peer.received]
        assert pytest.approx(0.05) == peer.received[0].time - start
        assert "<ScriptedPeer, 1 of 2 connections live>" == repr(peer)
        assert "(<PeerConnection 1>,)" == repr(peer.live)


async def test_a_table_or_a_function_decides_first(autojump_clock: MockClock) -> None:
    """Text is a line, bytes are sent as they are, "" is silence; for all else the default answer stands."""
    async with scripted(on_line={"PING": "PONG?", "RAW": b"no end", "PING 1": ""}) as (_, client, _net):
        assert b"PONG?\nno endPONG 2\n" == await ask(client, b"PING\nPING 1\nRAW\nPING 2\n")
    async with scripted(on_line=lambda line: line.lower() if "X" in line else None) as (_, client, _net):
        assert b"ping x\nPONG\n" == await ask(client, b"PING X\nPING\n")


async def test_pongs_can_be_withheld_delayed_and_repeated(autojump_clock: MockClock) -> None:
    """Each control works at any moment; delayed pongs do not hold up anything else."""
    async with scripted() as (peer, client, _net):
        peer.answer_pings = False
        assert b"" == await ask(client, b"PING 1\n", within=100)
        peer.answer_pings = True
        peer.duplicate_pongs = 2
        assert b"PONG 2\nPONG 2\nPONG 2\n" == await ask(client, b"PING 2\n")
        peer.duplicate_pongs = 0
        peer.pong_delay = 4
        start = trio.current_time()
        await client.send_all(b"PING 3\nSUBSCRIBE:A\n")
        assert b"SUBSCRIBED:A\n" == await client.receive_some()
        assert b"PONG 3\n" == await client.receive_some()
        assert pytest.approx(4.1) == trio.current_time() - start


async def test_quotes_are_numbered_and_go_to_subscribers(autojump_clock: MockClock) -> None:
    """Per symbol from 1, with the stream's id; a number can be forced, and a new stream begins again."""
    async with scripted() as (peer, client, net), await net.connect("server", 8080) as bystander:
        await ask(client, b"SUBSCRIBE:A\nSUBSCRIBE:B\nUNSUBSCRIBE:B\n")
        start = round(trio.current_time() * 1_000_000)
        assert 1 == await peer.send_quote("A", 1.5, 2)
        assert 1 == await peer.send_quote("B", 1, 2)
        assert 7 == await peer.send_quote("A", 1, 2, seq=7)
        assert 8 == await peer.send_quote("A", 1, 2)
        peer.new_stream("second")
        assert 1 == await peer.send_quote("A", 1, 2)
        lines = (await read_some(client)).splitlines()
        assert b"" == await ask(bystander, b"")

    assert b'QUOTE:{"symbol":"A","bid":1.5,"ask":2,"seq":1,"stream":"scripted","ts":%d}' % start == lines[0]
    assert [(b'"seq":7', b"scripted"), (b'"seq":8', b"scripted"), (b'"seq":1', b"second")] == [
        (line.split(b",")[3], line.split(b'"')[-4]) for line in lines[1:]
    ]


async def test_bytes_can_be_sent_to_one_or_to_all(autojump_clock: MockClock) -> None:
    """Exactly as they are, for whatever a test wants the client to see."""
    async with scripted() as (peer, client, net), await net.connect("server", 8080) as second:
        await trio.sleep(0.1)
        await peer.send(b"all ")
        await peer.send(b"one", peer.live[1])
        await trio.sleep(0.1)
        assert (b"all ", b"all one") == (await read_some(client), await read_some(second))


async def test_connections_can_be_closed_and_reset(autojump_clock: MockClock) -> None:
    """The client reads the end, or gets an error; the peer goes on accepting, and sending to nobody is no error."""
    async with scripted() as (peer, client, net):
        await trio.sleep(0.1)
        gone = peer.live[0]
        await peer.close_all()
        assert b"" == await read_some(client)
        assert 0 == peer.connections
        await peer.send(b"nobody hears", gone)
        async with await net.connect("server", 8080) as second:
            await trio.sleep(0.1)
            await peer.reset_all()
            with pytest.raises(trio.BrokenResourceError):
                await read_some(second)
        async with await net.connect("server", 8080) as third:
            assert b"PONG\n" == await ask(third, b"PING\n")


async def test_it_works_on_real_sockets_and_over_tls() -> None:
    """Any Trio listener will do; a reset reaches the client there too."""
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    with trio.fail_after(5):
        [tcp] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        [secure] = await trio.open_ssl_over_tcp_listeners(0, server_context, host="127.0.0.1")
        await check_reset(ScriptedPeer(tcp), tcp, None)
        await check_reset(ScriptedPeer(secure), secure.transport_listener, client_context)


async def check_reset(peer: ScriptedPeer, listener: trio.abc.Listener[Any], context: ssl.SSLContext | None) -> None:
    assert isinstance(listener, trio.SocketListener)
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        client: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        if context is not None:
            client = trio.SSLStream(client, context, server_hostname="localhost")
        await client.send_all(b"PING 1\n")
        assert b"PONG 1\n" == await client.receive_some()
        await peer.reset_all()
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        await trio.aclose_forcefully(client)
        nursery.cancel_scope.cancel()


async def test_a_strangers_stream_is_closed_instead_of_reset() -> None:
    """Where no reset can be sent, the client reads the end."""
    ours, theirs = trio.testing.memory_stream_pair()

    await PeerConnection(1, theirs).reset()

    assert b"" == await ours.receive_some()


@asynccontextmanager
async def tutorial() -> AsyncIterator[tuple[TutorialPeer, trio.abc.Stream]]:
    net = VirtualNetwork()
    peer = TutorialPeer(net.listen("server", 8080))
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        async with await net.connect("server", 8080) as client:
            yield peer, client
        nursery.cancel_scope.cancel()
    assert not net.open_streams


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"PING\n", b"PONG\n"),
        (b"PING", b"PONG\n"),
        (b"PING\r\n", b"PONG\n"),
        (b"  PING  ", b"PONG\n"),
        ("\xa0PING\u2003".encode(), b"PONG\n"),
        (b"\xa0PING\n", b""),
        (b"\x1cPING\n", b""),
        (b"ping\n", b""),
        (b"PING 1\n", b""),
        (b"PING\0\n", b""),
        (b"PONG\n", b""),
        (b"HELLO\n", b""),
        (b"PING\nPING\n", b""),
        (b"PING\nSUBSCRIBE:BTC\n", b""),
        (b"SUBSCRIBE:BTC\n", b"SUBSCRIBED:BTC\n"),
        (b"SUBSCRIBE:BTC\nPING\n", b"SUBSCRIBED:BTC\nPING\n"),
        (b"SUBSCRIBE:\n", b"SUBSCRIBED:\n"),
        (b"SUBSCRIBE: BTC \n", b"SUBSCRIBED: BTC\n"),
        (b" SUBSCRIBE:BTC\n", b""),
        (b"SUBSCRIBE:A\nSUBSCRIBE:B\n", b"SUBSCRIBED:A\nSUBSCRIBE:B\n"),
        (b"SUBSCRIBE:" + b"X" * 1500, b"SUBSCRIBED:" + b"X" * 1014 + b"\n"),
        (b"SUBSCRIBE:\xff\xfe\n", "SUBSCRIBED:\ufffd\ufffd\n".encode()),
    ],
)
async def test_the_tutorials_server_in_one_write(autojump_clock: MockClock, sent: bytes, answer: bytes) -> None:
    """What the original program answered to each of these, sent in one write."""
    async with tutorial() as (_, client):
        assert answer == await ask(client, sent)


async def test_the_tutorials_server_takes_each_read_for_a_message(autojump_clock: MockClock) -> None:
    """Two pings 60 ms apart are both answered; one ping in two parts is not."""
    async with tutorial() as (peer, client):
        assert b"PONG\n" == await ask(client, b"PING\n", within=0.06)
        assert b"PONG\n" == await ask(client, b"PING\n", within=0.06)
        assert b"" == await ask(client, b"PI", within=0.06)
        assert b"" == await ask(client, b"NG\n", within=0.06)
        assert ["PING\n", "PING\n", "PI", "NG\n"] == [message.line for message in peer.received]


async def test_the_tutorials_server_survives_a_reset(autojump_clock: MockClock) -> None:
    """A client that vanishes ends its own connection only."""
    net = VirtualNetwork()
    peer = TutorialPeer(net.listen("server", 8080))
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        for _ in range(2):
            async with await net.connect("server", 8080) as client:
                assert b"PONG\n" == await ask(client, b"PING\n")
                net.host("server").reset_all()
                await trio.sleep(1)
        nursery.cancel_scope.cancel()
