"""Where quotes come from. A source owns the numbering: each symbol counts from 1 within the source's stream."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Protocol, TextIO

import trio

from ..events import Quote
from ..exceptions import ConfigError
from ..protocol.messages import SYMBOL
from ..protocol.venue_records import venue_quotes
from .recorded import RecordingReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

CHUNK = 512
"""Lines of a recording that are read at once, in a thread."""

CATCH_UP = 0.05
"""Seconds that a synthetic source may be late and still publish every quote."""


class Source(Protocol):
    """What `serve_quotes` needs of a source."""

    @property
    def stream(self) -> str:
        """Id of the numbering: a new one for each life of the source."""

    @property
    def symbols(self) -> Sequence[str]:
        """What can be subscribed to, known once it is prepared."""

    async def prepare(self) -> None:
        """Get ready; raises `ConfigError` if it cannot work."""

    async def run(self, publish: Callable[[list[Quote]], None]) -> None:
        """Publish quotes, numbered, until there are no more or it is cancelled."""


class SyntheticSource:
    """A seeded random walk for each symbol.

    Args:
        symbols: The symbols.
        rate: Quotes per second and symbol.
        seed: Of the prices; None for another walk each time.
        stream: Id of the numbering; a new one by default.

    Raises:
        ConfigError: A symbol or the rate is impossible.
    """

    def __init__(
        self, symbols: Iterable[str], *, rate: float = 10.0, seed: int | None = None, stream: str | None = None
    ) -> None:
        self.symbols = tuple(dict.fromkeys(symbols))
        if not self.symbols:
            raise ConfigError("SyntheticSource.symbols is empty: name at least one")
        for symbol in self.symbols:
            if not SYMBOL.fullmatch(symbol):
                raise ConfigError(f"SyntheticSource.symbols: {symbol!r} must be 1 to 64 of A-Z a-z 0-9 . _ - /")
        if not 0 < rate <= 10_000:
            raise ConfigError(f"SyntheticSource.rate = {rate!r} must be above 0 and at most 10000")
        self.stream = stream or secrets.token_hex(6)
        self._interval = 1 / rate
        self._rng = Random(seed)
        self._prices = {symbol: self._rng.uniform(10, 1000) for symbol in self.symbols}
        self._seq = 0

    async def prepare(self) -> None:
        """Nothing to do."""
        await trio.lowlevel.checkpoint()

    async def run(self, publish: Callable[[list[Quote]], None]) -> None:
        """One quote of each symbol per tick, on an absolute schedule; ticks that were slept over are skipped."""
        tick = trio.current_time()
        while True:
            await trio.sleep_until(tick)
            self._seq += 1
            publish([self._quote(symbol) for symbol in self.symbols])
            late = trio.current_time() - tick
            # A timer that fires late is made up for; what was slept over is skipped, and the schedule stays.
            skipped = late // self._interval if late > CATCH_UP else 0
            tick += self._interval * (1 + skipped)

    def _quote(self, symbol: str) -> Quote:
        price = self._prices[symbol] = max(0.01, self._prices[symbol] * (1 + self._rng.gauss(0, 0.0001)))
        half_spread = price * 0.0001
        return Quote(
            symbol,
            round(price - half_spread, 6),
            round(price + half_spread, 6),
            self._seq,
            self.stream,
            time.time_ns() // 1000,  # a label for people; nothing is decided by it
        )


class ReplaySource:
    """A recorded file, at its own pace or a multiple of it. What of it are no quotes is skipped.

    Args:
        path: The recording: lines of ``time: message``, times in seconds, and header lines that are skipped.
        venue: Who wrote the messages: a name of `protocol.venue_records.venue_names`, or `binance` or `coinbase`.
        speed: How many times faster than it was recorded.
        loop: Begin again at the end; the numbering goes on.
        stream: Id of the numbering; a new one by default.

    Raises:
        ConfigError: Venue or speed is impossible; `prepare` and `run` raise it, with file and line, for a bad recording.
    """

    def __init__(
        self, path: Path | str, *, venue: str, speed: float = 1.0, loop: bool = False, stream: str | None = None
    ) -> None:
        self._record = venue_quotes(venue)
        if not 0 < speed <= 1_000_000:
            raise ConfigError(f"ReplaySource.speed = {speed!r} must be above 0 and at most 1000000")
        self.path = Path(path)
        self.symbols: tuple[str, ...] = ()
        self.stream = stream or secrets.token_hex(6)
        self._speed = speed
        self._loop = loop
        self._seqs: Counter[str] = Counter()

    async def prepare(self) -> None:
        """Read the file once, to know its symbols."""
        self.symbols = await trio.to_thread.run_sync(self._scan)

    async def run(self, publish: Callable[[list[Quote]], None]) -> None:
        """Publish each quote at its time."""
        while True:
            await self._play(publish)
            if not self._loop:
                return

    async def _play(self, publish: Callable[[list[Quote]], None]) -> None:
        with await trio.to_thread.run_sync(partial(_open, self.path)) as file:
            start: float | None = None
            began = trio.current_time()
            reader = RecordingReader(self.path, self._record)
            while lines := await trio.to_thread.run_sync(partial(_read_lines, file)):
                for line in lines:
                    recorded = reader.read(line)
                    if recorded is None:
                        continue
                    at, quotes = recorded
                    start = at if start is None else start
                    await trio.sleep_until(began + (at - start) / self._speed)
                    publish([self._number(quote) for quote in quotes])
        await trio.lowlevel.checkpoint()

    def _scan(self) -> tuple[str, ...]:
        symbols: dict[str, None] = {}
        reader = RecordingReader(self.path, self._record)
        with _open(self.path) as file:
            for line in file:
                recorded = reader.read(line)
                if recorded is not None:
                    symbols.update((quote.symbol, None) for quote in recorded[1])
        if not symbols:
            raise ConfigError(f"{self.path}: no quote in it; is --venue right?")
        return tuple(symbols)

    def _number(self, quote: Quote) -> Quote:
        self._seqs[quote.symbol] += 1
        return Quote(quote.symbol, quote.bid, quote.ask, self._seqs[quote.symbol], self.stream, quote.ts, quote.last)


def _open(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"recording {path}: {error.strerror}") from error


def _read_lines(file: TextIO) -> list[str]:
    return list(islice(file, CHUNK))
