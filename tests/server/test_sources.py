"""Where quotes come from: replayed captures and the random walk, numbered without a hole and on time."""

from __future__ import annotations

import json
import re
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.events import Quote
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.server import ReplaySource, SyntheticSource
from tests.support.captures import CAPTURES, REAL, messages
from tests.support.captures import capture as capture_of


def book(symbol: str, bid: float) -> str:
    return json.dumps({"u": int(bid), "s": symbol, "b": str(bid), "B": "1", "a": str(bid + 1), "A": "1"})


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Three quotes of AUSD and one of BUSD within two seconds, among what is none."""
    path = tmp_path / "BINANCE.ws.9.0"
    lines = [
        "wss://stream.binance.com:9443/stream?streams=x <-> 1000.0",
        "wss://stream.binance.com:9443/stream?streams=x <- 1000.0: {}",
        f"1000.0: {book('AUSD', 1)}",
        f"1000.5: {book('BUSD', 7)}",
        '1000.6: {"e":"depthUpdate","s":"AUSD","b":[],"a":[]}',
        "",
        f"1001.0: {book('AUSD', 2)}",
        f"1002.0: {book('AUSD', 3)}",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def rewrite(capture: Path, text: str) -> None:
    capture.write_text(text)


class Published:
    """Takes quotes with the time at which they came."""

    def __init__(self) -> None:
        self.began = trio.current_time()
        self.quotes: list[Quote] = []
        self.times: list[float] = []

    def __call__(self, quotes: list[Quote]) -> None:
        self.quotes += quotes
        self.times += [trio.current_time() - self.began] * len(quotes)


@pytest.mark.parametrize("speed", [1.0, 4.0, 0.5])
async def test_a_replay_keeps_the_recorded_pace(capture: Path, speed: float, autojump_clock: MockClock) -> None:
    source = ReplaySource(capture, venue="binance", speed=speed, stream="s")
    await source.prepare()
    assert source.symbols == ("AUSD", "BUSD")
    published = Published()
    await source.run(published)
    assert published.times == pytest.approx([0, 0.5 / speed, 1 / speed, 2 / speed])
    assert [(q.symbol, q.seq, q.bid, q.stream) for q in published.quotes] == [
        ("AUSD", 1, 1.0, "s"),
        ("BUSD", 1, 7.0, "s"),
        ("AUSD", 2, 2.0, "s"),
        ("AUSD", 3, 3.0, "s"),
    ]
    assert published.quotes[1].ts == 1000_500_000


async def test_the_numbering_goes_on_when_a_replay_loops(capture: Path) -> None:
    source = ReplaySource(capture, venue="binance", speed=1e6, loop=True)
    await source.prepare()
    published = Published()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.run, published)
            while len(published.quotes) < 40:
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
    for symbol in source.symbols:
        seqs = [quote.seq for quote in published.quotes if quote.symbol == symbol]
        assert seqs == list(range(1, len(seqs) + 1))
    assert {quote.stream for quote in published.quotes} == {source.stream}


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "12: nonsense",
        '12: {"stream"',
        "nan: {}",
        f"12: {book('AUSD', 1).replace('2', 'NaN')}",
        '12: {"e":"aggTrade","s":"AUSD","p":"1","T":-5}',
        f"{'9' * 400}: {book('AUSD', 1)}",
        f"99999999999999: {book('AUSD', 1)}",
        "12: \ufffd\udc80",
    ],
)
async def test_a_bad_line_is_named_with_file_and_line(capture: Path, line: str) -> None:
    with capture.open("ab") as file:
        file.write(line.encode(errors="surrogateescape") + b"\n")
    source = ReplaySource(capture, venue="binance")
    with pytest.raises(ConfigError, match=re.escape(f"{capture}:9: ")):
        await source.prepare()


async def test_a_recording_that_became_bad_meanwhile_is_named_too(capture: Path) -> None:
    source = ReplaySource(capture, venue="binance", speed=1e6)
    await source.prepare()
    rewrite(capture, "nonsense\n")
    with pytest.raises(ConfigError, match=re.escape(f"{capture}:1: ")):
        await source.run(Published())


async def test_what_cannot_be_replayed(tmp_path: Path, capture: Path) -> None:
    with pytest.raises(ConfigError, match="absent"):
        await ReplaySource(tmp_path / "absent", venue="binance").prepare()
    with pytest.raises(ConfigError, match="venue"):
        ReplaySource(capture, venue="kraken")
    for speed in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="speed"):
            ReplaySource(capture, venue="binance", speed=speed)
    rewrite(capture, '1: {"result":null}\n')
    with pytest.raises(ConfigError, match="no quote"):
        await ReplaySource(capture, venue="binance").prepare()


@pytest.mark.parametrize("name", REAL)
async def test_every_quote_of_a_real_capture(name: str) -> None:
    """Published in order and numbered without a hole, whatever numbers the venue has."""
    path = capture_of(name)
    if path is None:
        pytest.skip(f"no {CAPTURES / name}: set HEARTBEAT_TRIO_CAPTURES to the folder of captures")
    venue, make_reader, count = REAL[name]
    reader = make_reader()
    expected = [row for _, message in messages(path) for row in reader(message)]
    source = ReplaySource(path, venue=venue, speed=1e6)
    await source.prepare()
    published = Published()
    await source.run(published)
    assert [(quote.symbol, quote.bid, quote.ask, quote.last) for quote in published.quotes] == expected
    assert len(expected) == count
    assert set(source.symbols) == {symbol for symbol, *_ in expected}
    for each in source.symbols:
        seqs = [quote.seq for quote in published.quotes if quote.symbol == each]
        assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize(("alias", "name"), [("binance", "BINANCE.ws.1.0"), ("coinbase", "COINBASE.ws.28.0")])
async def test_the_short_names_of_venues(alias: str, name: str) -> None:
    path = capture_of(name)
    if path is None:
        pytest.skip(f"no {CAPTURES / name}: set HEARTBEAT_TRIO_CAPTURES to the folder of captures")
    source = ReplaySource(path, venue=alias)
    await source.prepare()
    assert source.symbols


async def run_for(source: SyntheticSource, seconds: float, published: Published) -> None:
    with trio.move_on_after(seconds):
        await source.run(published)


async def test_the_same_seed_walks_the_same(autojump_clock: MockClock) -> None:
    walks = []
    for seed in (7, 7, 8):
        published = Published()
        await run_for(SyntheticSource(["A", "B"], rate=10, seed=seed), 9.95, published)
        walks.append([(q.symbol, q.bid, q.ask, q.seq) for q in published.quotes])
    assert walks[0] == walks[1] != walks[2]
    assert len(walks[0]) == 200
    assert [seq for symbol, _, _, seq in walks[0] if symbol == "A"] == list(range(1, 101))
    assert all(bid is not None and ask is not None and 0 < bid < ask for _, bid, ask, _ in walks[0])


async def test_streams_differ(autojump_clock: MockClock) -> None:
    assert SyntheticSource("A").stream != SyntheticSource("A").stream
    assert SyntheticSource("A", stream="mine").stream == "mine"


async def test_the_schedule_is_absolute(autojump_clock: MockClock) -> None:
    """However long publishing takes, the ticks come at multiples of the interval."""
    published = Published()
    await run_for(SyntheticSource(["A"], rate=10), 600, published)
    assert published.times == pytest.approx([index / 10 for index in range(len(published.times))], abs=1e-6)
    assert len(published.times) == pytest.approx(6000, abs=1)


@pytest.mark.parametrize("stall", [0.3, 5.03, 60.0])
async def test_no_burst_after_a_stall(stall: float) -> None:
    times: list[float] = []

    async def main() -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        published = Published()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(SyntheticSource(["A"], rate=10).run, published))
            for _ in range(12):
                clock.jump(0.1)
                await trio.testing.wait_all_tasks_blocked()
            clock.jump(stall)
            for _ in range(12):
                await trio.testing.wait_all_tasks_blocked()
                clock.jump(0.1)
            nursery.cancel_scope.cancel()
        times.extend(published.times)

    await trio.to_thread.run_sync(partial(trio.run, main, clock=MockClock()))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) == pytest.approx(stall, abs=0.11)
    assert len([gap for gap in gaps if gap < 0.05]) <= 1, "one that was overdue, then the schedule again"
    assert len(times) == pytest.approx(25, abs=2)


async def test_a_high_rate_is_kept_on_a_real_clock() -> None:
    published = Published()
    began = time.perf_counter()
    await run_for(SyntheticSource(["A"], rate=2000), 0.5, published)
    rate = len(published.quotes) / (time.perf_counter() - began)
    assert rate > 500, "late timers are made up for, unless the machine is very busy"


@pytest.mark.parametrize("rate", [0, -1, float("nan"), 20_000])
def test_impossible_rates(rate: float) -> None:
    with pytest.raises(ConfigError, match="rate"):
        SyntheticSource(["A"], rate=rate)


@pytest.mark.parametrize("symbols", [[], [""], ["a b"], ["A" * 65]])
def test_impossible_symbols(symbols: list[str]) -> None:
    with pytest.raises(ConfigError, match="symbols"):
        SyntheticSource(symbols)
