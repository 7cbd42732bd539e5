"""What a failed attempt to connect is to its user."""

from __future__ import annotations

import pytest
import trio

from heartbeat_trio.endpoint import Endpoint
from heartbeat_trio.exceptions import ConnectError
from heartbeat_trio.testing import VirtualNetwork
from heartbeat_trio.transports.connect import connect_transport


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
async def test_a_name_that_cannot_be_encoded_is_a_name_without_address(host: str, nursery: trio.Nursery) -> None:
    """An endpoint that was not parsed: a failed attempt, and no crash."""
    with pytest.raises(ConnectError, match="the host's name is impossible") as caught:
        await connect_transport(Endpoint(scheme="tcp", host=host, port=1), nursery, timeout=1.0)

    assert caught.value.cause == "dns"


async def test_a_broken_encoding_of_others_is_not_explained_away(nursery: trio.Nursery) -> None:
    """Once there is an address, a `UnicodeError` is a bug of somebody's, and stays one."""

    def on_raw(_message: bytes) -> None:
        raise UnicodeError("mine")

    net = VirtualNetwork()
    listener = net.listen("server", 1)

    async def greet() -> None:
        stream = await listener.accept()
        await stream.send_all(b"HELLO\n")

    nursery.start_soon(greet)
    with trio.fail_after(5), pytest.raises(UnicodeError, match="mine"):
        await connect_transport(
            Endpoint.parse("tcp://127.0.0.1:1"),
            nursery,
            timeout=1.0,
            connector=lambda _host, _port: net.connect("server", 1),
            token="secret",
            on_raw=on_raw,
        )
