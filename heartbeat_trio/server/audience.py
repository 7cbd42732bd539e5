"""Who is sent what is published: a group of clients that are in step, or one client that is not.

Clients with the same symbols and the same encoding that have been sent everything are a `Group`: it writes the same bytes
to each of them, and keeps no account of any. Who cannot take them (its socket is full, it is closing), or subscribes to
something else, goes on as a `Single`, with cursors of its own (`Outbound`), until it is in step again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .outbound import BURST

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .feed import Entry

    Send = Callable[[bytes], int]

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
        """Whether the client has been in step for long enough to join a group."""
        return self._calm > 0 and self._calm >= len(self.client.outbound)


class Group:
    """Clients that have all been sent the same, and are sent the next quotes together.

    Args:
        encoding: Of all of their transports.
        symbols: What all of them are subscribed to.
        part: Called with a client that could not take its quotes; it calls `remove`.
    """

    __slots__ = (
        "_clients", "_data", "_next", "_part", "_sending", "_sends", "delivered", "encoding", "fresh", "is_due", "symbols"
    )  # fmt: skip

    def __init__(self, encoding: str, symbols: frozenset[str], part: Callable[[Client], None]) -> None:
        self.encoding = encoding
        self.symbols = symbols
        self.fresh: list[Entry] = []
        self.is_due = False
        self.delivered = 0
        """Quotes that were sent through this group."""
        self._part = part
        self._clients: list[Client] = []
        self._sends: list[Send] = []  # beside the clients, as the loop over them is all that a delivery costs
        self._next = 0
        self._sending: list[Entry] = []
        self._data = b""

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, client: Client, send: Send) -> None:
        """Take in a client, while nothing is due."""
        self._clients.append(client)
        self._sends.append(send)
        self._next = len(self._clients)

    def remove(self, client: Client) -> list[Entry]:
        """Take a client out; the quotes that it was not sent yet."""
        index = self._clients.index(client)
        del self._clients[index], self._sends[index]
        if index >= self._next:
            return self._sending + self.fresh
        self._next -= 1
        return list(self.fresh)

    def serve(self) -> bool:
        """Send the quotes to the next few clients; True if every client has all of them."""
        if self._next == len(self._clients):
            self._begin()
        begin, end = self._next, min(self._next + TURN, len(self._clients))
        odd = self._send(begin, end)
        full = [client for client, sent in odd if not sent]
        for client in full:
            self._part(client)  # it still counts as one that was not sent them
        self._next = end - len(full)
        self.delivered += (self._next - begin) * len(self._sending)
        for client, sent in odd:
            if sent:
                client.transport.put(self._data[sent:])  # what of it does not go either parts it from us
        return self._next == len(self._clients) and not self.fresh

    def _send(self, begin: int, end: int) -> list[tuple[Client, int]]:
        """Write the same bytes to each of some clients; who did not take all of them, and how many it took."""
        data, size = self._data, len(self._data)
        odd = []
        for index, send in enumerate(self._sends[begin:end], begin):
            try:
                sent = send(data)
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                sent = 0  # full, or broken, which the client's own way out meets as well
            if sent != size:
                odd.append((self._clients[index], sent))
        return odd

    def _begin(self) -> None:
        """Take what is fresh, all in one piece. More than a burst is for each client's own policy to decide."""
        if not self.fresh:
            return
        self._sending, self.fresh = self.fresh, []
        self._next = 0
        if len(self._sending) > BURST:
            for client in list(self._clients):
                self._part(client)
        self._data = b"".join(map(self._encode, self._sending))

    def _encode(self, entry: Entry) -> bytes:
        """By any client that is not closing: who is encodes to nothing."""
        for client in self._clients:
            data = entry.encoded(self.encoding, client.transport.encode)
            if data:
                return data
        return b""


Audience = Single | Group
