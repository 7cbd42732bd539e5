"""Who is sent what is published: a group of clients that are in step, or one client that is not.

Clients with the same symbols and the same encoding that have been sent everything are a `Group`: it writes the same bytes to
each of them, and keeps no account of any. Who cannot take them (its socket is full, it is closing) or subscribes to something
else goes on as a `Single`, with cursors of its own (`Outbound`), until it is in step again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .outbound import BURST

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .feed import Entry

    PutNow = Callable[[bytes], bool]

TURN = 32
"""Clients that are served between two looks at the clock."""

CALM = 16
"""Symbols for which a client must have been in step once more before it joins a group: moving costs a little for each."""


class Single:
    """One client that is served on its own.

    Args:
        client: The client.
        fresh: Quotes that it was not offered yet.
    """

    __slots__ = ("_calm", "client", "fresh", "is_due")

    def __init__(self, client: Client, fresh: list[Entry]) -> None:
        self.client = client
        self.fresh = fresh
        self.is_due = False
        self._calm = 0

    def serve(self) -> bool:
        """Offer what is fresh, and send what can be sent; True, as this is all at once."""
        entries, self.fresh = self.fresh, []
        for entry in entries:
            self.client.offer(entry)
        self.client.flush()
        self._calm = self._calm + CALM if self.client.is_in_step else 0
        return True

    @property
    def is_calm(self) -> bool:
        """Whether the client can be in a group."""
        return self._calm > 0 and self._calm >= len(self.client.outbound) and self.client.transport.put_now is not None


class Group:
    """Clients that have all been sent the same, and are sent the next quotes together.

    Args:
        encoding: Of all of their transports.
        symbols: What all of them are subscribed to.
        part: Called with a client that could not take its quotes; it calls `remove`.
    """

    __slots__ = ("_data", "_part", "_sending", "_unserved", "delivered", "encoding", "fresh", "is_due", "members", "symbols")

    def __init__(self, encoding: str, symbols: frozenset[str], part: Callable[[Client], None]) -> None:
        self.encoding = encoding
        self.symbols = symbols
        self.members: dict[Client, PutNow] = {}
        self.fresh: list[Entry] = []
        self.is_due = False
        self.delivered = 0
        """Quotes that were sent through this group."""
        self._part = part
        self._sending: list[Entry] = []
        self._data = b""
        self._unserved: list[tuple[Client, PutNow]] = []

    def serve(self) -> bool:
        """Send the quotes to the next few members; True if every member has all of them."""
        if not self._unserved:
            self._begin()
        turn = self._unserved[-TURN:]
        data, refused = self._data, []
        for client, put_now in turn:
            if not put_now(data):
                refused.append(client)
        for client in refused:
            self._part(client)  # while it still counts as unserved
        del self._unserved[len(self._unserved) - len(turn) + len(refused) :]
        self.delivered += (len(turn) - len(refused)) * len(self._sending)
        return not self._unserved and not self.fresh

    def remove(self, client: Client) -> list[Entry]:
        """Take a member out; the quotes that it was not sent yet."""
        member = (client, self.members.pop(client))
        if member not in self._unserved:
            return list(self.fresh)
        self._unserved.remove(member)
        return self._sending + self.fresh

    def _begin(self) -> None:
        """Take what is fresh, all in one piece. More than a burst is for each client's own policy to decide."""
        self._sending, self.fresh = self.fresh, []
        self._unserved = list(self.members.items())[::-1]
        if len(self._sending) > BURST:
            for client in list(self.members):
                self._part(client)
        self._data = b"".join(map(self._encode, self._sending))

    def _encode(self, entry: Entry) -> bytes:
        """By any member that is not closing: who is encodes to nothing."""
        for client in self.members:
            data = entry.encoded(self.encoding, client.transport.encode)
            if data:
                return data
        return b""


Audience = Single | Group
