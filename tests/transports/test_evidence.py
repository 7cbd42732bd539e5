"""A stream over our own socket: what `trio.SocketStream` does, and what a heartbeat needs besides."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import check_half_closeable_stream

from heartbeat_trio.transports.evidence import SocketListener, SocketStream, listen_tcp, open_socket_stream


async def make_pair() -> tuple[SocketStream, SocketStream]:
    [listener] = await listen_tcp("127.0.0.1", 0)
    async with listener:
        client = await open_socket_stream("127.0.0.1", listener.port)
        return client, await listener.accept()


@asynccontextmanager
async def open_pair() -> AsyncIterator[tuple[SocketStream, SocketStream]]:
    client, server = await make_pair()
    async with client, server:
        yield client, server


async def make_clogged_pair() -> tuple[SocketStream, SocketStream]:
    client, server = await make_pair()
    for _ in range(3):  # the kernel makes room a few times more, by growing its buffers
        while client.send_nowait(b"x" * 65536) or server.send_nowait(b"x" * 65536):
            pass
        await trio.sleep(0.01)
    return client, server


async def test_is_a_good_trio_stream() -> None:
    """Trio's own contract suite."""
    with trio.fail_after(30):
        await check_half_closeable_stream(make_pair, make_clogged_pair)


async def test_tells_who_waits_and_what_is_unread() -> None:
    """`is_waiting` only while blocked, `unread_bytes` what the kernel holds."""
    async with open_pair() as (client, server):
        seen = [client.is_waiting]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.receive_some)
            await trio.testing.wait_all_tasks_blocked()
            seen.append(client.is_waiting)
            await server.send_all(b"hello")
        assert [False, True, False] == [*seen, client.is_waiting]
        await server.send_all(b"12345")
        with trio.fail_after(5):
            while client.unread_bytes() != 5:
                await trio.sleep(0.001)
        assert await client.receive_some() == b"12345"
        assert client.unread_bytes() == 0


async def test_sends_without_waiting_until_it_is_full() -> None:
    """A full socket takes nothing, and takes again when the peer has read."""
    client, server = await make_clogged_pair()
    async with client, server:
        assert client.send_nowait(b"more") == 0
        assert client.send_nowait(b"") == 0
        with trio.fail_after(5), trio.CancelScope() as done:
            async with trio.open_nursery() as nursery:

                async def read() -> None:
                    while True:
                        await server.receive_some()

                nursery.start_soon(read)
                await client.wait_send_all_might_not_block()
                while not client.send_nowait(b"more"):
                    await trio.sleep(0.001)
                done.cancel()


async def test_tells_when_everything_was_handed_over() -> None:
    """The hook is called when the kernel has the last byte, not before."""
    client, server = await make_clogged_pair()
    told: list[bool] = []
    client.on_handed_over = lambda: told.append(True)
    async with client, server:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send_all, b"x" * 100_000)
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert not told
                while not told:
                    await server.receive_some()


async def test_reset_is_broken_with_its_cause() -> None:
    """What the network does is `BrokenResourceError`, and says why."""
    client, server = await make_pair()
    sock = socket.socket(fileno=server._socket.detach())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    async with client:
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError) as caught:
            await client.receive_some()
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        with pytest.raises(trio.BrokenResourceError):
            client.send_nowait(b"x")
            client.send_nowait(b"x")
        with pytest.raises(trio.BrokenResourceError):
            await client.send_eof()
    assert client.unread_bytes() == 0


async def test_second_user_of_a_direction_is_refused() -> None:
    """Two tasks in one direction would tear messages apart."""
    client, server = await make_pair()
    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, b"x" * 50_000_000)
        nursery.start_soon(client.receive_some)
        await trio.testing.wait_all_tasks_blocked(0.01)
        with pytest.raises(trio.BusyResourceError):
            await client.send_all(b"y")
        with pytest.raises(trio.BusyResourceError):
            await client.receive_some()
        nursery.cancel_scope.cancel()


async def test_listening_on_a_taken_port_names_it() -> None:
    """The message says where."""
    [listener] = await listen_tcp("127.0.0.1", 0)
    async with listener:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{listener.port}: "):
            await listen_tcp("127.0.0.1", listener.port)
        assert listener.address == f"127.0.0.1:{listener.port}"


async def test_port_zero_gives_one_port() -> None:
    """With several addresses there is one listener, as each would get a port of its own."""
    listeners = await listen_tcp(None, 0)
    assert len(listeners) == 1
    assert isinstance(listeners[0], SocketListener)
    await listeners[0].aclose()


async def test_ipv6_is_shown_in_brackets() -> None:
    """As in a URL."""
    try:
        [listener] = await listen_tcp("::1", 0)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    async with listener:
        assert listener.address == f"[::1]:{listener.port}"
        async with await open_socket_stream("::1", listener.port) as stream:
            assert stream.peer == f"[::1]:{listener.port}"
            assert repr(stream) == f"<SocketStream [::1]:{listener.port}>"


@pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets")
async def test_works_over_unix_sockets() -> None:
    """There is no Nagle to switch off, and no address to show."""
    left, right = socket.socketpair()
    async with SocketStream(left) as ours, SocketStream(right) as theirs:
        await ours.send_all(b"x")
        assert await theirs.receive_some() == b"x"
        assert ours.peer == "a local socket"


async def test_a_timeout_beyond_what_the_kernel_takes_is_its_longest() -> None:
    """Its option is an `int` of milliseconds: 24.8 days."""
    async with open_pair() as (client, _):
        client.set_user_timeout(1e9)
        if sys.platform == "linux":
            assert 2**31 - 1 == client._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
