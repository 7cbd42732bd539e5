"""The line protocol over a stream: TCP, TLS, or a virtual network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import trio

from ..exceptions import ConnectionLost
from ..protocol.line import LineDecoder, encode_line
from ..protocol.messages import Invalid, Message, Ping
from .over_stream import OUTPUT_LIMIT, StreamTransport

if TYPE_CHECKING:
    from collections.abc import Callable

TUTORIAL_SPACING = 0.1
"""Seconds between two writes to a server that takes one read for one message."""


class LineTransport(StreamTransport):
    """Messages as lines.

    Args:
        stream: See `StreamTransport`.
        nursery: See `StreamTransport`.
        role: Which side we are.
        limit: See `StreamTransport`.
        bare_pings: The peer knows only `PING` without a nonce, one message per read (the tutorial's server).
        on_raw: Called with every line as it came, for recordings.
    """

    encoding = "line"

    def __init__(
        self,
        stream: trio.abc.Stream,
        nursery: trio.Nursery,
        *,
        role: Literal["client", "server"],
        limit: int = OUTPUT_LIMIT,
        bare_pings: bool = False,
        on_raw: Callable[[bytes], None] | None = None,
    ) -> None:
        super().__init__(stream, nursery, limit=limit, spacing=TUTORIAL_SPACING if bare_pings else 0.0)
        self._decoder = LineDecoder(role=role)
        self._role = role
        self._bare_pings = bare_pings
        self._on_raw = on_raw
        self._raw_rest = b""

    async def receive(self) -> list[Message]:
        """See `Transport.receive`. A line that ends the connection comes as `Invalid`, and the next call raises."""
        while True:
            if self._decoder.is_failed and self._role == "server":
                await self._let_read()  # what was wrong
            data = await self._read()
            if not data:
                raise self._closed_by_peer()
            self._record(data)
            messages = self._decoder.receive_data(data)
            if self._decoder.is_failed:
                last = messages[-1]
                text = f"{self.peer} sent what is no line of text: {last.detail if isinstance(last, Invalid) else last}"
                self._ending = ConnectionLost(text, cause="protocol_error")
            if b"PONG" in data:
                self._stamp_pongs(messages, len(data), has_rest=self._decoder.has_partial_data)
            if messages or self._decoder.has_partial_data:
                self._note_goodbye(messages)
                return messages

    def _record(self, data: bytes) -> None:
        if self._on_raw is not None:
            *lines, self._raw_rest = (self._raw_rest + data).split(b"\n")
            for line in lines:
                self._on_raw(line)

    def encode(self, message: Message) -> bytes:
        """See `Transport.encode`."""
        return encode_line(message)

    def put_close(self, code: int, reason: str) -> None:
        """See `Transport.put_close`. Lines know no such thing."""

    async def aclose(self, *, code: int = 1000, reason: str = "") -> None:  # noqa: ARG002 - lines know no close code
        """See `Transport.aclose`."""
        try:
            await self._output.wait_idle()
            self._output.fail()
            if not self._is_receiving:
                await self._let_read()
            await self._stream.aclose()
        finally:
            await trio.aclose_forcefully(self._stream)

    def _encode_ping(self, nonce: bytes) -> bytes:
        return encode_line(Ping(b"" if self._bare_pings else nonce))


async def accept_tcp(stream: trio.abc.Stream, nursery: trio.Nursery, *, control_limit: int) -> LineTransport:
    """Serve the line protocol on an accepted stream."""
    await trio.lowlevel.checkpoint()
    return LineTransport(stream, nursery, role="server", limit=control_limit)
