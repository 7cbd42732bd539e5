"""A message on its way out, which can be taken back until it has begun to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .transports.abc import Outgoing, Transport


class Posting:
    """A message on its way out, as `Connection.post` gives it."""

    def __init__(self, transport: Transport, outgoing: Outgoing) -> None:
        self._transport = transport
        self._outgoing = outgoing

    @property
    def has_begun(self) -> bool:
        """Whether any byte of it may have left."""
        return self._outgoing.has_begun

    def withdraw(self) -> bool:
        """Take it back; False if it is too late, else no byte of it has left nor will."""
        return self._transport.withdraw(self._outgoing)
