"""What a WebSocket transport asks of the dialect that is spoken through it, and the dialect of our own servers.

Codecs know nothing of frames but their opcode: the transport carries what they make in text frames, and pings in control
frames where a codec has no ping of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from .messages import UNMATCHED, Message, Pong
from .ops import decode_binary, decode_text, decode_texts, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable


class MessageCodec(Protocol):
    """Text and binary messages to `Message`s and back. Bad input raises nothing: it is an `Invalid`."""

    @property
    def encoding(self) -> str:
        """Names what `encode` makes: two codecs with the same encoding make the same of every message."""

    def unpack(self, payload: bytes) -> bytes | Message:
        """The text in a binary message, or what that message is instead."""

    def decode_text(self, text: bytes) -> list[Message]:
        """Read one text message."""

    def decode_texts(self, texts: list[bytes]) -> list[Message]:
        """Read text messages that came together, as `decode_text` reads each."""

    def encode(self, message: Message) -> bytes:
        """Write one text message. Raises `LocalProtocolError` for what cannot be said."""

    def encode_ping(self, nonce: bytes) -> bytes | None:
        """A ping with our nonce as a text message; None: send a control frame."""


class OpsCodec:
    """The JSON operations (see `ops`); its pings are control frames.

    Args:
        role: Which side we are.
    """

    encoding = "ops"

    def __init__(self, role: Literal["client", "server"]) -> None:
        self._role: Literal["client", "server"] = role

    def unpack(self, payload: bytes) -> bytes | Message:  # noqa: ARG002 - whatever it holds
        """See `MessageCodec.unpack`: there are no binary messages."""
        [answer] = decode_binary(role=self._role)
        return answer

    def decode_text(self, text: bytes) -> list[Message]:
        """See `MessageCodec.decode_text`."""
        return [_not_our_pong(message) for message in decode_text(text, role=self._role)]

    def decode_texts(self, texts: list[bytes]) -> list[Message]:
        """See `MessageCodec.decode_texts`."""
        messages = decode_texts(texts, role=self._role)
        return [_not_our_pong(each) for each in messages] if Pong in set(map(type, messages)) else messages

    def encode(self, message: Message) -> bytes:
        """See `MessageCodec.encode`."""
        return encode_text(message)

    def encode_ping(self, nonce: bytes) -> bytes | None:  # noqa: ARG002 - the frame carries it
        """See `MessageCodec.encode_ping`."""
        return None


def decode_message(
    codec: MessageCodec, payload: bytes, *, is_text: bool, on_raw: Callable[[bytes], None] | None = None
) -> list[Message]:
    """Read one message of either kind; ``on_raw`` is called with its text, as it came or unpacked."""
    text = payload if is_text else codec.unpack(payload)
    if not isinstance(text, bytes):
        return [text]
    if on_raw is not None:
        on_raw(text)
    return codec.decode_text(text)


def decode_messages(
    codec: MessageCodec, payloads: list[bytes], *, on_raw: Callable[[bytes], None] | None = None
) -> list[Message]:
    """Read text messages that came together; ``on_raw`` is called with each."""
    if on_raw is not None:
        for payload in payloads:
            on_raw(payload)
    return codec.decode_texts(payloads)


def _not_our_pong(message: Message) -> Message:
    """Our pings are control frames: a pong among the operations answers none of them."""
    return Pong(UNMATCHED, message.token) if isinstance(message, Pong) else message
