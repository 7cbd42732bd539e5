"""A handler per connection: what counts as the connection's end, what ends it all, and how long is waited."""

from __future__ import annotations

from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import BackoffPolicy, RestartPolicy
from heartbeat_trio.connection import Connection
from heartbeat_trio.events import Connected, Connecting, EndedForGood, Event, Lost, RetryScheduled
from heartbeat_trio.exceptions import ConfigError, ConnectionLost, GaveUp
from heartbeat_trio.protocol.messages import Subscribe
from heartbeat_trio.supervisor import run_session
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork


async def idle(_connection: Connection) -> None:
    await trio.sleep_forever()


async def start_peer(net: VirtualNetwork, nursery: trio.Nursery) -> ScriptedPeer:
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    return peer


async def test_handler_is_called_once_per_connection(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Cancelled at the loss, called anew with the next connection; when it returns, that is the end."""
    net = VirtualNetwork(latency=0.01)
    peer = await start_peer(net, nursery)
    seen: list[Connection] = []
    events: list[Event] = []

    async def handler(connection: Connection) -> None:
        seen.append(connection)
        await trio.sleep(1)
        if len(seen) == 3:
            return
        await peer.reset_all()
        await trio.sleep_forever()

    await run_session("tcp://server:1", handler, connector=net.connect, rng=Random(1), on_event=events.append)

    assert len(set(map(id, seen))) == 3
    assert peer.accepted == 3
    kinds = [type(event) for event in events if isinstance(event, Connecting | Connected | Lost | RetryScheduled)]
    assert kinds == [*[Connecting, Connected, Lost, RetryScheduled] * 2, Connecting, Connected]
    assert {event.cause for event in events if isinstance(event, Lost)} == {"reset"}
    assert all(event.evidence is not None for event in events if isinstance(event, Lost))


async def test_the_connections_own_end_out_of_the_handler_is_the_end(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Raised by a send in a nursery of the handler's, even as a group: it is the loss, and is retried."""
    net = VirtualNetwork(latency=0.01)
    peer = await start_peer(net, nursery)
    calls = 0

    async def handler(connection: Connection) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            return

        async def send_for_ever() -> None:
            while True:
                await connection.send(Subscribe("A" * 64))
                await trio.sleep(0.001)

        async with trio.open_nursery() as inner:
            inner.start_soon(send_for_ever)
            inner.start_soon(send_for_ever)
            await trio.sleep(0.5)
            await peer.reset_all()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await send_for_ever()

    await run_session("tcp://server:1", handler, connector=net.connect, rng=Random(1))

    assert calls == 2


async def test_any_other_exception_comes_out_unchanged(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Bare, the very same object; also a loss that is somebody else's, and a group of mixed ones."""
    net = VirtualNetwork()
    await start_peer(net, nursery)
    for error in (KeyError("mine"), ConnectionLost("not yours", cause="reset"), ExceptionGroup("mixed", [KeyError("a")])):

        async def handler(_connection: Connection, error: Exception = error) -> None:
            await trio.lowlevel.checkpoint()
            raise error

        with pytest.raises(type(error)) as caught:
            await run_session("tcp://server:1", handler, connector=net.connect)
        assert error is caught.value


async def test_gives_up_with_the_whole_history(autojump_clock: MockClock) -> None:
    """Every attempt, its time and its cause, in the exception and in the event."""
    net = VirtualNetwork(latency=0.01)
    net.host("server").refuse()
    events: list[Event] = []
    policy = BackoffPolicy(initial=1, jitter="none")
    start = trio.current_time()

    with pytest.raises(GaveUp, match=r"#1 connect_refused.*#4 connect_refused") as caught:
        await run_session(
            "tcp://server:1",
            idle,
            connector=net.connect,
            backoff=policy,
            restart=RestartPolicy(max_attempts=4),
            on_event=events.append,
        )

    assert [0, 1, 3, 7] == [round(each.started - start) for each in caught.value.history]
    assert isinstance(events[-1], EndedForGood)
    assert events[-1].attempts == caught.value.history
    assert [1, 2, 4] == [event.delay for event in events if isinstance(event, RetryScheduled)]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("refuse", "connect_refused"), ("blackhole", "connect_timeout"), ("unknown", "dns"), ("closing", "handshake")],
)
async def test_causes_of_failed_attempts(fault: str, cause: str, autojump_clock: MockClock) -> None:
    """What went wrong is told by name."""
    net = VirtualNetwork(latency=0.01)
    host, url = net.host("server"), "ws://server:1/"
    listener = net.listen("server", 1)
    if fault == "refuse":
        host.refuse()
    elif fault == "blackhole":
        host.blackhole()
    elif fault == "unknown":
        url = "ws://elsewhere:1/"
    else:
        host.accept_then_close()

    with pytest.raises(GaveUp) as caught:
        await run_session(url, idle, connector=net.connect, restart=RestartPolicy(max_attempts=2))

    assert [cause, cause] == [attempt.cause for attempt in caught.value.history]
    await listener.aclose()
    assert not net.open_streams


async def test_a_token_does_not_leave_in_the_clear() -> None:
    """Only over TLS, or to this machine."""
    with pytest.raises(ConfigError, match="use wss://"):
        await run_session("ws://example.org/", idle, token="secret")


async def test_accept_then_close_is_paced(autojump_clock: MockClock) -> None:
    """At most 10 connects in the first minute, and the waits are told with their real length."""
    net = VirtualNetwork(latency=0.001)
    net.listen("server", 1)
    net.host("server").accept_then_close()
    connected: list[float] = []
    start = trio.current_time()

    def note(event: Event) -> None:
        if isinstance(event, Connected):
            connected.append(event.at - start)

    with trio.move_on_after(300):
        await run_session(
            "tcp://server:1",
            idle,
            connector=net.connect,
            backoff=BackoffPolicy(initial=0.01, maximum=0.02),
            on_event=note,
        )

    assert sum(when < 60 for when in connected) <= 10
    for begin in connected:
        assert sum(begin <= when < begin + 60 for when in connected) <= 10
