"""Whose word counts for an order: that of the server that got it, and of those that are known to have the same book."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..orders import OrderQuery

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..orders import Line, OrderAck

BOOK_QUESTION = OrderQuery("-which-book-", age=1e9)
"""A question to which every answer tells the server's book: of so old an order a server says, and records, nothing."""

MIXED = "?"
"""Stands for a book where a server told two of them on one line: no book's id is like it."""


class Home:
    """The line on which an order left or is to leave, and the book of the server at its end, as far as is known."""

    __slots__ = ("_earlier", "book", "line")

    def __init__(self, line: Line, book: str, earlier: str) -> None:
        self.line = line
        self.book = book
        self._earlier = earlier  # what that endpoint told last on earlier lines

    def learn(self, line: Line, book: str, *, is_first: bool) -> None:
        """A book was told on a line: it is that of all that left on it, unless another one was told there too.

        Where nothing was told on a line, it was the book that was told both before and after.
        """
        if line == self.line:
            self.book = MIXED if self.book not in ("", book) else book
        elif is_first and not self.book and book == self._earlier and line.endpoint == self.line.endpoint:
            self.book = book

    def believes(self, ack: OrderAck, line: Line, *, is_ambiguous: bool) -> bool:
        """Whether an answer says anything about the order.

        The same address may be another server by now, or one whose file was replaced: where books are known, they decide.
        """
        if line == self.line and not (is_ambiguous and ack.book):
            return True  # the answer to the order itself
        is_own = line.endpoint == self.line.endpoint
        if self.book:
            return self.book == ack.book and (is_own or ack.is_authoritative)
        return is_own and (not ack.book or ack.state != "rejected")  # no book says "acknowledged" of what never came

    def doubt(self, ack: OrderAck) -> str:
        """Why an answer is not believed."""
        if ack.book and self.book:
            return f"has another order book than {self.line.endpoint} had"
        return f"is not known to have the order book that {self.line.endpoint} had"


class KnownBooks:
    """The books that servers told."""

    def __init__(self) -> None:
        self._on: dict[Line, str] = {}
        self._last: dict[str, str] = {}

    def home(self, line: Line) -> Home:
        """What is known for an order that is to leave on a line."""
        return Home(line, self._on.get(line, ""), self._last.get(line.endpoint, ""))

    def learn(self, line: Line, book: str, homes: Iterable[Home]) -> None:
        """A server told a book; "": it did not. `homes` are those of the orders that are not settled."""
        known = self._on.get(line, "")
        if book in ("", known) or known == MIXED:
            return
        self._on[line], self._last[line.endpoint] = MIXED if known else book, book
        for home in homes:
            home.learn(line, book, is_first=not known)

    def forget(self, line: Line) -> None:
        """A line died."""
        self._on.pop(line, None)
