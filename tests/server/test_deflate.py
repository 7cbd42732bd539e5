"""The quote server with permessage-deflate: who asks for it gets it, and nobody gets a frame that was made for another."""

from __future__ import annotations

import json
import zlib

import trio

from heartbeat_trio import ServerPolicy, open_session
from heartbeat_trio.events import Quote, Subscribed
from tests.support.raw_clients import ManualSource, RawWebSocket, open_stream, open_websocket, request, running

OFFER = "Sec-WebSocket-Extensions: permessage-deflate"


class DeflateClient(RawWebSocket):
    """Reads frames, and keeps their raw first bytes and sizes."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self.answer = b""
        self.inflater = zlib.decompressobj(wbits=-15)

    async def shake_hands(self, offer: str) -> None:
        await self.stream.send_all(request(offer))
        while b"\r\n\r\n" not in self._rest:
            self._rest += await self.stream.receive_some(65536)
        self.answer, _, self._rest = self._rest.partition(b"\r\n\r\n")

    async def text(self) -> tuple[bool, bytes]:
        """Whether the next message was compressed, and the message."""
        first = await self._take(1)
        self._rest = first + self._rest
        payload = (await self.frame())[1]
        if not first[0] & 0x40:
            return False, payload
        return True, self.inflater.decompress(payload + b"\x00\x00\xff\xff")


async def open_deflated(server: object, offer: str) -> DeflateClient:
    client = DeflateClient(await open_stream(server, "ws"))  # type: ignore[arg-type]
    await client.shake_hands(offer)
    return client


async def test_plain_and_compressed_clients_of_one_symbol() -> None:
    """Each gets the same quotes, in frames of its own kind; resumed ones as well, though they were compressed before."""
    source = ManualSource()
    async with running(source, policy=ServerPolicy(deflate=True)) as server:
        plain = await open_websocket(server)
        wide, narrow = await open_deflated(server, OFFER), await open_deflated(server, OFFER + "; server_max_window_bits=9")
        assert b"server_max_window_bits=9" in narrow.answer
        for client in (plain, wide, narrow):
            await client.send_op("subscribe", symbols=["BTCUSD"])
        assert {"op": "subscribed", "symbol": "BTCUSD"} == await plain.op()
        for deflated in (wide, narrow):
            assert (False, b'{"op":"subscribed","symbol":"BTCUSD"}') == await deflated.text()
        source.quote(count=2)
        for seq in (1, 2):
            quote = await plain.op()
            assert seq == quote["seq"]
            for deflated in (wide, narrow):
                was_compressed, text = await deflated.text()
                assert was_compressed
                assert quote == json.loads(text)
        await wide.send_op("unsubscribe", symbols=["BTCUSD"])
        await wide.send_op("subscribe", symbols=["BTCUSD"], resume={"BTCUSD": {"stream": "s1", "seq": 0}})
        texts = [(await wide.text())[1] for _ in range(4)]
        assert ["unsubscribed", "subscribed", 1, 2] == [
            message.get("op") or message["seq"] for message in map(json.loads, texts)
        ]


async def test_by_default_nobody_gets_it() -> None:
    """The offer is not answered, and the quotes go as they are."""
    async with running() as server:
        client = await open_deflated(server, OFFER)
        await client.send_op("subscribe", symbols=["BTCUSD"])

        assert b"extensions" not in client.answer.lower()
        assert (False, b'{"op":"subscribed","symbol":"BTCUSD"}') == await client.text()


async def test_our_client_and_our_server() -> None:
    """Asked for in the endpoint, and taken by the policy."""
    source = ManualSource()
    async with (
        running(source, policy=ServerPolicy(deflate=True)) as server,
        open_session(f"{server.addresses['ws']}#deflate=on", subscribe=["BTCUSD"]) as session,
        session.events() as events,
    ):
        async for event in events:
            if isinstance(event, Subscribed):
                break
        source.quote(count=3)
        quotes: list[Quote] = []
        while len(quotes) < 3:
            quotes += await session.receive_batch()

    assert [1, 2, 3] == [quote.seq for quote in quotes]
